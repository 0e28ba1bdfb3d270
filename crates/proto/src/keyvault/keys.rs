//! Keys.

use claviger_core::catalog::key_format::{MAX_API_KEY, check_text};
use claviger_core::catalog::{Category, ServiceAccount};
use claviger_core::command::{
    self, CreateKey, KeyChanges, ListKeys, NewKey, PurgeKey, ReorderGroup, ReorderKeys, ReplaceSecret, RevokeKey,
    RevokeLeaked, RevokeUser, TestKey, UpdateKey, Verification,
};
use claviger_core::fault::Fault;
use claviger_core::ids::{KeyName, KeySlug, ModelId, Owner, ProviderId};
use claviger_core::key::{KeyState, KeyTest, ProviderKey, TestResult};
use claviger_core::position::{Position, etag};
use claviger_core::reason::Reason;
use claviger_core::secret::Secret;
use secrecy::{ExposeSecret, SecretString};

use super::{listing, token};
use crate::convert::{self, filled, optional, time, timestamp, unknown_enum};
use crate::keyvault_v1 as kv;

const MOST_MODELS: usize = 100;
const HIGHEST_PRIORITY: i32 = 1_000_000;
/// In a list of models or providers: all of them.
pub(super) const ALL: &str = "*";

impl TryFrom<kv::CreateProviderKeyRequest> for CreateKey {
    type Error = Fault;

    fn try_from(request: kv::CreateProviderKeyRequest) -> Result<Self, Fault> {
        let owner = Owner::parse(&request.parent).map_err(Fault::id("parent"))?;
        let key = new_key(owner, request.provider_key, request.secret, request.verification)?;
        Ok(Self { key, validate_only: request.validate_only })
    }
}

/// A key that is to be made.
pub(super) fn new_key(
    owner: Owner,
    key: Option<kv::ProviderKey>,
    given: Option<kv::Secret>,
    how: i32,
) -> Result<NewKey, Fault> {
    let secret = secret(given)?;
    let key = key.ok_or_else(|| Fault::field("provider_key", "must be set"))?;
    refuse_rentable(&key)?;
    Ok(NewKey {
        owner,
        provider: ProviderId::parse(&key.provider).map_err(Fault::id("provider_key.provider"))?,
        slug: optional("provider_key.key_slug", &key.key_slug, KeySlug::parse)?,
        label: command::label("provider_key.label", &key.label)?,
        priority: priority(key.rotation_priority)?,
        base_url: filled(&key.base_url).map(str::to_owned),
        location: filled(&key.location).map(str::to_owned),
        allowed_models: models(&key.allowed_models)?,
        expire_time: expire_time(&key)?,
        disabled: key.disabled,
        secret,
        verification: verification(how)?,
    })
}

fn refuse_rentable(key: &kv::ProviderKey) -> Result<(), Fault> {
    if key.rentable {
        let message = "keys cannot be rented out; leave provider_key.rentable unset";
        return Err(Fault::new(Reason::RentabilityNotAvailable, message));
    }
    Ok(())
}

fn priority(given: i32) -> Result<i32, Fault> {
    if (0..=HIGHEST_PRIORITY).contains(&given) {
        return Ok(given);
    }
    Err(Fault::field("provider_key.rotation_priority", "must be between 0 and 1000000"))
}

fn expire_time(key: &kv::ProviderKey) -> Result<Option<time::OffsetDateTime>, Fault> {
    key.expire_time.as_ref().map(|t| time("provider_key.expire_time", t)).transpose()
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

/// The only models; `*` alone is all of them.
fn models(names: &[String]) -> Result<Vec<ModelId>, Fault> {
    const FIELD: &str = "provider_key.allowed_models";
    if names == [ALL] {
        return Ok(Vec::new());
    }
    if names.len() > MOST_MODELS || names.iter().any(|name| name == ALL) {
        return Err(Fault::field(FIELD, "must name at most 100 models, or `*` alone for all"));
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
        Ok(Self {
            owner: Owner::parse(&request.parent).map_err(Fault::id("parent"))?,
            show_revoked: request.show_revoked,
            filter: listing::filter(&request.filter, &Self::FIELDS)?,
            page: listing::page(request.page_size, &request.page_token)?,
        })
    }
}

impl TryFrom<kv::UpdateProviderKeyRequest> for UpdateKey {
    type Error = Fault;

    fn try_from(request: kv::UpdateProviderKeyRequest) -> Result<Self, Fault> {
        const KNOWN: [&str; 6] =
            ["label", "rotation_priority", "allowed_models", "expire_time", "disabled", "rentable"];
        let key = request.provider_key.ok_or_else(|| Fault::field("provider_key", "must be set"))?;
        let name = KeyName::parse(&key.name).map_err(Fault::id("provider_key.name"))?;
        let mut changes = KeyChanges::default();
        for path in listing::paths(request.update_mask.as_ref(), &KNOWN)? {
            match path {
                "label" => changes.label = Some(command::label("provider_key.label", &key.label)?),
                "rotation_priority" => changes.priority = Some(priority(key.rotation_priority)?),
                "allowed_models" => changes.allowed_models = Some(changed_models(&key.allowed_models)?),
                "expire_time" => changes.expire_time = Some(expire_time(&key)?),
                "disabled" => changes.disabled = Some(key.disabled),
                _ => refuse_rentable(&key)?,
            }
        }
        Ok(Self { name, changes, etag: filled(&key.etag).map(str::to_owned) })
    }
}

fn changed_models(names: &[String]) -> Result<Vec<ModelId>, Fault> {
    if names.is_empty() {
        let rule = "must not be empty in an update, which could mean none or all: `*` allows all";
        return Err(Fault::field("provider_key.allowed_models", rule));
    }
    models(names)
}

impl TryFrom<kv::ReplaceProviderKeySecretRequest> for ReplaceSecret {
    type Error = Fault;

    fn try_from(request: kv::ReplaceProviderKeySecretRequest) -> Result<Self, Fault> {
        let given = |text: Option<String>| text.map(|text| (!text.is_empty()).then_some(text));
        Ok(Self {
            name: key_name(&request.name)?,
            secret: secret(request.secret)?,
            base_url: given(request.base_url),
            location: given(request.location),
            verification: verification(request.verification)?,
            etag: filled(&request.etag).map(str::to_owned),
        })
    }
}

impl TryFrom<kv::ReorderProviderKeysRequest> for ReorderKeys {
    type Error = Fault;

    fn try_from(request: kv::ReorderProviderKeysRequest) -> Result<Self, Fault> {
        use kv::reorder_provider_keys_request::Group;
        let owner = Owner::parse(&request.parent).map_err(Fault::id("parent"))?;
        let group = match request.group {
            Some(Group::Provider(id)) => ReorderGroup::Provider(ProviderId::parse(&id).map_err(Fault::id("provider"))?),
            Some(Group::Category(name)) => ReorderGroup::Category(category(&name)?),
            None => return Err(Fault::field("group", "must be a provider or a category")),
        };
        let names = request.names.iter().map(|name| KeyName::parse(name).map_err(Fault::id("names")));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        if names.is_empty() || distinct.len() < names.len() || names.iter().any(|name| name.owner != owner) {
            return Err(Fault::field("names", "must name keys of the parent, each once"));
        }
        Ok(Self { owner, group, names })
    }
}

fn category(name: &str) -> Result<Category, Fault> {
    let rule = "must be one of llm, image, video, audio, research";
    Category::parse(name).ok_or_else(|| Fault::field("category", rule))
}

impl TryFrom<kv::TestProviderKeyRequest> for TestKey {
    type Error = Fault;

    fn try_from(request: kv::TestProviderKeyRequest) -> Result<Self, Fault> {
        Ok(Self { name: key_name(&request.name)? })
    }
}

impl TryFrom<kv::RevokeProviderKeyRequest> for RevokeKey {
    type Error = Fault;

    fn try_from(request: kv::RevokeProviderKeyRequest) -> Result<Self, Fault> {
        Ok(Self { name: key_name(&request.name)?, reason: command::note("reason", &request.reason)? })
    }
}

impl TryFrom<kv::RevokeLeakedSecretRequest> for RevokeLeaked {
    type Error = Fault;

    fn try_from(request: kv::RevokeLeakedSecretRequest) -> Result<Self, Fault> {
        let secret = secret(request.secret)?;
        check_whole(&secret)?;
        Ok(Self { secret, reason: command::note("reason", &request.reason)? })
    }
}

/// A text that no stored secret can be would be found nowhere, and its sender reassured for nothing.
fn check_whole(secret: &Secret) -> Result<(), Fault> {
    match secret {
        Secret::ApiKey(text) => {
            check_text(text.expose_secret(), MAX_API_KEY).map_err(|e| Fault::field("secret.api_key", e))
        }
        Secret::ServiceAccountJson(file) => match ServiceAccount::parse(file.expose_secret()) {
            Ok(_) => Ok(()),
            Err(_) => Err(Fault::field("secret.service_account_json", "must be a service account's whole key file")),
        },
        Secret::UrlOnly => Err(Fault::field("secret", "must be a secret: api_key or service_account_json")),
    }
}

impl TryFrom<kv::RevokeUserKeysRequest> for RevokeUser {
    type Error = Fault;

    fn try_from(request: kv::RevokeUserKeysRequest) -> Result<Self, Fault> {
        const FORM: &str = "must be a resource name of the form workspaces/{workspace}/users/{user}";
        let owner = Owner::parse(&request.parent).ok().filter(|owner| owner.user.is_some());
        let owner = owner.ok_or_else(|| Fault::field("parent", FORM))?;
        Ok(Self { owner, reason: command::note("reason", &request.reason)? })
    }
}

/// The owner of an OAuth connection to be, and the provider's id or alias.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn oauth_start(request: &kv::StartProviderOAuthRequest) -> Result<(Owner, ProviderId), Fault> {
    let provider = ProviderId::parse(&request.provider).map_err(Fault::id("provider"))?;
    Ok((owner_name(&request.parent)?, provider))
}

impl TryFrom<kv::PurgeProviderKeyRequest> for PurgeKey {
    type Error = Fault;

    fn try_from(request: kv::PurgeProviderKeyRequest) -> Result<Self, Fault> {
        Ok(Self { name: key_name(&request.name)? })
    }
}

/// A request's `name` field that names a key.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn key_name(name: &str) -> Result<KeyName, Fault> {
    KeyName::parse(name).map_err(Fault::id("name"))
}

/// A request's `parent` field that names an owner of keys.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn owner_name(name: &str) -> Result<Owner, Fault> {
    Owner::parse(name).map_err(Fault::id("parent"))
}

/// What an answer tells about a key.
#[derive(Debug)]
pub struct KeyView<'a> {
    /// The key.
    pub key: &'a ProviderKey,
    /// The audit event that left it so.
    pub seq: u64,
    /// It is as that event left it.
    pub intact: bool,
    /// What its provider serves.
    pub categories: Vec<String>,
}

/// A key as callers see it.
#[must_use]
pub fn key_message(view: KeyView<'_>, at: Position) -> kv::ProviderKey {
    let KeyView { key, seq, intact, categories } = view;
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
        consistency_token: token(at),
        warnings: Vec::new(),
        etag: etag(seq),
        disabled: key.state == KeyState::Disabled,
        altered: !intact,
        health: None,
        last_use_time: None,
    }
}

/// What a test showed; none for a result that this version does not know.
pub(super) fn test_result_from(result: kv::key_test::Result) -> Option<TestResult> {
    use kv::key_test::Result as Wire;
    Some(match result {
        Wire::Unspecified => return None,
        Wire::Valid => TestResult::Valid,
        Wire::Restricted => TestResult::Restricted,
        Wire::QuotaExhausted => TestResult::QuotaExhausted,
        Wire::RateLimited => TestResult::RateLimited,
        Wire::Invalid => TestResult::Invalid,
        Wire::Inconclusive => TestResult::Inconclusive,
        Wire::Skipped => TestResult::Skipped,
    })
}

pub(super) fn test_message(test: &KeyTest) -> kv::KeyTest {
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
