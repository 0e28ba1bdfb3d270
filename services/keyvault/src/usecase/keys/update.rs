//! Change what a key's secret is not bound to.

use claviger_core::command::{KeyChanges, UpdateKey};
use claviger_core::fault::Fault;
use claviger_core::ids::{ModelId, Tenant};
use claviger_core::secret::Secret;
use time::OffsetDateTime;

use super::{Keys, check_usable, found, put, updated};
use crate::store::{StoredKey, WriteTxn};
use crate::usecase::{Answer, Call, now, policy};

impl Keys {
    /// Changes a key. An update that changes nothing leaves it, and its etag, as they are.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `KEY_NOT_FOUND`, `KEY_REVOKED`, `KEY_ALTERED`, `ETAG_MISMATCH`, `WORKSPACE_READ_ONLY`,
    /// `WORKSPACE_ALTERED`, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn update(&self, command: UpdateKey, call: Call<StoredKey>) -> Result<Answer<StoredKey>, Fault> {
        let UpdateKey { name, changes, etag } = command;
        let (keys, origin) = (self.clone(), call.origin.clone());
        call.write(&self.store, move |txn| {
            Box::pin(async move {
                let mut stored = found(txn, &name).await?;
                check_usable(&stored)?;
                policy::check_etag(etag.as_deref(), stored.seq)?;
                check_writable(txn, &name.owner.tenant).await?;
                let now = now();
                check_expiry(&changes, now)?;
                keys.check_clear(&changes, &stored)?;
                let fields = changes.apply(&mut stored.key);
                if !fields.is_empty() {
                    stored.key.update_time = now;
                    let event = updated(&stored.key, &fields, &origin);
                    put(txn, &mut stored, &event).await?;
                }
                Ok(stored)
            })
        })
        .await
    }

    /// The key's own secret does not belong into what is shown. It is not opened for this: its fingerprint tells.
    fn check_clear(&self, changes: &KeyChanges, stored: &StoredKey) -> Result<(), Fault> {
        let is_secret = |word: &str| {
            let fingerprint = self.custody.fingerprint(&Secret::ApiKey(word.into()));
            fingerprint.is_ok_and(|fingerprint| fingerprint == stored.fingerprint)
        };
        let in_label = changes.label.iter().flat_map(|label| label.split_whitespace()).any(is_secret);
        let in_models = changes.allowed_models.iter().flatten().map(ModelId::as_str).any(is_secret);
        match (in_label, in_models) {
            (true, _) => Err(Fault::field("provider_key.label", "must not hold the secret")),
            (_, true) => Err(Fault::field("provider_key.allowed_models", "must not hold the secret")),
            _ => Ok(()),
        }
    }
}

/// Whether a tenant takes changes, as a write finds it.
pub(super) async fn check_writable(txn: &WriteTxn, tenant: &Tenant) -> Result<(), Fault> {
    policy::in_write(txn, tenant).await?.as_ref().map_or(Ok(()), policy::check_writable)
}

fn check_expiry(changes: &KeyChanges, now: OffsetDateTime) -> Result<(), Fault> {
    match changes.expire_time {
        Some(Some(at)) if at <= now => Err(Fault::field("provider_key.expire_time", "must lie in the future")),
        _ => Ok(()),
    }
}
