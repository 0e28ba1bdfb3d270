//! Keys: store, show, list, test, revoke.

mod create;
mod test;

use std::sync::Arc;

use claviger_core::audit::{Action, Detail, Origin};
use claviger_core::catalog::{Catalog, Provider};
use claviger_core::command::{ListKeys, RevokeKey};
use claviger_core::fault::Fault;
use claviger_core::ids::{KeyName, ProviderId};
use claviger_core::key::{KeyState, ProviderKey, Revocation};
use claviger_core::position::Position;
use claviger_core::reason::Reason;

pub use create::Created;

use super::custody::Custody;
use super::{event, now, page};
use crate::store::Store;
use crate::verify::Verifier;

/// The use-cases of keys.
#[derive(Debug, Clone)]
pub struct Keys {
    store: Store,
    custody: Arc<Custody>,
    catalog: Arc<Catalog>,
    verifier: Verifier,
    implicit_workspaces: bool,
}

/// One page of a listing.
#[derive(Debug)]
pub struct Page {
    /// The keys.
    pub keys: Vec<ProviderKey>,
    /// Gets the next page, if there is one.
    pub next: Option<String>,
    /// The point of history that the page is no older than.
    pub at: Position,
}

impl Keys {
    /// Over a store. With `implicit_workspaces` a workspace's first key makes its record.
    #[must_use]
    pub fn new(
        store: Store,
        custody: Arc<Custody>,
        catalog: Arc<Catalog>,
        verifier: Verifier,
        implicit_workspaces: bool,
    ) -> Self {
        Self { store, custody, catalog, verifier, implicit_workspaces }
    }

    /// Shows a key, revoked or not.
    ///
    /// # Errors
    /// `KEY_NOT_FOUND`, `STORAGE_UNAVAILABLE`.
    pub async fn show(&self, name: &KeyName) -> Result<(ProviderKey, Position), Fault> {
        let at = self.position().await?;
        let stored = self.store.key(name).await?.ok_or_else(|| not_found(name))?;
        Ok((stored.key, at))
    }

    /// Lists an owner's keys, a page at a time.
    ///
    /// # Errors
    /// `INVALID_FIELD` for a token of another listing, `STORAGE_UNAVAILABLE`.
    pub async fn list(&self, list: &ListKeys) -> Result<Page, Fault> {
        let after = page::after(self.custody.page_token(), list)?;
        let at = self.position().await?;
        let size = list.page_size as usize;
        let one_more = u64::from(list.page_size) + 1;
        let rows = self.store.keys(&list.owner, list.show_revoked, after.as_ref(), one_more).await?;
        let more = rows.len() > size;
        let keys: Vec<_> = rows.into_iter().take(size).map(|stored| stored.key).collect();
        let next = keys.last().filter(|_| more).map(|last| page::token(self.custody.page_token(), list, last));
        Ok(Page { keys, next, at })
    }

    /// Revokes a key. Revoking a revoked key changes nothing.
    ///
    /// # Errors
    /// `KEY_NOT_FOUND`, `STORAGE_UNAVAILABLE`.
    pub async fn revoke(&self, command: RevokeKey, origin: &Origin) -> Result<(ProviderKey, Position), Fault> {
        let name = &command.name;
        let txn = self.store.begin().await?;
        let mut key = txn.key(name).await?.ok_or_else(|| not_found(name))?.key;
        if key.state.is_revoked() {
            return Ok((key, txn.base()));
        }
        let now = now();
        key.state = KeyState::Revoked;
        key.update_time = now;
        key.revocation = Some(Revocation { time: now, actor: origin.actor.clone(), reason: command.reason });
        txn.update_key(&key).await?;
        let details = vec![(Detail::KeySlug, key.slug.to_string()), (Detail::State, key.state.as_str().to_owned())];
        let event = event(now, &name.owner.tenant, Action::KeyRevoked, name.to_string(), origin, details);
        let at = txn.commit(event, Vec::new()).await?;
        Ok((key, at))
    }

    /// The catalog's entry of a key's provider, if the catalog still has it.
    #[must_use]
    pub fn provider(&self, id: &ProviderId) -> Option<&Provider> {
        self.catalog.provider(id.as_str())
    }

    async fn position(&self) -> Result<Position, Fault> {
        Ok(Position { epoch: self.store.epoch(), seq: self.store.seq().await? })
    }
}

fn not_found(name: &KeyName) -> Fault {
    // the id alone: the rest of the name is the caller's text
    Fault::new(Reason::KeyNotFound, "no such key").resource("claviger.dev/ProviderKey", name.id.to_string())
}
