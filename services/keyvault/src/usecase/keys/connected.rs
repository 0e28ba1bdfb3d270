//! Which providers an owner has usable keys of.

use std::collections::BTreeMap;

use claviger_core::fault::Fault;
use claviger_core::filter::Filter;
use claviger_core::ids::{Owner, ProviderId};
use claviger_core::key::KeyState;

use super::Keys;
use super::draft::MOST_KEYS;
use crate::store::StoredKey;
use crate::usecase::now;

/// A provider, and how many usable keys of it there are: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Its id; the catalog may not have it any more.
    pub provider: ProviderId,
    /// The keys that are ACTIVE, not expired and as their newest events left them.
    pub active_keys: u32,
}

impl Keys {
    /// The providers that an owner has usable keys of, by id.
    ///
    /// # Errors
    /// `STORAGE_UNAVAILABLE`.
    pub async fn connected(&self, owner: &Owner) -> Result<Vec<Connected>, Fault> {
        let keys = self.store.keys(owner, false, &Filter::default(), None, MOST_KEYS).await?;
        let now = now();
        let is_usable = |stored: &StoredKey| {
            let key = &stored.key;
            stored.intact && key.state == KeyState::Active && key.expire_time.is_none_or(|at| at > now)
        };
        let mut counts = BTreeMap::new();
        for stored in keys.into_iter().filter(is_usable) {
            *counts.entry(stored.key.provider).or_default() += 1;
        }
        Ok(counts.into_iter().map(|(provider, active_keys)| Connected { provider, active_keys }).collect())
    }
}
