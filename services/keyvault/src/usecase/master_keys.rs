//! Master keys: how much depends on each, and moving it all to the primary one.
//!
//! A rotation works on what is left, in bounded writes that wait their turn among all others. It keeps no state in the
//! database: whoever calls again goes on, and two at a time do the same work twice at worst.

mod records;
mod wraps;

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::fault::Fault;
use claviger_core::ids::Tenant;
use claviger_core::reason::Reason;
use claviger_crypto::KeyState;
use time::OffsetDateTime;

use super::custody::Custody;
use super::{event, now};
use crate::store::{Dependents, Place, Store};

/// Rows that one write changes at most: the audit head is locked meanwhile, and nobody else writes.
const BATCH: u64 = 256;
/// Tenants that get a key, or lose one, in one write at most: each is a row and an event.
const TENANTS: u64 = BATCH / 2;

/// The use-cases of master keys.
#[derive(Debug, Clone)]
pub struct MasterKeys {
    store: Store,
    custody: Arc<Custody>,
}

/// A master key of this replica's keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKey {
    /// Its id.
    pub id: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// What depends on it.
    pub dependents: Dependents,
}

/// How far a rotation is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Keys that were wrapped anew.
    pub rewrapped: u64,
    /// Keys that are not wrapped under the primary master key.
    pub remaining_keys: u64,
    /// Records that were sealed anew.
    pub resealed: u64,
    /// Records that are sealed under an older key than their tenant's newest; 0 unless records are resealed.
    pub remaining_records: u64,
    /// Records that do not open, and stay as they are.
    pub unreadable: u64,
    /// Nothing more will be done.
    pub done: bool,
}

/// A rotation under way. Dropped, it stops between two writes.
#[derive(Debug)]
pub struct Rotation {
    of: MasterKeys,
    origin: Origin,
    reseal_made_before: Option<OffsetDateTime>,
    step: Step,
    progress: Progress,
    /// Whether anything that was wrapped or sealed before was overwritten or destroyed.
    replaced: bool,
    /// Keys that do not open, by their master key's id.
    broken: BTreeMap<String, u64>,
}

/// What is done next, from behind which row.
#[derive(Debug)]
enum Step {
    Begin,
    WorkspaceKeys(Option<Place>),
    ServiceKeys,
    NewVersions(Option<String>),
    Records(Option<String>),
    OldVersions(Option<Place>),
    MasterKeys,
    Last,
    Over,
}

impl MasterKeys {
    /// Over a store.
    #[must_use]
    pub fn new(store: Store, custody: Arc<Custody>) -> Self {
        Self { store, custody }
    }

    /// This replica's keys, the primary one first, and what depends on each.
    ///
    /// # Errors
    /// `STORAGE_UNAVAILABLE`.
    pub async fn list(&self) -> Result<Vec<MasterKey>, Fault> {
        let mut found = self.store.dependents().await?;
        let keyring = self.custody.keyring();
        let shown = keyring.iter().map(|key| MasterKey {
            id: key.id().to_owned(),
            state: key.state(),
            dependents: found.remove(key.id()).unwrap_or_default(),
        });
        Ok(shown.collect())
    }

    /// Begins to wrap everything under the primary master key. With a time, tenants whose newest key was made before it get
    /// another one, and all records are sealed under their tenants' newest keys.
    ///
    /// # Errors
    /// `INVALID_FIELD` for a time that is yet to come.
    pub fn rotate(&self, reseal_made_before: Option<OffsetDateTime>, origin: Origin) -> Result<Rotation, Fault> {
        if reseal_made_before.is_some_and(|time| time > now()) {
            return Err(Fault::field("reseal_made_before", "must not lie in the future"));
        }
        let (progress, broken) = (Progress::default(), BTreeMap::new());
        Ok(Rotation {
            of: self.clone(),
            origin,
            reseal_made_before,
            step: Step::Begin,
            progress,
            replaced: false,
            broken,
        })
    }

    /// Forgets a master key that nothing is wrapped under, so that it may leave the keyring. Otherwise says what is.
    ///
    /// # Errors
    /// `STORAGE_UNAVAILABLE`.
    pub async fn release(&self, id: &str, origin: &Origin) -> Result<Dependents, Fault> {
        let (id, origin) = (id.to_owned(), origin.clone());
        let done = self.store.write(move |txn| {
            Box::pin(async move {
                let left = txn.dependents().await?.remove(&id).unwrap_or_default();
                if left.is_none() && txn.master_keys().await?.iter().any(|key| key.id == id) {
                    wraps::forget(txn, &id, &origin).await?;
                }
                Ok(left)
            })
        });
        Ok(done.await?.0)
    }
}

impl Rotation {
    /// Does the next bounded write, and says how far it all is; nothing once the last of it was said.
    ///
    /// # Errors
    /// `STORAGE_UNAVAILABLE`; at the end `KEY_UNREADABLE` when keys do not open, naming their master key.
    pub async fn next(&mut self) -> Result<Option<Progress>, Fault> {
        self.step = match std::mem::replace(&mut self.step, Step::Over) {
            Step::Begin => self.begin().await?,
            Step::WorkspaceKeys(after) => self.wrap_workspace_keys(after).await?,
            Step::ServiceKeys => self.wrap_service_keys().await?,
            Step::NewVersions(after) => self.make_new_versions(after).await?,
            Step::Records(after) => self.reseal_records(after).await?,
            Step::OldVersions(after) => self.destroy_old_versions(after).await?,
            Step::MasterKeys => self.forget_master_keys().await?,
            Step::Last => self.finish()?,
            Step::Over => return Ok(None),
        };
        Ok(Some(self.progress.clone()))
    }

    async fn begin(&mut self) -> Result<Step, Fault> {
        self.count_keys().await?;
        Ok(Step::WorkspaceKeys(None))
    }

    async fn count_keys(&mut self) -> Result<(), Fault> {
        let primary = self.of.custody.keyring().primary().id().to_owned();
        self.progress.remaining_keys = self.of.store.count_keys_not_under(&primary).await?;
        Ok(())
    }

    /// What is left after all, beside what other replicas did meanwhile.
    async fn count_again(&mut self) -> Result<Step, Fault> {
        if self.replaced {
            self.of.store.empty_log().await;
        }
        self.count_keys().await?;
        if self.reseal_made_before.is_some() {
            self.progress.remaining_records = self.of.store.count_outdated_records().await?;
        }
        Ok(Step::Last)
    }

    fn finish(&mut self) -> Result<Step, Fault> {
        if !self.broken.is_empty() {
            return Err(Fault::new(Reason::KeyUnreadable, unreadable(&self.broken)));
        }
        self.progress.done = true;
        Ok(Step::Over)
    }
}

/// Names the master keys that are missing or wrong; the first of them, as someone may have written many to the database.
fn unreadable(broken: &BTreeMap<String, u64>) -> String {
    const NAMED: usize = 8;
    let is_slug = |id: &str| id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let name = |id: &str| if is_slug(id) { id.to_owned() } else { "(malformed)".to_owned() };
    let named = broken.iter().take(NAMED).map(|(id, count)| format!("{count} under master key {}", name(id)));
    format!(
        "{} keys do not open and were left as they are: {}; give the vault a key file that holds these master keys, and call \
         again",
        broken.values().sum::<u64>(),
        named.collect::<Vec<_>>().join(", ")
    )
}

/// An event of the vault as a whole.
fn about_all(action: Action, target: String, origin: &Origin, details: Vec<(Detail, String)>) -> Event {
    event(now(), &Tenant::Platform, action, target, origin, details)
}
