//! A key's row, to and from the domain.

use std::time::Duration;

use claviger_core::catalog::AuthType;
use claviger_core::ids::{KeyId, KeyName, KeySlug, ModelId, Owner, ProviderId, Tenant, UserId};
use claviger_core::key::{KeyState, KeyTest, Mask, ProviderKey, Revocation, TestResult};
use sea_orm::Set;
use time::OffsetDateTime;

use super::StoreError;
use super::entity::provider_keys::{ActiveModel, Model};

/// A key with its sealed secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// All but the secret.
    pub key: ProviderKey,
    /// The sealed secret; empty for a key without one.
    pub sealed: Vec<u8>,
    /// The keyed fingerprint of the secret; empty for a key without one.
    pub fingerprint: Vec<u8>,
}

impl TryFrom<Model> for StoredKey {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let sealed = row.sealed.clone();
        let fingerprint = row.fingerprint.clone();
        let key = key(row).ok_or(StoreError::Corrupt("provider_keys"))?;
        Ok(Self { key, sealed, fingerprint })
    }
}

fn key(row: Model) -> Option<ProviderKey> {
    let last_test = match &row.test_result {
        None => None,
        Some(_) => Some(test(&row)?),
    };
    let revocation = match row.revoke_time {
        None => None,
        Some(at) => Some(Revocation {
            time: time(at)?,
            actor: row.revoker.unwrap_or_default(),
            reason: row.revoke_reason.unwrap_or_default(),
        }),
    };
    Some(ProviderKey {
        name: name(&row.tenant, &row.owner_user, &row.id)?,
        provider: ProviderId::parse(&row.provider).ok()?,
        auth_type: AuthType::parse(&row.auth_type)?,
        slug: KeySlug::parse(&row.key_slug).ok()?,
        label: row.label,
        mask: Mask { masked: row.masked_secret, last_four: row.last_four },
        priority: row.rotation_priority,
        base_url: row.base_url,
        location: row.location,
        allowed_models: models(&row.allowed_models)?,
        state: KeyState::parse(&row.state)?,
        secret_version: u32::try_from(row.secret_version).ok()?,
        last_test,
        create_time: time(row.create_time)?,
        creator: row.creator,
        update_time: time(row.update_time)?,
        expire_time: optional_time(row.expire_time)?,
        revocation,
    })
}

fn name(tenant: &str, user: &str, id: &str) -> Option<KeyName> {
    let user = if user.is_empty() { None } else { Some(UserId::parse(user).ok()?) };
    let owner = Owner { tenant: Tenant::parse(tenant).ok()?, user };
    Some(KeyName { owner, id: KeyId::parse(id).ok()? })
}

fn test(row: &Model) -> Option<KeyTest> {
    Some(KeyTest {
        result: TestResult::parse(row.test_result.as_deref()?)?,
        detail: row.test_detail.clone().unwrap_or_default(),
        time: time(row.test_time?)?,
        http_status: row.test_http_status.map(u16::try_from).transpose().ok()?,
        duration: Duration::from_micros(row.test_micros?.try_into().ok()?),
    })
}

fn models(json: &str) -> Option<Vec<ModelId>> {
    let names: Vec<String> = serde_json::from_str(json).ok()?;
    names.iter().map(|name| ModelId::parse(name).ok()).collect()
}

/// A time as rows have it: microseconds since 1970.
pub(super) fn micros(time: OffsetDateTime) -> i64 {
    // i64 microseconds reach past the year 9999, the last that OffsetDateTime knows
    i64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}

/// A row's time.
pub(super) fn time(micros: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).ok()
}

fn optional_time(micros: Option<i64>) -> Option<Option<OffsetDateTime>> {
    match micros {
        None => Some(None),
        Some(at) => time(at).map(Some),
    }
}

/// The row of a new key.
pub(super) fn row(stored: &StoredKey) -> Result<ActiveModel, StoreError> {
    let StoredKey { key, sealed, fingerprint } = stored;
    let models: Vec<_> = key.allowed_models.iter().map(ModelId::as_str).collect();
    let mut row = ActiveModel {
        id: Set(key.name.id.to_string()),
        tenant: Set(key.name.owner.tenant.to_string()),
        owner_user: Set(key.name.owner.user_str().to_owned()),
        provider: Set(key.provider.to_string()),
        auth_type: Set(key.auth_type.as_str().to_owned()),
        key_slug: Set(key.slug.to_string()),
        label: Set(key.label.clone()),
        masked_secret: Set(key.mask.masked.clone()),
        last_four: Set(key.mask.last_four.clone()),
        rotation_priority: Set(key.priority),
        base_url: Set(key.base_url.clone()),
        location: Set(key.location.clone()),
        allowed_models: Set(serde_json::to_string(&models).map_err(|_| StoreError::Corrupt("provider_keys"))?),
        secret_version: Set(i32::try_from(key.secret_version).map_err(|_| StoreError::Corrupt("provider_keys"))?),
        sealed: Set(sealed.clone()),
        fingerprint: Set(fingerprint.clone()),
        create_time: Set(micros(key.create_time)),
        creator: Set(key.creator.clone()),
        expire_time: Set(key.expire_time.map(micros)),
        ..Default::default()
    };
    set_mutable(&mut row, key);
    Ok(row)
}

/// What an existing key's row may change: its state, its newest test and how it ended.
pub(super) fn set_mutable(row: &mut ActiveModel, key: &ProviderKey) {
    let (test, revocation) = (key.last_test.as_ref(), key.revocation.as_ref());
    row.state = Set(key.state.as_str().to_owned());
    row.update_time = Set(micros(key.update_time));
    row.test_result = Set(test.map(|t| t.result.as_str().to_owned()));
    row.test_detail = Set(test.map(|t| t.detail.clone()));
    row.test_time = Set(test.map(|t| micros(t.time)));
    row.test_http_status = Set(test.and_then(|t| t.http_status).map(i32::from));
    row.test_micros = Set(test.map(|t| i64::try_from(t.duration.as_micros()).unwrap_or(i64::MAX)));
    row.revoke_time = Set(revocation.map(|r| micros(r.time)));
    row.revoker = Set(revocation.map(|r| r.actor.clone()));
    row.revoke_reason = Set(revocation.map(|r| r.reason.clone()));
}
