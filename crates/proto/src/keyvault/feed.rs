//! The feed's messages: what the vault sends of a key, and how routing reads it back.

use claviger_core::command::{BindSession, SetAgentRoute};
use claviger_core::fault::Fault;
use claviger_core::ids::{AgentId, KeyId, KeySlug, ModelId, ProviderId, SessionId, Tenant, UserId};
use claviger_core::key::{ProviderKey, TestResult};
use claviger_core::route::{AgentOrder, CredentialState, RouteKey, SessionPin, Wanted};
use claviger_core::workspace::Policy;

use prost::Message;
use time::OffsetDateTime;

use crate::convert::{self, filled, optional, time, timestamp};
use crate::keyvault_v1 as kv;

use super::keys::{test_message, test_result_from};

/// The keys of one part, encoded, in bytes at most (but at least one key). Receivers take 4 MiB.
const LARGEST_PART: usize = 1024 * 1024;

/// One part of a tenant's snapshot, read.
#[derive(Debug)]
pub struct TenantPart {
    /// The audit sequence number that the snapshot was read at.
    pub seq: u64,
    /// The tenant has a record.
    pub exists: bool,
    /// Its policy.
    pub policy: Policy,
    /// Its plan includes own keys.
    pub byok: bool,
    /// The order of the agent that was asked for.
    pub order: Option<(AgentId, AgentOrder)>,
    /// The binding of the session that was asked for.
    pub pin: Option<(SessionId, SessionPin)>,
    /// Some of its keys, each with its sealed secret (empty where it has none to hand out).
    pub keys: Vec<(RouteKey, Vec<u8>)>,
    /// Another part follows.
    pub more: bool,
}

/// What the vault sends of a key: its credential sealed, and when that ends if it is a short-lived one.
#[must_use]
pub fn sealed_key_message(
    key: &ProviderKey,
    sealed_secret: Vec<u8>,
    credential_expire_time: Option<OffsetDateTime>,
    unreadable: bool,
) -> kv::SealedKey {
    kv::SealedKey {
        uid: key.name.id.to_string(),
        user: key.name.owner.user_str().to_owned(),
        provider: key.provider.to_string(),
        auth_type: convert::auth_type(key.auth_type).into(),
        key_slug: key.slug.to_string(),
        label: key.label.clone(),
        masked_secret: key.mask.masked.clone(),
        rotation_priority: key.priority,
        base_url: key.base_url.clone().unwrap_or_default(),
        location: key.location.clone().unwrap_or_default(),
        allowed_models: key.allowed_models.iter().map(ToString::to_string).collect(),
        state: convert::state(key.state).into(),
        secret_version: i32::try_from(key.secret_version).unwrap_or(i32::MAX),
        create_time: Some(timestamp(key.create_time)),
        expire_time: key.expire_time.map(timestamp),
        sealed_secret,
        unreadable,
        credential_expire_time: credential_expire_time.map(timestamp),
        last_test: key.last_test.as_ref().map(test_message),
    }
}

/// Reads what [`sealed_key_message`] wrote.
///
/// # Errors
/// `INVALID_FIELD` when the vault speaks of something that this version does not know.
pub fn sealed_key_from(message: kv::SealedKey) -> Result<(RouteKey, Vec<u8>), Fault> {
    let state = message.state();
    let auth_type = message.auth_type();
    let key = RouteKey {
        id: KeyId::parse(&message.uid).map_err(Fault::id("uid"))?,
        user: optional("user", &message.user, UserId::parse)?,
        provider: ProviderId::parse(&message.provider).map_err(Fault::id("provider"))?,
        auth_type: convert::auth_type_from(auth_type).ok_or_else(|| convert::unknown_enum("auth_type"))?,
        slug: KeySlug::parse(&message.key_slug).map_err(Fault::id("key_slug"))?,
        label: message.label,
        masked: message.masked_secret,
        priority: message.rotation_priority,
        base_url: filled(&message.base_url).map(str::to_owned),
        location: filled(&message.location).map(str::to_owned),
        allowed_models: message
            .allowed_models
            .iter()
            .map(|m| ModelId::parse(m).map_err(Fault::id("allowed_models")))
            .collect::<Result<_, _>>()?,
        state: convert::state_from(state).ok_or_else(|| convert::unknown_enum("state"))?,
        secret_version: u32::try_from(message.secret_version)
            .map_err(|_| Fault::field("secret_version", "must not be negative"))?,
        create_time: time("create_time", &message.create_time.unwrap_or_default())?,
        expire_time: message.expire_time.as_ref().map(|t| time("expire_time", t)).transpose()?,
        credential_expire_time: message
            .credential_expire_time
            .as_ref()
            .map(|t| time("credential_expire_time", t))
            .transpose()?,
        last_test: message.last_test.map(last_test).transpose()?,
        credential: match (message.unreadable, auth_type) {
            (true, _) => CredentialState::Unreadable,
            (false, kv::AuthType::None) => CredentialState::Ready,
            (false, _) if message.sealed_secret.is_empty() => CredentialState::Missing,
            (false, _) => CredentialState::Ready,
        },
    };
    Ok((key, message.sealed_secret))
}

fn last_test(message: kv::KeyTest) -> Result<(TestResult, OffsetDateTime), Fault> {
    let result = test_result_from(message.result()).ok_or_else(|| convert::unknown_enum("last_test.result"))?;
    Ok((result, time("last_test.test_time", &message.test_time.unwrap_or_default())?))
}

/// Reads what a snapshot is asked for.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn wanted(load: &kv::LoadTenant) -> Result<Wanted, Fault> {
    Ok(Wanted {
        tenant: Tenant::parse(&load.tenant).map_err(Fault::id("tenant"))?,
        agent: optional("agent", &load.agent, AgentId::parse)?,
        session: optional("session", &load.session, SessionId::parse)?,
    })
}

/// Reads one part of a snapshot.
///
/// # Errors
/// `INVALID_FIELD` when the vault speaks of something that this version does not know.
pub fn tenant_part(message: kv::TenantSnapshot) -> Result<TenantPart, Fault> {
    Ok(TenantPart {
        seq: message.seq,
        exists: message.exists,
        policy: Policy {
            consent: convert::consent_from("fallback_consent", message.fallback_consent)?.unwrap_or_default(),
            default_provider: optional("default_provider", &message.default_provider, ProviderId::parse)?,
            default_model: optional("default_model", &message.default_model, ModelId::parse)?,
            allowed_providers: message
                .allowed_providers
                .iter()
                .map(|p| ProviderId::parse(p).map_err(Fault::id("allowed_providers")))
                .collect::<Result<_, _>>()?,
            default_mode: convert::default_mode_from("default_mode", message.default_mode)?.unwrap_or_default(),
            plan: None,
            read_only: false,
        },
        byok: message.byok,
        order: message.agent_route.map(agent_order).transpose()?,
        pin: message.session_binding.map(session_pin).transpose()?,
        keys: message.keys.into_iter().map(sealed_key_from).collect::<Result<_, _>>()?,
        more: message.more,
    })
}

/// Read as the request that set it: what the vault takes, routing takes.
fn agent_order(message: kv::AgentRoute) -> Result<(AgentId, AgentOrder), Fault> {
    let set = SetAgentRoute::try_from(kv::SetAgentRouteRequest { agent_route: Some(message), ..Default::default() })?;
    let SetAgentRoute { agent, mode, provider, slug, model, consent, .. } = set;
    Ok((agent, AgentOrder { mode, provider, slug, model, consent }))
}

/// Read as the request that bound it.
fn session_pin(message: kv::SessionBinding) -> Result<(SessionId, SessionPin), Fault> {
    let request = kv::BindSessionRequest { session_binding: Some(message), ..Default::default() };
    let BindSession { session, slug, user, provider, model, expire_time, .. } = request.try_into()?;
    let expire_time = expire_time.ok_or_else(|| Fault::field("session_binding.expire_time", "must be set"))?;
    Ok((session, SessionPin { slug, user, provider, model, expire_time }))
}

/// What a snapshot's parts have in common.
#[derive(Debug)]
pub struct SnapshotHead<'a> {
    /// The request's.
    pub load_id: u64,
    /// The audit sequence number that the snapshot was read at.
    pub seq: u64,
    /// The tenant has a record.
    pub exists: bool,
    /// Its policy.
    pub policy: &'a Policy,
    /// Its plan includes own keys.
    pub byok: bool,
    /// The route of the agent that was asked for.
    pub route: Option<kv::AgentRoute>,
    /// The binding of the session that was asked for.
    pub binding: Option<kv::SessionBinding>,
}

/// A snapshot in parts, each small enough for a message; at least one.
#[must_use]
pub fn snapshot_messages(
    head: &SnapshotHead<'_>,
    keys: impl IntoIterator<Item = kv::SealedKey>,
) -> Vec<kv::TenantSnapshot> {
    let mut parts = vec![part(head)];
    let mut size = 0;
    for key in keys {
        let length = key.encoded_len();
        if size > 0 && size + length > LARGEST_PART {
            parts.push(part(head));
            size = 0;
        }
        size += length;
        if let Some(last) = parts.last_mut() {
            last.keys.push(key);
        }
    }
    let last = parts.len() - 1;
    parts[..last].iter_mut().for_each(|part| part.more = true);
    parts
}

fn part(head: &SnapshotHead<'_>) -> kv::TenantSnapshot {
    let policy = head.policy;
    kv::TenantSnapshot {
        load_id: head.load_id,
        seq: head.seq,
        exists: head.exists,
        fallback_consent: convert::consent(policy.consent).into(),
        default_provider: policy.default_provider.as_ref().map(ToString::to_string).unwrap_or_default(),
        default_model: policy.default_model.as_ref().map(ToString::to_string).unwrap_or_default(),
        keys: Vec::new(),
        more: false,
        byok: head.byok,
        allowed_providers: policy.allowed_providers.iter().map(ToString::to_string).collect(),
        default_mode: convert::default_mode(policy.default_mode).into(),
        agent_route: head.route.clone(),
        session_binding: head.binding.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: usize) -> kv::SealedKey {
        kv::SealedKey { sealed_secret: vec![7; bytes], ..Default::default() }
    }

    fn parts(keys: Vec<kv::SealedKey>) -> Vec<kv::TenantSnapshot> {
        let policy = Policy::default();
        let head =
            SnapshotHead { load_id: 1, seq: 2, exists: true, policy: &policy, byok: true, route: None, binding: None };
        snapshot_messages(&head, keys)
    }

    #[test]
    fn parts_fit_a_message_however_large_the_keys_are() {
        let keys = vec![key(16 * 1024); 1_000];
        let parts = parts(keys);
        assert!(parts.len() > 10, "{}", parts.len());
        assert!(parts.iter().all(|part| part.encoded_len() <= LARGEST_PART + 1_024));
        assert_eq!(parts.iter().map(|part| part.keys.len()).sum::<usize>(), 1_000);
        assert_eq!(parts.iter().filter(|part| !part.more).count(), 1);
        assert!(parts.last().is_some_and(|part| !part.more));
    }

    #[test]
    fn an_empty_tenant_has_one_part_and_an_outsize_key_one_of_its_own() {
        assert_eq!(parts(Vec::new()).len(), 1);
        let parts = parts(vec![key(10), key(2 * LARGEST_PART), key(10)]);
        assert_eq!(parts.iter().map(|part| part.keys.len()).collect::<Vec<_>>(), [1, 1, 1]);
    }
}
