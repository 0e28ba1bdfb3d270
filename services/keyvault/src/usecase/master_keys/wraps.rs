//! Wrapping keys anew under the primary master key.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_core::audit::{Action, Detail, Origin};
use claviger_core::fault::Fault;
use claviger_core::ids::Tenant;
use claviger_crypto::{Keyring, SealError};

use super::{BATCH, Rotation, Step, about_all};
use crate::store::{AnyWorkspaceKey, Place, ServiceKeyRow, WorkspaceKeyRow, WriteTxn};
use crate::usecase::custody::{Custody, master_key_row, unwrapped, unwrapped_service_key};
use crate::usecase::now;

/// How many keys of each master key.
type PerMasterKey = BTreeMap<String, u64>;

/// What one write did.
struct Wrapped {
    rewrapped: u64,
    broken: PerMasterKey,
    /// Where the list goes on, if it does.
    next: Option<Place>,
}

impl Rotation {
    pub(super) async fn wrap_workspace_keys(&mut self, after: Option<Place>) -> Result<Step, Fault> {
        let (custody, origin) = (self.of.custody.clone(), self.origin.clone());
        let done = self
            .of
            .store
            .write(move |txn| Box::pin(async move { workspace_keys(txn, &custody, after.as_ref(), &origin).await }));
        let (wrapped, _) = done.await?;
        Ok(self.noted(wrapped).map_or(Step::ServiceKeys, |next| Step::WorkspaceKeys(Some(next))))
    }

    pub(super) async fn wrap_service_keys(&mut self) -> Result<Step, Fault> {
        let (custody, origin) = (self.of.custody.clone(), self.origin.clone());
        let done = self.of.store.write(move |txn| Box::pin(async move { service_keys(txn, &custody, &origin).await }));
        let (wrapped, _) = done.await?;
        self.noted(wrapped);
        Ok(if self.reseal_made_before.is_some() { Step::NewVersions(None) } else { Step::MasterKeys })
    }

    fn noted(&mut self, wrapped: Wrapped) -> Option<Place> {
        self.replaced |= wrapped.rewrapped > 0;
        self.progress.rewrapped += wrapped.rewrapped;
        self.progress.remaining_keys = self.progress.remaining_keys.saturating_sub(wrapped.rewrapped);
        for (id, count) in wrapped.broken {
            *self.broken.entry(id).or_default() += count;
        }
        wrapped.next
    }

    /// Each master key that nothing is wrapped under may leave the keyring from then on.
    pub(super) async fn forget_master_keys(&mut self) -> Result<Step, Fault> {
        let (custody, origin) = (self.of.custody.clone(), self.origin.clone());
        let done = self.of.store.write(move |txn| {
            Box::pin(async move {
                let used = txn.dependents().await?;
                let primary = custody.keyring().primary().id().to_owned();
                for key in txn.master_keys().await? {
                    if key.id != primary && !used.contains_key(&key.id) {
                        forget(txn, &key.id, &origin).await?;
                    }
                }
                Ok(())
            })
        });
        done.await?;
        self.count_again().await
    }
}

async fn workspace_keys(
    txn: &mut WriteTxn,
    custody: &Custody,
    after: Option<&Place>,
    origin: &Origin,
) -> Result<Wrapped, Fault> {
    let keyring = custody.keyring();
    let primary = keyring.primary();
    let rows = txn.workspace_keys_not_under(primary.id(), after, BATCH).await?;
    let next = rows.last().filter(|_| rows.len() as u64 == BATCH).map(AnyWorkspaceKey::place);
    let (mut moved, mut broken, mut keys) = (PerMasterKey::new(), PerMasterKey::new(), Vec::new());
    for row in rows {
        let old = row.master_key.clone();
        match row.domain().map(|(tenant, row)| rewrapped(&keyring, tenant, &row)) {
            Some(Ok(key)) => {
                keys.push(key);
                *moved.entry(old).or_default() += 1;
            }
            Some(Err(Broken::Seal(error))) => return Err(sealing_failed(error)),
            Some(Err(Broken::Open)) | None => *broken.entry(old).or_default() += 1,
        }
    }
    let rewrapped = keys.len() as u64;
    if let Some(stamp) = told(txn, primary.id(), &moved, origin).await? {
        txn.put_workspace_keys(&master_key_row(primary), keys, now(), &stamp).await?;
    }
    Ok(Wrapped { rewrapped, broken, next })
}

async fn service_keys(txn: &mut WriteTxn, custody: &Custody, origin: &Origin) -> Result<Wrapped, Fault> {
    let keyring = custody.keyring();
    let primary = keyring.primary();
    let (mut moved, mut broken, mut keys) = (PerMasterKey::new(), PerMasterKey::new(), Vec::new());
    for row in txn.service_keys_not_under(primary.id()).await? {
        let Ok(key) = unwrapped_service_key(&keyring, &row) else {
            *broken.entry(row.master_key).or_default() += 1;
            continue;
        };
        let wrapped = key.wrap(primary, &row.purpose).map_err(sealing_failed)?;
        *moved.entry(row.master_key).or_default() += 1;
        keys.push(ServiceKeyRow { purpose: row.purpose, master_key: primary.id().to_owned(), wrapped });
    }
    let rewrapped = keys.len() as u64;
    if let Some(stamp) = told(txn, primary.id(), &moved, origin).await? {
        txn.put_service_keys(&master_key_row(primary), keys, now(), &stamp).await?;
    }
    Ok(Wrapped { rewrapped, broken, next: None })
}

/// Why a key was not wrapped anew.
enum Broken {
    Open,
    Seal(SealError),
}

fn rewrapped(
    keyring: &Arc<Keyring>,
    tenant: Tenant,
    row: &WorkspaceKeyRow,
) -> Result<(Tenant, WorkspaceKeyRow), Broken> {
    let key = unwrapped(keyring, &tenant, row).map_err(|_| Broken::Open)?;
    let primary = keyring.primary();
    let wrapped = key.wrap(primary, &tenant.to_string(), row.version).map_err(Broken::Seal)?;
    Ok((tenant, WorkspaceKeyRow { version: row.version, master_key: primary.id().to_owned(), wrapped }))
}

/// Tells what was moved, from each master key; none if nothing was.
async fn told(
    txn: &mut WriteTxn,
    primary: &str,
    moved: &PerMasterKey,
    origin: &Origin,
) -> Result<Option<crate::store::Stamp>, Fault> {
    let mut last = None;
    for (old, count) in moved {
        let details = vec![(Detail::MasterKey, old.clone()), (Detail::Count, count.to_string())];
        let event = about_all(Action::MasterKeyRewrapped, format!("masterKeys/{primary}"), origin, details);
        last = Some(txn.record(&event).await?);
    }
    Ok(last)
}

/// Forgets a master key that nothing is wrapped under.
pub(super) async fn forget(txn: &mut WriteTxn, id: &str, origin: &Origin) -> Result<(), Fault> {
    let event = about_all(Action::MasterKeyReleased, format!("masterKeys/{id}"), origin, Vec::new());
    let stamp = txn.record(&event).await?;
    Ok(txn.forget_master_key(id, &stamp).await?)
}

pub(super) fn sealing_failed(error: SealError) -> Fault {
    tracing::error!(%error, "sealing failed");
    Fault::internal()
}
