//! New keys for tenants, and their records sealed anew under these.

use std::collections::{BTreeSet, HashMap};

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::fault::Fault;
use claviger_core::ids::Tenant;
use claviger_crypto::{Keyring, WorkspaceKey, workspace_key_version};
use time::OffsetDateTime;

use super::wraps::sealing_failed;
use super::{BATCH, Rotation, Step, TENANTS, about_all};
use crate::store::{AnyRecord, Place, StoredKey, WriteTxn};
use crate::usecase::custody::{self, Binding, Custody, unwrapped};
use crate::usecase::{event, now};

/// What one write did.
struct Resealed {
    resealed: u64,
    unreadable: u64,
    /// Where the list goes on, if it does.
    next: Option<String>,
}

impl Rotation {
    /// Gives each tenant whose newest key is too old another one.
    pub(super) async fn make_new_versions(&mut self, after: Option<String>) -> Result<Step, Fault> {
        let Some(before) = self.reseal_made_before else { return Ok(Step::MasterKeys) };
        let (custody, origin) = (self.of.custody.clone(), self.origin.clone());
        let done = self.of.store.write(move |txn| {
            Box::pin(async move { new_versions(txn, &custody, before, after.as_deref(), &origin).await })
        });
        if let (Some(next), _) = done.await? {
            return Ok(Step::NewVersions(Some(next)));
        }
        self.progress.remaining_records = self.of.store.count_outdated_records().await?;
        Ok(Step::Records(None))
    }

    pub(super) async fn reseal_records(&mut self, after: Option<String>) -> Result<Step, Fault> {
        let (custody, origin) = (self.of.custody.clone(), self.origin.clone());
        let done = self
            .of
            .store
            .write(move |txn| Box::pin(async move { records(txn, &custody, after.as_deref(), &origin).await }));
        let (done, _) = done.await?;
        self.replaced |= done.resealed > 0;
        self.progress.resealed += done.resealed;
        self.progress.unreadable += done.unreadable;
        self.progress.remaining_records = self.progress.remaining_records.saturating_sub(done.resealed);
        Ok(done.next.map_or(Step::OldVersions(None), |next| Step::Records(Some(next))))
    }

    /// Destroys what no record needs: an older copy of a record opens no more, wherever it lies.
    pub(super) async fn destroy_old_versions(&mut self, after: Option<Place>) -> Result<Step, Fault> {
        let origin = self.origin.clone();
        let done = self.of.store.write(move |txn| {
            Box::pin(async move {
                let unused = txn.unused_workspace_keys(after.as_ref(), TENANTS).await?;
                for (tenant, version) in &unused {
                    let event = about_key(Action::WorkspaceKeyDestroyed, tenant, *version, &origin);
                    let stamp = txn.record(&event).await?;
                    txn.destroy_workspace_key(tenant, *version, &stamp).await?;
                }
                let last = unused.last().filter(|_| unused.len() as u64 == TENANTS);
                let next =
                    last.map(|(tenant, version)| (tenant.to_string(), i32::try_from(*version).unwrap_or(i32::MAX)));
                Ok((next, !unused.is_empty()))
            })
        });
        let ((next, destroyed), _) = done.await?;
        self.replaced |= destroyed;
        Ok(next.map_or(Step::MasterKeys, |next| Step::OldVersions(Some(next))))
    }
}

async fn new_versions(
    txn: &mut WriteTxn,
    custody: &Custody,
    before: OffsetDateTime,
    after: Option<&str>,
    origin: &Origin,
) -> Result<Option<String>, Fault> {
    let old = txn.tenants_with_old_keys(before, after, TENANTS).await?;
    for (tenant, version) in &old {
        let version = version.saturating_add(1);
        let (row, under, _) = custody.new_workspace_key(tenant, version).map_err(sealing_failed)?;
        txn.record(&about_key(Action::WorkspaceKeyRotated, tenant, version, origin)).await?;
        txn.insert_workspace_key(tenant, &row, &under, now()).await?;
    }
    Ok(old.last().filter(|_| old.len() as u64 == TENANTS).map(|(tenant, _)| tenant.to_string()))
}

/// All of it within one write, so that no one replaces or purges a record meanwhile.
async fn records(
    txn: &mut WriteTxn,
    custody: &Custody,
    after: Option<&str>,
    origin: &Origin,
) -> Result<Resealed, Fault> {
    let rows = txn.outdated_records(after, BATCH).await?;
    let next = rows.last().filter(|_| rows.len() as u64 == BATCH).map(|row| row.id.clone());
    let tenants: BTreeSet<_> = rows.iter().map(|row| row.under.0.clone()).collect();
    let keys = Opened::of(txn, &custody.keyring(), tenants.into_iter().collect()).await?;
    let (mut sealed, mut unreadable) = (Vec::new(), 0);
    for row in &rows {
        match keys.resealed(row)? {
            Some((version, bytes)) => sealed.push((row.id.clone(), version, bytes)),
            None if keys.is_shredded(row) => {}
            None => unreadable += 1,
        }
    }
    let resealed = sealed.len() as u64;
    if !sealed.is_empty() {
        let details = vec![(Detail::Count, resealed.to_string())];
        let stamp = txn.record(&about_all(Action::KeysResealed, ALL_KEYS.to_owned(), origin, details)).await?;
        txn.reseal(sealed, &stamp).await?;
    }
    Ok(Resealed { resealed, unreadable, next })
}

/// Keys of any workspace.
const ALL_KEYS: &str = "workspaces/-/keys/-";

/// Some tenants' keys; none in place of one that does not open.
struct Opened {
    keys: HashMap<Place, Option<WorkspaceKey>>,
    newest: HashMap<String, u32>,
}

impl Opened {
    async fn of(txn: &WriteTxn, keyring: &Keyring, tenants: Vec<String>) -> Result<Self, Fault> {
        let (mut keys, mut newest) = (HashMap::new(), HashMap::new());
        for row in txn.workspace_keys_of(tenants).await? {
            let place = row.place();
            let domain = row.domain();
            if let Some((_, row)) = &domain {
                newest.insert(place.0.clone(), row.version); // they come in order
            }
            keys.insert(place, domain.and_then(|(tenant, row)| unwrapped(keyring, &tenant, &row).ok()));
        }
        Ok(Self { keys, newest })
    }

    fn key(&self, tenant: &str, version: u32) -> Option<&WorkspaceKey> {
        self.keys.get(&(tenant.to_owned(), i32::try_from(version).ok()?))?.as_ref()
    }

    /// A record under its tenant's newest key, and that key's version; none if it does not open.
    fn resealed(&self, record: &AnyRecord) -> Result<Option<(u32, Vec<u8>)>, Fault> {
        let tenant = &record.under.0;
        let Some(stored) = &record.stored else { return Ok(None) };
        let Some(&version) = self.newest.get(tenant) else { return Ok(None) };
        let (Some(newest), Some(plaintext)) = (self.key(tenant, version), self.open(tenant, stored)) else {
            return Ok(None);
        };
        let sealed = newest.seal(version, &Binding::of(&stored.key).context(), &plaintext).map_err(sealing_failed)?;
        Ok(Some((version, sealed)))
    }

    fn open(&self, tenant: &str, stored: &StoredKey) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        let version = workspace_key_version(&stored.sealed).ok()?;
        custody::open(self.key(tenant, version)?, version, stored).ok()
    }

    /// A revoked key of a workspace that was deleted: what it was sealed under is destroyed, as it should be.
    fn is_shredded(&self, record: &AnyRecord) -> bool {
        record.revoked && !self.keys.contains_key(&record.under)
    }
}

fn about_key(action: Action, tenant: &Tenant, version: u32, origin: &Origin) -> Event {
    let details = vec![(Detail::WorkspaceKey, version.to_string())];
    event(now(), tenant, action, format!("{tenant}/workspaceKeys/{version}"), origin, details)
}
