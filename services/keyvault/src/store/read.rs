//! Reads. Each takes the tenant first, or a name that holds it, and sees one snapshot of the database.

mod beside;
mod keys;
mod orders;
mod workspaces;

use claviger_core::key::ProviderKey;
use claviger_core::route::Wanted;
use claviger_core::workspace::{AgentRoute, Workspace};
use sea_orm::{ConnectionTrait, EntityTrait, TransactionTrait};

use super::entity::audit_head;
use super::{Kept, Store, StoreError, StoredKey, WorkspaceKeyRow};

pub use beside::{Beside, Neighbours};
pub(super) use beside::{beside, neighbours};
pub use keys::After;
pub(super) use keys::{key, key_of_slug, keys_of_owner, keys_with_fingerprint, revoked_keys, usable_keys};
pub use orders::Bound;
pub(super) use workspaces::{agent_route, session_binding, workspace, workspace_keys};

/// All of one tenant, at one moment.
#[derive(Debug)]
pub struct TenantRows {
    /// The audit sequence number of that moment.
    pub seq: u64,
    /// The workspace's record, if it has one. None for the platform.
    pub workspace: Option<Kept<Workspace>>,
    /// Its unrevoked keys.
    pub keys: Vec<StoredKey>,
    /// Of each owner and slug, the newest revoked key: enough to tell that a pinned key is revoked.
    pub ended: Vec<ProviderKey>,
    /// The keys that its records are sealed under.
    pub workspace_keys: Vec<WorkspaceKeyRow>,
    /// The standing order of the agent that was asked for.
    pub route: Option<Kept<AgentRoute>>,
    /// The binding of the session that was asked for.
    pub binding: Bound,
}

impl Store {
    /// The newest audit sequence number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn seq(&self) -> Result<u64, StoreError> {
        Ok(head(&self.read).await?.0)
    }

    /// One tenant, with those of its standing orders that are asked for.
    ///
    /// # Errors
    /// [`StoreError::Altered`] for a workspace's record or a standing order that was written to behind the vault's back; or
    /// when the database fails or a row is corrupt.
    pub async fn tenant(&self, wanted: &Wanted) -> Result<TenantRows, StoreError> {
        let tenant = &wanted.tenant;
        let txn = self.read.begin().await?;
        let (seq, _) = head(&txn).await?;
        let workspace = match tenant.workspace() {
            Some(id) => workspace(&txn, &self.binder, id).await?,
            None => None,
        };
        let keys = usable_keys(&txn, &self.binder, tenant).await?;
        let ended = keys::newest_ended_keys(&txn, tenant).await?;
        let workspace_keys = workspace_keys(&txn, tenant).await?;
        let route = match tenant.workspace().zip(wanted.agent.as_ref()) {
            Some((workspace, agent)) => orders::route(&txn, &self.binder, workspace, agent).await?,
            None => None,
        };
        let binding = match tenant.workspace().zip(wanted.session.as_ref()) {
            Some((workspace, session)) => orders::binding(&txn, &self.binder, workspace, session).await?,
            None => Bound::Never,
        };
        txn.commit().await?;
        Ok(TenantRows { seq, workspace, keys, ended, workspace_keys, route, binding })
    }
}

pub(super) async fn head(db: &impl ConnectionTrait) -> Result<(u64, [u8; 32]), StoreError> {
    const CORRUPT: StoreError = StoreError::Corrupt("audit_head");
    let row = audit_head::Entity::find_by_id(1).one(db).await?.ok_or(CORRUPT)?;
    let seq = u64::try_from(row.seq).map_err(|_| CORRUPT)?;
    let hash = row.hash.try_into().map_err(|_| CORRUPT)?;
    Ok((seq, hash))
}
