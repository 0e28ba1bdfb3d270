//! The keyring taken over from its file while the vault runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use claviger_crypto::Keyring;
use tokio_util::sync::CancellationToken;

use super::custody::{Custody, admit, master_key_row};
use super::now;
use crate::master_key::{RELOAD_INTERVAL, Watch};
use crate::store::Store;

/// When a keyring that could not be taken is tried again: longer than it takes to notice another one.
const AGAIN: Duration = RELOAD_INTERVAL.saturating_mul(3);

/// Takes over each keyring that the file is given, until `stop`. One that lacks a key which the database needs is not
/// taken: the last good one stays in force, and this one is tried again until the file changes.
///
/// # Errors
/// Never.
pub async fn run(
    mut watch: Watch,
    store: Store,
    custody: Arc<Custody>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let _ = stop.run_until_cancelled(follow(&mut watch, &store, &custody)).await;
    Ok(())
}

async fn follow(watch: &mut Watch, store: &Store, custody: &Custody) -> Infallible {
    loop {
        let mut keyring = Arc::new(watch.changed().await);
        let mut told = false;
        while let Err(why) = take(&keyring, store, custody).await {
            if !told {
                tracing::error!(error = why, file = %watch.file().display(), "the master key file is not taken over");
            }
            told = true;
            if let Ok(newer) = tokio::time::timeout(AGAIN, watch.changed()).await {
                (keyring, told) = (Arc::new(newer), false);
            }
        }
    }
}

/// Compares a keyring with the database, makes its primary key known there, and puts it in force. Or says why not.
///
/// # Errors
/// When the database needs a key that the keyring lacks, or fails.
pub async fn take(keyring: &Arc<Keyring>, store: &Store, custody: &Custody) -> Result<(), String> {
    let compared = keyring.clone();
    let done = store.write(move |txn| {
        Box::pin(async move {
            if let Err(refusal) = admit(&compared, &txn.master_keys().await?) {
                return Ok(Err(refusal));
            }
            txn.ensure_master_key(&master_key_row(compared.primary()), now()).await?;
            Ok(Ok(()))
        })
    });
    let (admitted, _) = done.await.map_err(|fault| fault.to_string())?;
    admitted.map_err(|refusal| refusal.to_string())?;
    custody.take(keyring.clone());
    tracing::info!(master_key = keyring.primary().id(), keys = keyring.iter().count(), "took over the master key file");
    Ok(())
}
