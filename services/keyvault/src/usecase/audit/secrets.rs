//! The seals of stored secrets: a row's tag leaves its ciphertext out, as that is bound to the key by itself.

use std::collections::HashMap;

use claviger_core::ids::Tenant;
use claviger_core::key::KeyState;
use claviger_crypto::{WorkspaceKey, workspace_key_version};

use crate::store::{StoredKey, WorkspaceKeyRow};
use crate::usecase::custody::{self, Custody};

/// What some keys are sealed under.
pub(super) struct WorkspaceKeys(HashMap<(Tenant, u32), WorkspaceKey>);

impl WorkspaceKeys {
    /// Opens those that open.
    pub(super) fn open(custody: &Custody, rows: &[(Tenant, WorkspaceKeyRow)]) -> Self {
        let open = |(tenant, row): &(Tenant, WorkspaceKeyRow)| {
            let key = custody.workspace_key(tenant, row).ok()?;
            Some(((tenant.clone(), row.version), key))
        };
        Self(rows.iter().filter_map(open).collect())
    }

    /// Whether a key's ciphertext is its own. That of a revoked key is never opened again; that of a purged one is gone.
    pub(super) fn is_sound(&self, stored: &StoredKey) -> bool {
        match stored.key.state {
            KeyState::Purged => stored.sealed.is_empty(),
            state if state.is_revoked() => true,
            _ => custody::is_url_only(stored) || self.opens(stored),
        }
    }

    /// What it opens to is wiped at once.
    fn opens(&self, stored: &StoredKey) -> bool {
        let Ok(version) = workspace_key_version(&stored.sealed) else { return false };
        let key = self.0.get(&(stored.key.name.owner.tenant.clone(), version));
        key.is_some_and(|key| custody::open(key, version, stored).is_ok())
    }
}
