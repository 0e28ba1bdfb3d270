//! Workspaces: make and show a tenant's policy.

use std::sync::Arc;

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::catalog::Catalog;
use claviger_core::command::CreateWorkspace;
use claviger_core::fault::Fault;
use claviger_core::ids::{Tenant, WorkspaceId};
use claviger_core::position::Position;
use claviger_core::reason::Reason;
use claviger_core::workspace::{Policy, Workspace};
use time::OffsetDateTime;

use super::{event, now};
use crate::store::Store;

/// The use-cases of workspaces.
#[derive(Debug, Clone)]
pub struct Workspaces {
    store: Store,
    catalog: Arc<Catalog>,
}

impl Workspaces {
    /// Over a store.
    #[must_use]
    pub fn new(store: Store, catalog: Arc<Catalog>) -> Self {
        Self { store, catalog }
    }

    /// Makes a workspace's record.
    ///
    /// # Errors
    /// `WORKSPACE_EXISTS`, `INVALID_FIELD`, `STORAGE_UNAVAILABLE`.
    pub async fn create(&self, mut command: CreateWorkspace, origin: &Origin) -> Result<(Workspace, Position), Fault> {
        if let Some(given) = &command.policy.default_provider {
            const FIELD: &str = "workspace.default_provider";
            let known = self.catalog.provider(given.as_str());
            let provider = known.ok_or_else(|| Fault::field(FIELD, "is not in the catalog; ListProviders lists it"))?;
            command.policy.default_provider = Some(provider.id.clone());
        }
        let txn = self.store.begin().await?;
        if txn.workspace(&command.id).await?.is_some() {
            return Err(exists(&command.id));
        }
        let workspace = record(command.id, command.policy, now(), origin);
        txn.insert_workspace(&workspace).await?;
        let position = txn.commit(created(&workspace, origin), Vec::new()).await?;
        Ok((workspace, position))
    }

    /// Shows a workspace's record.
    ///
    /// # Errors
    /// `WORKSPACE_NOT_FOUND`, `STORAGE_UNAVAILABLE`.
    pub async fn show(&self, id: &WorkspaceId) -> Result<(Workspace, Position), Fault> {
        let position = Position { epoch: self.store.epoch(), seq: self.store.seq().await? };
        let workspace = self.store.workspace(id).await?.ok_or_else(|| not_found(id))?;
        Ok((workspace, position))
    }
}

/// A new record.
pub(super) fn record(id: WorkspaceId, policy: Policy, now: OffsetDateTime, origin: &Origin) -> Workspace {
    Workspace { id, policy, create_time: now, creator: origin.actor.clone(), update_time: now }
}

/// The event that tells of a new record.
pub(super) fn created(workspace: &Workspace, origin: &Origin) -> Event {
    let tenant = Tenant::Workspace(workspace.id.clone());
    let consent = (Detail::FallbackConsent, workspace.policy.consent.as_str().to_owned());
    event(workspace.create_time, &tenant, Action::WorkspaceCreated, tenant.to_string(), origin, vec![consent])
}

pub(super) fn not_found(id: &WorkspaceId) -> Fault {
    Fault::new(Reason::WorkspaceNotFound, "the workspace has no record; CreateWorkspace makes one")
        .resource("claviger.dev/Workspace", format!("workspaces/{id}"))
}

fn exists(id: &WorkspaceId) -> Fault {
    Fault::new(Reason::WorkspaceExists, "the workspace has a record already")
        .resource("claviger.dev/Workspace", format!("workspaces/{id}"))
}
