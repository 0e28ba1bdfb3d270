//! Workspaces: their policies, their standing orders, and their end.

mod again;
mod behalf;
mod creation;
mod deletion;
mod listing;
mod plans;
mod policy;
mod routes;
mod sessions;
mod shredding;

use claviger_proto::keyvault_v1 as kv;
use claviger_tests::{Fleet, Options, audit};
use tonic::Status;

/// A vault and a routing service with more settings.
pub(crate) async fn fleet(vault: &[(&str, &str)], routing: &[(&str, &str)]) -> Fleet {
    let environment = claviger_tests::fleet::environment;
    Fleet::start_with(Options { vault: environment(vault), routing: environment(routing), ..Options::default() })
        .await
        .unwrap()
}

/// A key that comes with its workspace.
fn first_key(provider: &str, secret: &str) -> kv::FirstKey {
    let request = claviger_tests::fleet::create_request("", provider, secret);
    kv::FirstKey { provider_key: request.provider_key, secret: request.secret, ..Default::default() }
}

pub(crate) async fn get(fleet: &Fleet, id: &str) -> Result<kv::Workspace, Status> {
    let request = kv::GetWorkspaceRequest { name: format!("workspaces/{id}") };
    Ok(fleet.workspaces().get_workspace(request).await?.into_inner())
}

/// A request to change fields of a workspace.
pub(crate) fn change(id: &str, mask: &[&str], workspace: kv::Workspace) -> kv::UpdateWorkspaceRequest {
    kv::UpdateWorkspaceRequest {
        workspace: Some(kv::Workspace { name: format!("workspaces/{id}"), ..workspace }),
        update_mask: Some(claviger_proto::FieldMask { paths: mask.iter().map(ToString::to_string).collect() }),
        ..Default::default()
    }
}

pub(crate) async fn update(fleet: &Fleet, request: kv::UpdateWorkspaceRequest) -> Result<kv::Workspace, Status> {
    Ok(fleet.workspaces().update_workspace(request).await?.into_inner())
}

async fn set_read_only(fleet: &Fleet, id: &str, read_only: bool) {
    let workspace = kv::Workspace { read_only, ..Default::default() };
    update(fleet, change(id, &["read_only"], workspace)).await.unwrap();
}

fn deletion(id: &str) -> kv::DeleteWorkspaceRequest {
    kv::DeleteWorkspaceRequest { name: format!("workspaces/{id}"), ..Default::default() }
}

async fn delete(fleet: &Fleet, id: &str) -> Result<kv::DeleteWorkspaceResponse, Status> {
    Ok(fleet.workspaces().delete_workspace(deletion(id)).await?.into_inner())
}

/// An agent's order to use a provider's own keys.
pub(crate) fn byok(workspace: &str, agent: &str, provider: &str, slug: &str) -> kv::SetAgentRouteRequest {
    let route = kv::AgentRoute {
        name: format!("workspaces/{workspace}/agents/{agent}/route"),
        mode: kv::AgentMode::Byok.into(),
        provider: provider.to_owned(),
        key_slug: slug.to_owned(),
        ..Default::default()
    };
    kv::SetAgentRouteRequest { agent_route: Some(route), ..Default::default() }
}

pub(crate) async fn set_route(fleet: &Fleet, request: kv::SetAgentRouteRequest) -> Result<kv::AgentRoute, Status> {
    Ok(fleet.workspaces().set_agent_route(request).await?.into_inner())
}

pub(crate) async fn route(fleet: &Fleet, workspace: &str, agent: &str) -> Result<kv::AgentRoute, Status> {
    let request = kv::GetAgentRouteRequest { name: format!("workspaces/{workspace}/agents/{agent}/route") };
    Ok(fleet.workspaces().get_agent_route(request).await?.into_inner())
}

pub(crate) fn route_deletion(workspace: &str, agent: &str) -> kv::DeleteAgentRouteRequest {
    let name = format!("workspaces/{workspace}/agents/{agent}/route");
    kv::DeleteAgentRouteRequest { name, ..Default::default() }
}

/// A session's binding to a key.
pub(crate) fn binding(workspace: &str, session: &str, slug: &str) -> kv::SessionBinding {
    let name = format!("workspaces/{workspace}/sessions/{session}/binding");
    kv::SessionBinding { name, key_slug: slug.to_owned(), ..Default::default() }
}

fn bind_request(binding: kv::SessionBinding) -> kv::BindSessionRequest {
    kv::BindSessionRequest { session_binding: Some(binding), ..Default::default() }
}

pub(crate) async fn bind(fleet: &Fleet, binding: kv::SessionBinding) -> Result<kv::SessionBinding, Status> {
    Ok(fleet.workspaces().bind_session(bind_request(binding)).await?.into_inner())
}

pub(crate) async fn bound(fleet: &Fleet, workspace: &str, session: &str) -> Result<kv::SessionBinding, Status> {
    let request = kv::GetSessionBindingRequest { name: binding(workspace, session, "").name };
    Ok(fleet.workspaces().get_session_binding(request).await?.into_inner())
}

fn unbind_request(workspace: &str, session: &str) -> kv::UnbindSessionRequest {
    kv::UnbindSessionRequest { name: binding(workspace, session, "").name, ..Default::default() }
}

pub(crate) async fn unbind(fleet: &Fleet, workspace: &str, session: &str) -> Result<kv::UnbindSessionResponse, Status> {
    Ok(fleet.workspaces().unbind_session(unbind_request(workspace, session)).await?.into_inner())
}

/// What was done so far, with the resources that it was done to.
async fn recorded(fleet: &Fleet) -> Vec<(String, String)> {
    let events = audit::events(&fleet.database()).await.unwrap();
    events.into_iter().map(|event| (event.action, event.target)).collect()
}

/// What was done to one resource, with the details.
async fn history(fleet: &Fleet, target: &str) -> Vec<(String, String)> {
    let events = audit::events(&fleet.database()).await.unwrap();
    events.into_iter().filter(|event| event.target == target).map(|event| (event.action, event.details)).collect()
}
