//! A key's row, to and from the domain.

use std::time::Duration;

use claviger_core::catalog::AuthType;
use claviger_core::ids::{KeyId, KeyName, KeySlug, ModelId, Owner, ProviderId, Tenant, UserId};
use claviger_core::key::{KeyState, KeyTest, Mask, ProviderKey, Revocation, TestResult};
use time::OffsetDateTime;

use super::StoreError;
use super::bound::bound;
use super::entity::provider_keys::Model;

const TABLE: &str = "provider_keys";

/// A key with its sealed secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// All but the secret.
    pub key: ProviderKey,
    /// The sealed secret; empty for a key without one.
    pub sealed: Vec<u8>,
    /// The version of the tenant's key that it is sealed under; 0 for a key without a secret.
    pub workspace_key: u32,
    /// The keyed fingerprint of the secret; empty for a key without one.
    pub fingerprint: Vec<u8>,
    /// The audit event that left it so; 0 for one that is not stored yet.
    pub seq: u64,
    /// It is as that event left it. What is not is never used.
    pub intact: bool,
}

// the ciphertext is bound by itself to all that it is for, and is sealed anew when a tenant's key is rotated
bound!(Model, "provider_keys", free ["sealed", "workspace_key"], |row| name_of(&row.tenant, &row.owner_user, &row.id));

/// A key's name by its row's columns.
pub(super) fn name_of(tenant: &str, user: &str, id: &str) -> String {
    let user = if user.is_empty() { String::new() } else { format!("/users/{user}") };
    format!("{tenant}{user}/keys/{id}")
}

/// Reads a row that was found intact, or not.
pub(super) fn stored(row: Model, intact: bool) -> Result<StoredKey, StoreError> {
    const CORRUPT: StoreError = StoreError::Corrupt(TABLE);
    let (sealed, fingerprint) = (row.sealed.clone(), row.fingerprint.clone());
    let workspace_key = u32::try_from(row.workspace_key).map_err(|_| CORRUPT)?;
    let seq = u64::try_from(row.last_seq).map_err(|_| CORRUPT)?;
    let key = key(row).ok_or(CORRUPT)?;
    Ok(StoredKey { key, sealed, workspace_key, fingerprint, seq, intact })
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

pub(super) fn optional_time(micros: Option<i64>) -> Option<Option<OffsetDateTime>> {
    match micros {
        None => Some(None),
        Some(at) => time(at).map(Some),
    }
}

/// A key's row, not yet bound to an event.
pub(super) fn row(stored: &StoredKey) -> Result<Model, StoreError> {
    let StoredKey { key, sealed, workspace_key, fingerprint, seq: _, intact: _ } = stored;
    let models: Vec<_> = key.allowed_models.iter().map(ModelId::as_str).collect();
    let (test, revocation) = (key.last_test.as_ref(), key.revocation.as_ref());
    let corrupt = |_| StoreError::Corrupt(TABLE);
    Ok(Model {
        id: key.name.id.to_string(),
        tenant: key.name.owner.tenant.to_string(),
        owner_user: key.name.owner.user_str().to_owned(),
        provider: key.provider.to_string(),
        auth_type: key.auth_type.as_str().to_owned(),
        key_slug: key.slug.to_string(),
        label: key.label.clone(),
        masked_secret: key.mask.masked.clone(),
        last_four: key.mask.last_four.clone(),
        rotation_priority: key.priority,
        base_url: key.base_url.clone(),
        location: key.location.clone(),
        allowed_models: serde_json::to_string(&models).map_err(|_| StoreError::Corrupt(TABLE))?,
        state: key.state.as_str().to_owned(),
        secret_version: i32::try_from(key.secret_version).map_err(corrupt)?,
        sealed: sealed.clone(),
        workspace_key: i32::try_from(*workspace_key).map_err(corrupt)?,
        fingerprint: fingerprint.clone(),
        test_result: test.map(|t| t.result.as_str().to_owned()),
        test_detail: test.map(|t| t.detail.clone()),
        test_time: test.map(|t| micros(t.time)),
        test_http_status: test.and_then(|t| t.http_status).map(i32::from),
        test_micros: test.map(|t| i64::try_from(t.duration.as_micros()).unwrap_or(i64::MAX)),
        create_time: micros(key.create_time),
        creator: key.creator.clone(),
        update_time: micros(key.update_time),
        expire_time: key.expire_time.map(micros),
        revoke_time: revocation.map(|r| micros(r.time)),
        revoker: revocation.map(|r| r.actor.clone()),
        revoke_reason: revocation.map(|r| r.reason.clone()),
        last_seq: 0,
        mac: Vec::new(),
    })
}
