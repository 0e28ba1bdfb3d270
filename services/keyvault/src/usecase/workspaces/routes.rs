//! Agents' standing orders.

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::command::{DeleteAgentRoute, ListAgentRoutes, SetAgentRoute};
use claviger_core::fault::Fault;
use claviger_core::ids::{AgentId, Owner, Tenant, WorkspaceId};
use claviger_core::position::Position;
use claviger_core::reason::Reason;
use claviger_core::workspace::{AgentRoute, agent_route_name};
use time::OffsetDateTime;

use super::Workspaces;
use crate::store::{Kept, StoreError, WriteTxn};
use crate::usecase::keys::check_pin;
use crate::usecase::page::{self, Page};
use crate::usecase::{Answer, Call, event, now, policy};

impl Workspaces {
    /// Gives an agent its standing order, in place of the one before.
    ///
    /// # Errors
    /// `WORKSPACE_NOT_FOUND`, `WORKSPACE_READ_ONLY`, `ETAG_MISMATCH`, `INVALID_FIELD`, `KEY_NOT_FOUND`,
    /// `PROVIDER_MISMATCH`, `KEY_ALTERED`, `WORKSPACE_ALTERED`, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn set_route(
        &self,
        mut command: SetAgentRoute,
        call: Call<Kept<AgentRoute>>,
    ) -> Result<Answer<Kept<AgentRoute>>, Fault> {
        let provider = command.provider.map(|given| self.provider("agent_route.provider", &given)).transpose()?;
        command.provider = provider;
        let origin = call.origin.clone();
        call.write(&self.store, move |txn| Box::pin(async move { set(txn, command, &origin).await })).await
    }

    /// Shows an agent's standing order.
    ///
    /// # Errors
    /// `ROUTE_NOT_FOUND`, `WORKSPACE_ALTERED`, `STORAGE_UNAVAILABLE`.
    pub async fn route(&self, workspace: &WorkspaceId, agent: &AgentId) -> Result<(Kept<AgentRoute>, Position), Fault> {
        let at = self.position().await?;
        Ok((self.store.agent_route(workspace, agent).await?.ok_or_else(not_found)?, at))
    }

    /// Lists a workspace's standing orders by agent, a page at a time.
    ///
    /// # Errors
    /// `INVALID_FIELD` for a token of another listing, `WORKSPACE_ALTERED`, `STORAGE_UNAVAILABLE`.
    pub async fn routes(&self, list: &ListAgentRoutes) -> Result<Page<Kept<AgentRoute>>, Fault> {
        const KIND: &str = "agent-routes";
        let (key, workspace) = (self.custody.page_token(), &list.workspace);
        let after = page::text_cursor(key, KIND, workspace.as_str(), list.page.token.as_deref())?;
        let at = self.position().await?;
        let one_more = u64::from(list.page.size) + 1;
        let found = self.store.agent_routes(workspace, after.as_deref(), one_more).await?;
        let cursor = |last: &Kept<AgentRoute>| last.value.agent.to_string();
        let token = |last: &_| page::token(key, KIND, workspace.as_str(), cursor(last).as_bytes());
        Ok(Page::cut(found, list.page.size, at, token))
    }

    /// Ends an agent's standing order, an altered one too.
    ///
    /// # Errors
    /// `ROUTE_NOT_FOUND`, `WORKSPACE_READ_ONLY`, `WORKSPACE_ALTERED` for the workspace's own record, `REQUEST_ID_REUSED`,
    /// `STORAGE_UNAVAILABLE`.
    pub async fn delete_route(&self, command: DeleteAgentRoute, call: Call<()>) -> Result<Answer<()>, Fault> {
        let origin = call.origin.clone();
        call.write(&self.store, move |txn| {
            Box::pin(async move {
                let DeleteAgentRoute { workspace, agent } = command;
                match txn.agent_route(&workspace, &agent).await {
                    Ok(Some(_)) | Err(StoreError::Altered(..)) => {}
                    Ok(None) => return Err(not_found()),
                    Err(error) => return Err(error.into()),
                }
                policy::check_writable(&policy::workspace(txn, &workspace).await?.value.policy)?;
                end_route(txn, &workspace, &agent, &origin).await
            })
        })
        .await
    }
}

async fn set(txn: &mut WriteTxn, command: SetAgentRoute, origin: &Origin) -> Result<Kept<AgentRoute>, Fault> {
    let SetAgentRoute { workspace, agent, mode, provider, slug, model, consent, etag } = command;
    policy::check_writable(&policy::workspace(txn, &workspace).await?.value.policy)?;
    let before = txn.agent_route(&workspace, &agent).await?;
    match (&before, &etag) {
        (None, Some(_)) => return Err(policy::changed()),
        (None, None) => {}
        (Some(kept), given) => policy::check_etag(given.as_deref(), kept.seq)?,
    }
    if let Some(slug) = &slug {
        let owner = Owner { tenant: Tenant::Workspace(workspace.clone()), user: None };
        check_pin(txn, &[owner], slug, provider.as_ref()).await?;
    }
    let now = now();
    let create_time = before.map_or(now, |kept| kept.value.create_time);
    let updater = origin.actor.clone();
    let route =
        AgentRoute { workspace, agent, mode, provider, slug, model, consent, create_time, update_time: now, updater };
    let stamp = txn.record(&route_set(&route, origin)).await?;
    txn.put_agent_route(&route, &stamp).await?;
    Ok(Kept { value: route, seq: txn.base().seq })
}

/// Ends an agent's standing order, with the event that tells of it.
pub(super) async fn end_route(
    txn: &mut WriteTxn,
    workspace: &WorkspaceId,
    agent: &AgentId,
    origin: &Origin,
) -> Result<(), Fault> {
    let name = agent_route_name(workspace, agent);
    let stamp = txn.record(&about(workspace, now(), Action::AgentRouteDeleted, name, origin, Vec::new())).await?;
    let ended = txn.delete_agent_route(workspace, agent, &stamp).await?;
    if ended { Ok(()) } else { Err(not_found()) }
}

fn route_set(route: &AgentRoute, origin: &Origin) -> Event {
    let details = [
        Some((Detail::Mode, route.mode.as_str().to_owned())),
        route.provider.as_ref().map(|provider| (Detail::Provider, provider.to_string())),
        route.slug.as_ref().map(|slug| (Detail::KeySlug, slug.to_string())),
        route.consent.map(|consent| (Detail::FallbackConsent, consent.as_str().to_owned())),
    ];
    let details = details.into_iter().flatten().collect();
    about(&route.workspace, route.update_time, Action::AgentRouteSet, route.name(), origin, details)
}

/// An event about something of a workspace's.
pub(super) fn about(
    workspace: &WorkspaceId,
    time: OffsetDateTime,
    action: Action,
    target: String,
    origin: &Origin,
    details: Vec<(Detail, String)>,
) -> Event {
    event(time, &Tenant::Workspace(workspace.clone()), action, target, origin, details)
}

fn not_found() -> Fault {
    Fault::new(Reason::RouteNotFound, "the agent has no route: the workspace's default mode serves it")
}
