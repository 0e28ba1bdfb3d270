//! The feed: what routing is given of a tenant, each secret sealed anew for one subscription.

use std::collections::HashMap;
use std::sync::Arc;

use claviger_core::catalog::AuthType;
use claviger_core::fault::Fault;
use claviger_core::ids::Tenant;
use claviger_core::key::ProviderKey;
use claviger_core::reason::Reason;
use claviger_core::workspace::Policy;
use claviger_crypto::{OpenError, SessionSealer, WorkspaceKey, workspace_key_version};
use uuid::Uuid;

use super::custody::{self, Binding, Custody};
use crate::store::{Store, StoredKey, TenantRows};

/// The use-cases of the feed.
#[derive(Debug, Clone)]
pub struct Feed {
    store: Store,
    custody: Arc<Custody>,
}

/// One subscription.
#[derive(Debug)]
pub struct Subscription {
    feed: Feed,
    sealer: SessionSealer,
    /// Names it; bound into its cipher.
    pub session: Uuid,
    /// The history that it tells of; bound into its cipher.
    pub epoch: Uuid,
    /// HPKE's `enc`, for the other side.
    pub encapsulated_key: Vec<u8>,
}

/// A tenant as routing gets it.
#[derive(Debug)]
pub struct Tenanted {
    /// The audit sequence number that it was read at.
    pub seq: u64,
    /// The workspace has a record. True for the platform.
    pub exists: bool,
    /// Its policy.
    pub policy: Policy,
    /// Its keys.
    pub keys: Vec<Sealed>,
}

/// A key, sealed for one subscription.
#[derive(Debug)]
pub struct Sealed {
    /// The key.
    pub key: ProviderKey,
    /// Its credential under the session cipher; empty where there is none to hand out.
    pub secret: Vec<u8>,
    /// The stored secret does not open under the keyring.
    pub unreadable: bool,
}

impl Feed {
    /// Over a store.
    #[must_use]
    pub fn new(store: Store, custody: Arc<Custody>) -> Self {
        Self { store, custody }
    }

    /// Opens a subscription for the holder of an ephemeral X25519 key.
    ///
    /// # Errors
    /// `HANDSHAKE_FAILED`.
    pub fn subscribe(&self, public_key: &[u8]) -> Result<Subscription, Fault> {
        let (session, epoch) = (Uuid::now_v7(), self.store.epoch());
        let binding = claviger_core::position::session_binding(session, epoch);
        let (encapsulated_key, sealer) = SessionSealer::establish(public_key, &binding)
            .map_err(|_| Fault::new(Reason::HandshakeFailed, "hello.public_key must be an X25519 public key"))?;
        Ok(Subscription { feed: self.clone(), sealer, session, epoch, encapsulated_key })
    }
}

impl Subscription {
    /// One tenant, as it is now.
    ///
    /// # Errors
    /// `STORAGE_UNAVAILABLE`, or `INTERNAL` when the session cipher is used up.
    pub async fn load(&self, tenant: &Tenant) -> Result<Tenanted, Fault> {
        let rows = self.feed.store.tenant(tenant).await?;
        let exists = rows.workspace.is_some() || *tenant == Tenant::Platform;
        let opened = self.open_workspace_keys(tenant, &rows);
        let policy = rows.workspace.map(|w| w.policy).unwrap_or_default();
        let usable = rows.keys.into_iter().map(|stored| self.seal(&opened, stored));
        let ended = rows.ended.into_iter().map(|key| Ok(Sealed { key, secret: Vec::new(), unreadable: false }));
        let keys = usable.chain(ended).collect::<Result<_, Fault>>()?;
        Ok(Tenanted { seq: rows.seq, exists, policy, keys })
    }

    fn open_workspace_keys(&self, tenant: &Tenant, rows: &TenantRows) -> HashMap<u32, WorkspaceKey> {
        let open = |row| self.feed.custody.workspace_key(tenant, row).ok().map(|key| (row.version, key));
        rows.workspace_keys.iter().filter_map(open).collect()
    }

    fn seal(&self, keys: &HashMap<u32, WorkspaceKey>, stored: StoredKey) -> Result<Sealed, Fault> {
        let none = |key, unreadable| Ok(Sealed { key, secret: Vec::new(), unreadable });
        if custody::is_url_only(&stored) {
            return none(stored.key, false);
        }
        let Ok(plaintext) = open(keys, &stored) else {
            tracing::error!(key = %stored.key.name.id, "a stored secret does not open");
            return none(stored.key, true);
        };
        // a service account's private key never leaves the vault
        if stored.key.auth_type != AuthType::ApiKey {
            return none(stored.key, false);
        }
        let secret = self.sealer.seal(&Binding::of(&stored.key).context(), &plaintext).map_err(|error| {
            tracing::error!(%error, "the session cipher failed");
            Fault::internal()
        })?;
        Ok(Sealed { key: stored.key, secret, unreadable: false })
    }
}

fn open(keys: &HashMap<u32, WorkspaceKey>, stored: &StoredKey) -> Result<zeroize::Zeroizing<Vec<u8>>, OpenError> {
    let version = workspace_key_version(&stored.sealed)?;
    let key = keys.get(&version).ok_or(OpenError::OtherKey)?;
    custody::open(key, version, stored)
}
