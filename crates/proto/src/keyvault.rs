//! `claviger.keyvault.v1`: requests become commands, domain values become messages.

mod catalog;
mod feed;

use claviger_core::command::{self, CreateKey, CreateWorkspace, ListKeys, RevokeKey, Verification};
use claviger_core::fault::Fault;
use claviger_core::ids::{KeyName, KeySlug, ModelId, Owner, ProviderId, WorkspaceId};
use claviger_core::key::{KeyTest, ProviderKey, TestResult};
use claviger_core::position::Position;
use claviger_core::reason::Reason;
use claviger_core::secret::Secret;
use claviger_core::workspace::{Policy, Workspace};
use secrecy::SecretString;

use crate::convert::{self, filled, optional, time, timestamp, unknown_enum};
use crate::keyvault_v1 as kv;

pub use catalog::{category_message, provider_message};
pub use feed::{SnapshotHead, TenantPart, sealed_key_from, sealed_key_message, snapshot_messages, tenant_part};

const MOST_MODELS: usize = 100;
const HIGHEST_PRIORITY: i32 = 1_000_000;
const DEFAULT_PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 500;

impl TryFrom<kv::CreateProviderKeyRequest> for CreateKey {
    type Error = Fault;

    fn try_from(request: kv::CreateProviderKeyRequest) -> Result<Self, Fault> {
        let owner = Owner::parse(&request.parent).map_err(Fault::id("parent"))?;
        let secret = secret(request.secret)?;
        let key = request.provider_key.ok_or_else(|| Fault::field("provider_key", "must be set"))?;
        if key.rentable {
            let message = "keys cannot be rented out; leave provider_key.rentable unset";
            return Err(Fault::new(Reason::RentabilityNotAvailable, message));
        }
        if !(0..=HIGHEST_PRIORITY).contains(&key.rotation_priority) {
            return Err(Fault::field("provider_key.rotation_priority", "must be between 0 and 1000000"));
        }
        Ok(Self {
            owner,
            provider: ProviderId::parse(&key.provider).map_err(Fault::id("provider_key.provider"))?,
            slug: optional("provider_key.key_slug", &key.key_slug, KeySlug::parse)?,
            label: command::label("provider_key.label", &key.label)?,
            priority: key.rotation_priority,
            base_url: filled(&key.base_url).map(str::to_owned),
            location: filled(&key.location).map(str::to_owned),
            allowed_models: models(&key.allowed_models)?,
            expire_time: key.expire_time.as_ref().map(|t| time("provider_key.expire_time", t)).transpose()?,
            secret,
            verification: verification(request.verification)?,
            validate_only: request.validate_only,
        })
    }
}

fn secret(message: Option<kv::Secret>) -> Result<Secret, Fault> {
    match message.and_then(|secret| secret.kind) {
        Some(kv::secret::Kind::ApiKey(text)) => Ok(Secret::ApiKey(SecretString::from(text))),
        Some(kv::secret::Kind::ServiceAccountJson(text)) => Ok(Secret::ServiceAccountJson(SecretString::from(text))),
        Some(kv::secret::Kind::UrlOnly(true)) => Ok(Secret::UrlOnly),
        Some(kv::secret::Kind::UrlOnly(false)) => Err(Fault::field("secret.url_only", "must be true when it is set")),
        None => Err(Fault::field("secret", "must hold api_key, service_account_json or url_only")),
    }
}

fn models(names: &[String]) -> Result<Vec<ModelId>, Fault> {
    const FIELD: &str = "provider_key.allowed_models";
    if names.len() > MOST_MODELS {
        return Err(Fault::field(FIELD, "must name at most 100 models"));
    }
    let mut models = Vec::with_capacity(names.len());
    for name in names {
        let model = ModelId::parse(name).map_err(Fault::id(FIELD))?;
        if !models.contains(&model) {
            models.push(model);
        }
    }
    Ok(models)
}

fn verification(number: i32) -> Result<Verification, Fault> {
    match kv::Verification::try_from(number) {
        Ok(kv::Verification::Unspecified | kv::Verification::Require) => Ok(Verification::Require),
        Ok(kv::Verification::IfPossible) => Ok(Verification::IfPossible),
        Ok(kv::Verification::Skip) => Ok(Verification::Skip),
        Err(_) => Err(unknown_enum("verification")),
    }
}

impl TryFrom<kv::ListProviderKeysRequest> for ListKeys {
    type Error = Fault;

    fn try_from(request: kv::ListProviderKeysRequest) -> Result<Self, Fault> {
        let size = u32::try_from(request.page_size).map_err(|_| Fault::field("page_size", "must not be negative"))?;
        Ok(Self {
            owner: Owner::parse(&request.parent).map_err(Fault::id("parent"))?,
            show_revoked: request.show_revoked,
            page_size: if size == 0 { DEFAULT_PAGE } else { size.min(LARGEST_PAGE) },
            page_token: filled(&request.page_token).map(str::to_owned),
        })
    }
}

impl TryFrom<kv::RevokeProviderKeyRequest> for RevokeKey {
    type Error = Fault;

    fn try_from(request: kv::RevokeProviderKeyRequest) -> Result<Self, Fault> {
        Ok(Self { name: key_name(&request.name)?, reason: command::note("reason", &request.reason)? })
    }
}

impl TryFrom<kv::CreateWorkspaceRequest> for CreateWorkspace {
    type Error = Fault;

    fn try_from(request: kv::CreateWorkspaceRequest) -> Result<Self, Fault> {
        let given = request.workspace.unwrap_or_default();
        Ok(Self {
            id: WorkspaceId::parse(&request.workspace_id).map_err(Fault::id("workspace_id"))?,
            policy: Policy {
                consent: convert::consent_from("workspace.fallback_consent", given.fallback_consent)?
                    .unwrap_or_default(),
                default_provider: optional("workspace.default_provider", &given.default_provider, ProviderId::parse)?,
                default_model: optional("workspace.default_model", &given.default_model, ModelId::parse)?,
            },
        })
    }
}

/// A request's `name` field that names a key.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn key_name(name: &str) -> Result<KeyName, Fault> {
    KeyName::parse(name).map_err(Fault::id("name"))
}

/// A request's `name` field that names a workspace.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn workspace_name(name: &str) -> Result<WorkspaceId, Fault> {
    const FORM: &str = "must be a resource name of the form workspaces/{workspace}";
    let id = name.strip_prefix("workspaces/").ok_or_else(|| Fault::field("name", FORM))?;
    WorkspaceId::parse(id).map_err(|_| Fault::field("name", FORM))
}

/// A key as callers see it. `categories` are its provider's.
#[must_use]
pub fn key_message(key: &ProviderKey, categories: Vec<String>, at: Position) -> kv::ProviderKey {
    let revocation = key.revocation.as_ref();
    kv::ProviderKey {
        name: key.name.to_string(),
        uid: key.name.id.to_string(),
        provider: key.provider.to_string(),
        categories,
        auth_type: convert::auth_type(key.auth_type).into(),
        key_slug: key.slug.to_string(),
        label: key.label.clone(),
        masked_secret: key.mask.masked.clone(),
        last_four: key.mask.last_four.clone(),
        rotation_priority: key.priority,
        base_url: key.base_url.clone().unwrap_or_default(),
        location: key.location.clone().unwrap_or_default(),
        allowed_models: key.allowed_models.iter().map(ToString::to_string).collect(),
        state: convert::state(key.state).into(),
        secret_version: i32::try_from(key.secret_version).unwrap_or(i32::MAX),
        last_test: key.last_test.as_ref().map(test_message),
        create_time: Some(timestamp(key.create_time)),
        creator: key.creator.clone(),
        update_time: Some(timestamp(key.update_time)),
        expire_time: key.expire_time.map(timestamp),
        revoke_time: revocation.map(|r| timestamp(r.time)),
        revoker: revocation.map(|r| r.actor.clone()).unwrap_or_default(),
        revoke_reason: revocation.map(|r| r.reason.clone()).unwrap_or_default(),
        rentable: false,
        consistency_token: at.to_string(),
        warnings: Vec::new(),
    }
}

fn test_message(test: &KeyTest) -> kv::KeyTest {
    use kv::key_test::Result as Wire;
    let result = match test.result {
        TestResult::Valid => Wire::Valid,
        TestResult::Restricted => Wire::Restricted,
        TestResult::QuotaExhausted => Wire::QuotaExhausted,
        TestResult::RateLimited => Wire::RateLimited,
        TestResult::Invalid => Wire::Invalid,
        TestResult::Inconclusive => Wire::Inconclusive,
        TestResult::Skipped => Wire::Skipped,
    };
    kv::KeyTest {
        result: result.into(),
        detail: test.detail.clone(),
        test_time: Some(timestamp(test.time)),
        http_status: i32::from(test.http_status.unwrap_or(0)),
        duration: prost_types::Duration::try_from(test.duration).ok(),
    }
}

/// A workspace as callers see it.
#[must_use]
pub fn workspace_message(workspace: &Workspace, at: Position) -> kv::Workspace {
    let policy = &workspace.policy;
    kv::Workspace {
        name: format!("workspaces/{}", workspace.id),
        fallback_consent: convert::consent(policy.consent).into(),
        default_provider: policy.default_provider.as_ref().map(ToString::to_string).unwrap_or_default(),
        default_model: policy.default_model.as_ref().map(ToString::to_string).unwrap_or_default(),
        create_time: Some(timestamp(workspace.create_time)),
        creator: workspace.creator.clone(),
        update_time: Some(timestamp(workspace.update_time)),
        consistency_token: at.to_string(),
    }
}
