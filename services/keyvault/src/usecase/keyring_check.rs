//! Whether a keyring opens all that a database holds. Nothing is changed, and no vault needs to run.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use claviger_crypto::{Keyring, WorkspaceKey, workspace_key_version};

use super::custody::{self, CustodyError, admit, unwrapped, unwrapped_service_key};
use crate::store::{AnyRecord, AnyWorkspaceKey, Inspection, Place, StoreError};

/// Rows that are read at a time.
const PAGE: u64 = 1_000;
/// What records are counted under whose tenant's key is not there.
const NO_KEY: &str = "(none)";

/// What was opened.
#[derive(Debug, Default)]
pub struct Report {
    /// By master key's id.
    pub keys: BTreeMap<String, Counts>,
    /// Records of deleted workspaces, whose keys were destroyed for good.
    pub shredded: u64,
}

/// What is under one master key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tenants' keys.
    pub workspace_keys: u64,
    /// The vault's own keys.
    pub service_keys: u64,
    /// Stored secrets.
    pub records: u64,
    /// Of all these, those that do not open.
    pub unreadable: u64,
}

impl Report {
    /// How many keys and records do not open.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.keys.values().map(|counts| counts.unreadable).sum()
    }
}

/// Opens every key and every record. `progress` is told how many of how many were.
///
/// # Errors
/// When the keyring lacks a master key of the database or has another one by its id, when one of the vault's own keys is
/// missing, or the database fails.
pub async fn check(
    keyring: &Keyring,
    database: &Inspection,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, CustodyError> {
    admit(keyring, &database.master_keys().await?)?;
    let total = database.count().await?;
    let report = keyring.iter().map(|key| (key.id().to_owned(), Counts::default())).collect();
    let report = Report { keys: report, shredded: 0 };
    let mut check = Check { keyring, database, report, done: 0, total, progress };
    check.service_keys().await?;
    check.workspace_keys().await?;
    check.records().await?;
    Ok(check.report)
}

struct Check<'a> {
    keyring: &'a Keyring,
    database: &'a Inspection,
    report: Report,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Check<'_> {
    async fn service_keys(&mut self) -> Result<(), CustodyError> {
        let rows = self.database.service_keys().await?;
        if !rows.is_empty() || self.database.has_events().await? {
            custody::check_complete(&rows)?;
        }
        for row in rows {
            let opened = unwrapped_service_key(self.keyring, &row).is_ok();
            self.count(row.master_key, opened, |counts| &mut counts.service_keys);
        }
        self.told();
        Ok(())
    }

    async fn workspace_keys(&mut self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let rows = self.database.workspace_keys(after.as_ref(), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.place());
            for row in rows {
                let master_key = row.master_key.clone();
                let opened = opened(self.keyring, row).is_some();
                self.count(master_key, opened, |counts| &mut counts.workspace_keys);
            }
            self.told();
        }
    }

    async fn records(&mut self) -> Result<(), StoreError> {
        let mut after: Option<String> = None;
        loop {
            let rows = self.database.records(after.as_deref(), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id.clone());
            let tenants: BTreeSet<_> = rows.iter().map(|row| row.under.0.clone()).collect();
            let mut keys = HashMap::new();
            for row in self.database.workspace_keys_of(tenants.into_iter().collect()).await? {
                keys.insert(row.place(), (row.master_key.clone(), opened(self.keyring, row)));
            }
            for row in &rows {
                self.record(&keys, row);
            }
            self.told();
        }
    }

    fn record(&mut self, keys: &HashMap<Place, (String, Option<WorkspaceKey>)>, record: &AnyRecord) {
        let Some((master_key, key)) = keys.get(&record.under) else {
            if record.revoked {
                self.report.shredded += 1;
                self.done += 1;
            } else {
                self.count(NO_KEY.to_owned(), false, |counts| &mut counts.records);
            }
            return;
        };
        let opened = key.as_ref().zip(record.stored.as_ref()).is_some_and(|(key, stored)| {
            // a version that no row names is destroyed one day: row and record must agree
            workspace_key_version(&stored.sealed)
                .is_ok_and(|version| version == stored.workspace_key && custody::open(key, version, stored).is_ok())
        });
        self.count(master_key.clone(), opened, |counts| &mut counts.records);
    }

    fn count(&mut self, master_key: String, opened: bool, what: fn(&mut Counts) -> &mut u64) {
        let counts = self.report.keys.entry(master_key).or_default();
        *what(counts) += 1;
        counts.unreadable += u64::from(!opened);
        self.done += 1;
    }

    fn told(&mut self) {
        (self.progress)(self.done, self.total);
    }
}

fn opened(keyring: &Keyring, row: AnyWorkspaceKey) -> Option<WorkspaceKey> {
    let (tenant, row) = row.domain()?;
    unwrapped(keyring, &tenant, &row).ok()
}
