//! Revoke keys: one, all with a leaked secret, all of a user.

use claviger_core::audit::{Action, Origin};
use claviger_core::command::{RevokeKey, RevokeLeaked, RevokeUser};
use claviger_core::fault::Fault;
use claviger_core::key::{KeyState, Revocation};

use super::draft::check_place;
use super::{Keys, about, ended, found, put};
use crate::store::{StoredKey, WriteTxn};
use crate::usecase::{Answer, Call, now};

impl Keys {
    /// Revokes a key, an altered one too. Revoking a revoked key changes nothing.
    ///
    /// # Errors
    /// `KEY_NOT_FOUND`, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn revoke(&self, command: RevokeKey, call: Call<StoredKey>) -> Result<Answer<StoredKey>, Fault> {
        let origin = call.origin.clone();
        call.write(&self.store, move |txn| {
            Box::pin(async move {
                let stored = found(txn, &command.name).await?;
                end(txn, stored, &command.reason, &origin).await
            })
        })
        .await
    }

    /// Revokes every tenant's keys with a secret. The answer has those that this call revoked.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn revoke_leaked(
        &self,
        command: RevokeLeaked,
        call: Call<Vec<StoredKey>>,
    ) -> Result<Answer<Vec<StoredKey>>, Fault> {
        check_place(&command.secret, &[("reason", &command.reason)])?;
        let (fingerprint, origin) = (self.fingerprint(&command.secret)?, call.origin.clone());
        call.write(&self.store, move |txn| {
            Box::pin(async move {
                let leaked = txn.keys_with_fingerprint(&fingerprint).await?;
                end_all(txn, leaked, &command.reason, &origin).await
            })
        })
        .await
    }

    /// Revokes all personal keys of a user. The answer is how many this call revoked.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn revoke_user(&self, command: RevokeUser, call: Call<usize>) -> Result<Answer<usize>, Fault> {
        let origin = call.origin.clone();
        call.write(&self.store, move |txn| {
            Box::pin(async move {
                let keys = txn.keys_of_owner(&command.owner).await?;
                Ok(end_all(txn, keys, &command.reason, &origin).await?.len())
            })
        })
        .await
    }
}

async fn end_all(
    txn: &mut WriteTxn,
    keys: Vec<StoredKey>,
    reason: &str,
    origin: &Origin,
) -> Result<Vec<StoredKey>, Fault> {
    let mut ended = Vec::with_capacity(keys.len());
    for stored in keys {
        ended.push(end(txn, stored, reason, origin).await?);
    }
    Ok(ended)
}

/// Revokes a key, unless it is revoked.
pub(in crate::usecase) async fn end(
    txn: &mut WriteTxn,
    mut stored: StoredKey,
    reason: &str,
    origin: &Origin,
) -> Result<StoredKey, Fault> {
    if stored.key.state.is_revoked() && stored.intact {
        return Ok(stored);
    }
    let key = &mut stored.key;
    let now = now();
    key.state = KeyState::Revoked;
    key.update_time = now;
    key.revocation = Some(Revocation { time: now, actor: origin.actor.clone(), reason: reason.to_owned() });
    let event = about(&stored.key, Action::KeyRevoked, origin, ended(&stored));
    put(txn, &mut stored, &event).await?;
    stored.intact = true;
    Ok(stored)
}
