//! Keys: store, show, list, test, change, revoke, purge.

mod connected;
mod create;
mod draft;
mod list;
mod live;
mod oauth;
mod pin;
mod purge;
mod reorder;
mod replace;
mod revoke;
mod shred;
mod suspect;
mod test;
mod update;

use std::collections::HashMap;
use std::sync::Arc;

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::catalog::{Catalog, Provider};
use claviger_core::fault::Fault;
use claviger_core::ids::{KeyId, KeyName, ProviderId};
use claviger_core::key::ProviderKey;
use claviger_core::key_health::KeyHealth;
use claviger_core::position::Position;
use claviger_core::reason::Reason;
use claviger_core::workspace::Plans;

pub use connected::Connected;
pub use draft::Created;
pub use live::LiveTests;
pub use oauth::nothing_begun;
pub(super) use pin::check_pin;
pub(super) use shred::shred;
pub use suspect::{Suspects, suspects};

use super::custody::Custody;
use super::{event, now};
use crate::store::{Store, StoredKey, WriteTxn};
use crate::verify::Verifier;

const PRIORITY: &str = "rotation_priority";

/// A key with how it fares.
#[derive(Debug)]
pub struct Shown {
    /// The key.
    pub stored: StoredKey,
    /// As far as anything was reported of it.
    pub health: KeyHealth,
}

/// The use-cases of keys.
#[derive(Debug, Clone)]
pub struct Keys {
    store: Store,
    custody: Arc<Custody>,
    catalog: Arc<Catalog>,
    verifier: Verifier,
    plans: Arc<Plans>,
    implicit_workspaces: bool,
    live: LiveTests,
}

impl Keys {
    /// Over a store. With `implicit_workspaces` a workspace's first key makes its record.
    #[must_use]
    pub fn new(
        store: Store,
        custody: Arc<Custody>,
        catalog: Arc<Catalog>,
        verifier: Verifier,
        plans: Arc<Plans>,
        implicit_workspaces: bool,
        live: LiveTests,
    ) -> Self {
        Self { store, custody, catalog, verifier, plans, implicit_workspaces, live }
    }

    /// Shows a key, revoked or not.
    ///
    /// # Errors
    /// `KEY_NOT_FOUND`, `STORAGE_UNAVAILABLE`.
    pub async fn show(&self, name: &KeyName) -> Result<(Shown, Position), Fault> {
        let at = self.position().await?;
        let stored = self.store.key(name).await?.ok_or_else(|| not_found(name))?;
        let health = self.health(std::slice::from_ref(&stored)).await?.remove(&name.id).unwrap_or_default();
        Ok((Shown { stored, health }, at))
    }

    /// How keys fare now.
    async fn health(&self, keys: &[StoredKey]) -> Result<HashMap<KeyId, KeyHealth>, Fault> {
        let now = now();
        let mut health = self.store.health(keys, now).await?;
        for ProviderKey { name, last_test, .. } in keys.iter().map(|stored| &stored.key) {
            if let Some(known) = health.remove(&name.id) {
                health.insert(name.id, known.at(now, last_test.as_ref()));
            }
        }
        Ok(health)
    }

    /// The catalog's entry of a key's provider, if the catalog still has it.
    #[must_use]
    pub fn provider(&self, id: &ProviderId) -> Option<&Provider> {
        self.catalog.provider(id.as_str())
    }

    /// A provider that a request's field names, by its id or alias.
    fn provider_in(&self, field: &'static str, id: &ProviderId) -> Result<&Provider, Fault> {
        let unknown = || Fault::field(field, "is not in the catalog; ListProviders lists what is");
        self.catalog.provider(id.as_str()).ok_or_else(unknown)
    }

    async fn position(&self) -> Result<Position, Fault> {
        Ok(Position { epoch: self.store.epoch(), seq: self.store.seq().await? })
    }
}

/// A key as a write finds it.
async fn found(txn: &WriteTxn, name: &KeyName) -> Result<StoredKey, Fault> {
    txn.key(name).await?.ok_or_else(|| not_found(name))
}

/// A key that may still be used or changed.
///
/// # Errors
/// `KEY_REVOKED`, `KEY_ALTERED`.
fn check_usable(stored: &StoredKey) -> Result<(), Fault> {
    if stored.key.state.is_revoked() {
        return Err(Fault::new(Reason::KeyRevoked, "the key is revoked; store it anew to use it again"));
    }
    check_intact(stored)
}

fn check_intact(stored: &StoredKey) -> Result<(), Fault> {
    if !stored.intact {
        tracing::error!(key = %stored.key.name.id, "a key's row is not as its newest audit event left it");
        let message = "the key's row is not as its newest audit event left it: revoke the key and store it anew";
        return Err(Fault::new(Reason::KeyAltered, message));
    }
    Ok(())
}

/// Writes a key as it is now, with the event that tells of it.
async fn put(txn: &mut WriteTxn, stored: &mut StoredKey, event: &Event) -> Result<(), Fault> {
    let stamp = txn.record(event).await?;
    txn.update_key(stored, &stamp).await?;
    Ok(())
}

/// An event about a key, at the time of its newest change.
fn about(key: &ProviderKey, action: Action, origin: &Origin, details: Vec<(Detail, String)>) -> Event {
    let details = [vec![(Detail::KeySlug, key.slug.to_string())], details].concat();
    event(key.update_time, &key.name.owner.tenant, action, key.name.to_string(), origin, details)
}

fn state(key: &ProviderKey) -> (Detail, String) {
    (Detail::State, key.state.as_str().to_owned())
}

/// How a key ended. The event binds its row as it is: that someone had written there is told here, or nowhere.
fn ended(stored: &StoredKey) -> Vec<(Detail, String)> {
    let altered = (!stored.intact).then(|| (Detail::Altered, true.to_string()));
    [state(&stored.key)].into_iter().chain(altered).collect()
}

/// An update's event: the names of the fields that changed, and what they are now where that is of use.
fn updated(key: &ProviderKey, fields: &[&str], origin: &Origin) -> Event {
    let mut details = vec![(Detail::Fields, fields.join(",")), state(key)];
    if fields.contains(&PRIORITY) {
        details.push((Detail::RotationPriority, key.priority.to_string()));
    }
    about(key, Action::KeyUpdated, origin, details)
}

fn not_found(name: &KeyName) -> Fault {
    // the id alone: the rest of the name is the caller's text
    Fault::new(Reason::KeyNotFound, "no such key").resource("claviger.dev/ProviderKey", name.id.to_string())
}

#[cfg(test)]
mod tests;
