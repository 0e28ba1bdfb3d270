//! Destroy the ciphertext of a revoked key.

use claviger_core::command::PurgeKey;
use claviger_core::fault::Fault;
use claviger_core::ids::Tenant;
use claviger_core::key::KeyState;
use claviger_core::reason::Reason;

use super::{Keys, check_intact, found, shred};
use crate::store::StoredKey;
use crate::usecase::{Answer, Call};

impl Keys {
    /// Destroys a revoked key's ciphertext, and what could tell that another secret is the same. Purging a purged key
    /// changes nothing.
    ///
    /// # Errors
    /// `KEY_NOT_FOUND`, `KEY_NOT_REVOKED`, `KEY_ALTERED`, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn purge(&self, command: PurgeKey, call: Call<StoredKey>) -> Result<Answer<StoredKey>, Fault> {
        let (origin, tenant) = (call.origin.clone(), command.name.owner.tenant.clone());
        let done = call.write(&self.store, move |txn| {
            Box::pin(async move {
                let stored = found(txn, &command.name).await?;
                check_intact(&stored)?; // an altered row may only look revoked
                if !stored.key.state.is_revoked() {
                    return Err(Fault::new(Reason::KeyNotRevoked, "only a revoked key can be purged: revoke it first"));
                }
                if stored.key.state == KeyState::Purged {
                    return Ok(stored);
                }
                shred(txn, stored, "", &origin).await
            })
        });
        let answer = done.await?;
        self.forget_purged(&tenant).await;
        self.store.empty_log().await;
        Ok(answer)
    }

    /// Forgets how keys fared that are no more. What is left when that fails goes with the tenant's next purged key.
    pub(in crate::usecase) async fn forget_purged(&self, tenant: &Tenant) {
        if let Err(fault) = self.store.forget_purged(tenant).await {
            tracing::warn!(reason = fault.reason.as_str(), "the health of purged keys is still kept");
        }
    }
}
