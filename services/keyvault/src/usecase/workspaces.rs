//! Workspaces: a tenant's policy, its agents' standing orders and its sessions' bindings.

mod create;
mod delete;
mod routes;
mod sessions;
mod update;

use std::sync::Arc;

use claviger_core::audit::{Action, Detail, Origin};
use claviger_core::catalog::Catalog;
use claviger_core::command::ListWorkspaces;
use claviger_core::fault::Fault;
use claviger_core::ids::{ProviderId, Tenant, WorkspaceId};
use claviger_core::position::Position;
use claviger_core::workspace::{Policy, Workspace};
use time::OffsetDateTime;

pub use create::Made;

use super::custody::Custody;
use super::keys::Keys;
use super::page::{self, Page};
use super::{event, policy};
use crate::store::{Kept, Stamp, Store, WriteTxn};

/// The use-cases of workspaces.
#[derive(Debug, Clone)]
pub struct Workspaces {
    store: Store,
    custody: Arc<Custody>,
    catalog: Arc<Catalog>,
    keys: Keys,
}

impl Workspaces {
    /// Over a store.
    #[must_use]
    pub fn new(store: Store, custody: Arc<Custody>, catalog: Arc<Catalog>, keys: Keys) -> Self {
        Self { store, custody, catalog, keys }
    }

    /// Shows a workspace's record.
    ///
    /// # Errors
    /// `WORKSPACE_NOT_FOUND`, `WORKSPACE_ALTERED`, `STORAGE_UNAVAILABLE`.
    pub async fn show(&self, id: &WorkspaceId) -> Result<(Kept<Workspace>, Position), Fault> {
        let at = self.position().await?;
        let found = policy::living(self.store.workspace(id).await?).ok_or_else(|| policy::not_found(id))?;
        Ok((found, at))
    }

    /// Lists the workspaces that have a record, by id, a page at a time.
    ///
    /// # Errors
    /// `INVALID_FIELD` for a token of another listing, `WORKSPACE_ALTERED`, `STORAGE_UNAVAILABLE`.
    pub async fn list(&self, list: &ListWorkspaces) -> Result<Page<Kept<Workspace>>, Fault> {
        const KIND: &str = "workspaces";
        let (key, query) = (self.custody.page_token(), format!("{:?}", list.filter));
        let after = page::text_cursor(key, KIND, &query, list.page.token.as_deref())?;
        let at = self.position().await?;
        let one_more = u64::from(list.page.size) + 1;
        let found = self.store.workspaces(&list.filter, after.as_deref(), one_more).await?;
        let token = |last: &Kept<Workspace>| page::token(key, KIND, &query, last.value.id.as_str().as_bytes());
        Ok(Page::cut(found, list.page.size, at, token))
    }

    async fn position(&self) -> Result<Position, Fault> {
        Ok(Position { epoch: self.store.epoch(), seq: self.store.seq().await? })
    }

    /// Providers by their own ids, where aliases were given, each once.
    fn allowed_providers(&self, given: &[ProviderId]) -> Result<Vec<ProviderId>, Fault> {
        let mut providers = Vec::with_capacity(given.len());
        for given in given {
            let provider = self.provider("workspace.allowed_providers", given)?;
            if !providers.contains(&provider) {
                providers.push(provider);
            }
        }
        Ok(providers)
    }

    fn default_provider(&self, given: Option<&ProviderId>) -> Result<Option<ProviderId>, Fault> {
        given.map(|given| self.provider("workspace.default_provider", given)).transpose()
    }

    fn provider(&self, field: &'static str, given: &ProviderId) -> Result<ProviderId, Fault> {
        let unknown = || Fault::field(field, "is not in the catalog; ListProviders lists what is");
        Ok(self.catalog.provider(given.as_str()).ok_or_else(unknown)?.id.clone())
    }
}

/// A new record.
pub(super) fn record(id: WorkspaceId, policy: Policy, now: OffsetDateTime, origin: &Origin) -> Workspace {
    Workspace { id, policy, create_time: now, creator: origin.actor.clone(), update_time: now, delete_time: None }
}

/// Writes a new record, in place of a deleted one if there is such. Keys of its own come with the first secret.
pub(super) async fn created(
    txn: &mut WriteTxn,
    workspace: &Workspace,
    origin: &Origin,
) -> Result<Kept<Workspace>, Fault> {
    let details = effects(&workspace.policy);
    let stamp = told(txn, workspace, Action::WorkspaceCreated, origin, details).await?;
    txn.put_workspace(workspace, &stamp).await?;
    Ok(Kept { value: workspace.clone(), seq: txn.base().seq })
}

/// Tells of a workspace's record as it is now.
async fn told(
    txn: &mut WriteTxn,
    workspace: &Workspace,
    action: Action,
    origin: &Origin,
    details: Vec<(Detail, String)>,
) -> Result<Stamp, Fault> {
    let tenant = Tenant::Workspace(workspace.id.clone());
    Ok(txn.record(&event(workspace.update_time, &tenant, action, tenant.to_string(), origin, details)).await?)
}

/// What the policy is after an event.
fn effects(policy: &Policy) -> Vec<(Detail, String)> {
    vec![
        (Detail::FallbackConsent, policy.consent.as_str().to_owned()),
        (Detail::Mode, policy.default_mode.as_str().to_owned()),
        (Detail::ReadOnly, policy.read_only.to_string()),
        (Detail::Plan, policy.plan.as_ref().map(ToString::to_string).unwrap_or_default()),
    ]
}

/// What narrows calls by default must be something that they may use.
fn check_default(policy: &Policy) -> Result<(), Fault> {
    match &policy.default_provider {
        Some(provider) if !policy.allows(provider) => {
            Err(Fault::field("workspace.default_provider", "must be one of allowed_providers, which leave it out"))
        }
        _ => Ok(()),
    }
}
