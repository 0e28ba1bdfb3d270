//! End a key for good: its ciphertext and fingerprint are destroyed, its row stays for the record.

use claviger_core::audit::{Action, Origin};
use claviger_core::fault::Fault;
use claviger_core::key::{KeyState, Revocation};

use super::{about, ended, put};
use crate::store::{StoredKey, WriteTxn};
use crate::usecase::now;

/// Purges a key, an altered one too; one that was not revoked gets the reason for which it is now.
pub(in crate::usecase) async fn shred(
    txn: &mut WriteTxn,
    mut stored: StoredKey,
    reason: &str,
    origin: &Origin,
) -> Result<StoredKey, Fault> {
    let (now, key) = (now(), &mut stored.key);
    let revocation = || Revocation { time: now, actor: origin.actor.clone(), reason: reason.to_owned() };
    key.revocation.get_or_insert_with(revocation);
    key.state = KeyState::Purged;
    key.update_time = now;
    let event = about(&stored.key, Action::KeyPurged, origin, ended(&stored));
    stored.sealed.clear();
    stored.fingerprint.clear();
    stored.workspace_key = 0;
    put(txn, &mut stored, &event).await?;
    Ok(stored)
}
