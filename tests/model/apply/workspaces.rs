//! Calls about workspaces and standing orders.

use claviger_proto::keyvault_v1 as kv;
use claviger_proto::keyvault_v1::workspaces_server::Workspaces;
use proptest::prelude::*;
use tonic::Request;

use super::{Outcome, end, same};
use crate::expect::{Model, State};
use crate::ops::{OWNERS, PROVIDERS};
use crate::world::World;

pub(super) async fn set_policy(
    world: &World,
    model: &mut Model,
    read_only: Option<bool>,
    provider: Option<usize>,
    stale: bool,
) -> Outcome {
    let named = [("read_only", read_only.is_some()), ("allowed_providers", provider.is_some())];
    let paths: Vec<_> = named.into_iter().filter(|(_, given)| *given).map(|(path, _)| path.to_owned()).collect();
    if paths.is_empty() {
        return Ok(());
    }
    let expected = if !model.exists {
        Err("WORKSPACE_NOT_FOUND")
    } else if stale {
        Err("ETAG_MISMATCH")
    } else if provider.is_some() {
        model.writable()
    } else {
        Ok(())
    };
    let request = kv::UpdateWorkspaceRequest {
        workspace: Some(kv::Workspace {
            name: model.workspace.clone(),
            read_only: read_only.unwrap_or_default(),
            allowed_providers: provider.map(|provider| PROVIDERS[provider].to_owned()).into_iter().collect(),
            etag: if stale { "0".to_owned() } else { String::new() },
            ..Default::default()
        }),
        update_mask: Some(claviger_proto::FieldMask { paths }),
        ..Default::default()
    };
    let got = world.workspaces.update_workspace(Request::new(request)).await;
    if same("set the policy", got, expected)?.is_some() {
        model.read_only = read_only.unwrap_or(model.read_only);
        model.allowed = provider.or(model.allowed);
    }
    Ok(())
}

pub(super) async fn set_route(
    world: &World,
    model: &mut Model,
    agent: u8,
    provider: usize,
    slug: Option<&str>,
) -> Outcome {
    let key = slug.map(|slug| model.living(0).find(|key| key.slug == slug).map(|key| key.provider));
    let expected = match (model.exists, key) {
        (false, _) => Err("WORKSPACE_NOT_FOUND"),
        (true, _) if model.read_only => Err("WORKSPACE_READ_ONLY"),
        (true, Some(None)) => Err("KEY_NOT_FOUND"),
        (true, Some(Some(other))) if other != provider => Err("PROVIDER_MISMATCH"),
        _ => Ok(()),
    };
    let route = kv::AgentRoute {
        name: format!("{}/agents/agent-{agent}/route", model.workspace),
        mode: kv::AgentMode::Byok.into(),
        provider: PROVIDERS[provider].to_owned(),
        key_slug: slug.unwrap_or_default().to_owned(),
        ..Default::default()
    };
    let request = kv::SetAgentRouteRequest { agent_route: Some(route), ..Default::default() };
    let got = world.workspaces.set_agent_route(Request::new(request)).await;
    if same("set a route", got, expected)?.is_some() {
        model.routes.insert(agent, (provider, slug.map(str::to_owned)));
    }
    Ok(())
}

pub(super) async fn delete_route(world: &World, model: &mut Model, agent: u8) -> Outcome {
    let expected = if model.routes.contains_key(&agent) { model.writable() } else { Err("ROUTE_NOT_FOUND") };
    let name = format!("{}/agents/agent-{agent}/route", model.workspace);
    let got =
        world.workspaces.delete_agent_route(Request::new(kv::DeleteAgentRouteRequest { name, ..Default::default() }));
    if same("delete a route", got.await, expected)?.is_some() {
        model.routes.remove(&agent);
    }
    Ok(())
}

pub(super) async fn bind(world: &World, model: &mut Model, session: u8, owner: usize, slug: &str) -> Outcome {
    let expected = match (model.exists, model.named(owner, slug)) {
        (false, _) => Err("WORKSPACE_NOT_FOUND"),
        (true, _) if model.read_only => Err("WORKSPACE_READ_ONLY"),
        (true, None) => Err("KEY_NOT_FOUND"),
        (true, Some(_)) => Ok(()),
    };
    let binding = kv::SessionBinding {
        name: format!("{}/sessions/session-{session}/binding", model.workspace),
        key_slug: slug.to_owned(),
        user: OWNERS[owner].trim_start_matches("/users/").to_owned(),
        ..Default::default()
    };
    let request = kv::BindSessionRequest { session_binding: Some(binding), ..Default::default() };
    let got = world.workspaces.bind_session(Request::new(request)).await;
    if same("bind", got, expected)?.is_some() {
        model.bindings.insert(session, (owner, slug.to_owned()));
    }
    Ok(())
}

pub(super) async fn unbind(world: &World, model: &mut Model, session: u8) -> Outcome {
    let expected = if model.bindings.contains_key(&session) { Ok(()) } else { Err("BINDING_NOT_FOUND") };
    let name = format!("{}/sessions/session-{session}/binding", model.workspace);
    let got = world.workspaces.unbind_session(Request::new(kv::UnbindSessionRequest { name, ..Default::default() }));
    if same("unbind", got.await, expected)?.is_some() {
        model.bindings.remove(&session);
    }
    Ok(())
}

pub(super) async fn delete_workspace(world: &World, model: &mut Model) -> Outcome {
    let expected = if model.exists || model.deleted { Ok(()) } else { Err("WORKSPACE_NOT_FOUND") };
    let request = kv::DeleteWorkspaceRequest { name: model.workspace.clone(), ..Default::default() };
    let got = world.workspaces.delete_workspace(Request::new(request)).await;
    let Some(answer) = same("delete the workspace", got, expected)? else { return Ok(()) };
    let ended = model.keys.iter().filter(|key| key.state != State::Purged).count();
    prop_assert_eq!(answer.purged_key_count, i32::try_from(ended).unwrap_or(-1));
    (0..model.keys.len()).for_each(|index| end(model, index, State::Purged));
    model.routes.clear();
    model.bindings.clear();
    (model.exists, model.deleted, model.read_only, model.allowed) = (false, true, false, None);
    Ok(())
}
