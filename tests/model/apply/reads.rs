//! Calls that change nothing, and the comparison of all that is kept.

use claviger_proto::keyvault_v1 as kv;
use claviger_proto::keyvault_v1::key_vault_server::KeyVault;
use claviger_proto::keyvault_v1::workspaces_server::Workspaces;
use proptest::prelude::*;
use tonic::Request;

use super::{Outcome, matches, same};
use crate::expect::Model;
use crate::ops::{OWNERS, PROVIDERS};
use crate::world::World;

pub(super) async fn list(
    world: &World,
    model: &Model,
    owner: usize,
    provider: Option<usize>,
    show_revoked: bool,
    size: i32,
) -> Outcome {
    let mut request = kv::ListProviderKeysRequest {
        parent: model.parent(owner),
        show_revoked,
        page_size: size,
        filter: provider.map(|provider| format!("provider = \"{}\"", PROVIDERS[provider])).unwrap_or_default(),
        ..Default::default()
    };
    let mut names = Vec::new();
    loop {
        let got = world.keys.list_provider_keys(Request::new(request.clone())).await;
        let page = same("list", got, Ok(()))?.unwrap_or_default();
        prop_assert!(page.provider_keys.len() <= usize::try_from(size).unwrap_or(0));
        names.extend(page.provider_keys.into_iter().map(|key| key.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let expected: Vec<_> = model.listed(owner, show_revoked, provider).iter().map(|key| key.name.clone()).collect();
    prop_assert_eq!(names, expected);
    Ok(())
}

pub(super) async fn connected(world: &World, model: &Model, owner: usize) -> Outcome {
    let request = kv::ListConnectedProvidersRequest { parent: model.parent(owner) };
    let got = world.keys.list_connected_providers(Request::new(request)).await;
    let answer = same("connected", got, Ok(()))?.unwrap_or_default();
    let got: Vec<_> = answer.connected_providers.into_iter().map(|c| (c.provider, c.active_key_count)).collect();
    let count = |provider| model.group(owner, provider).len();
    let mut expected: Vec<_> = (0..PROVIDERS.len())
        .filter(|provider| count(*provider) > 0)
        .map(|provider| (format!("providers/{}", PROVIDERS[provider]), i32::try_from(count(provider)).unwrap_or(-1)))
        .collect();
    expected.sort();
    prop_assert_eq!(got, expected);
    Ok(())
}

/// At the end, all that is kept: every key with its secret as routing gets it, and every standing order.
pub(crate) async fn compare(world: &World, model: &Model) -> Outcome {
    for owner in 0..OWNERS.len() {
        list(world, model, owner, None, true, 3).await?;
    }
    for (index, key) in model.keys.iter().enumerate() {
        let got = world.keys.get_provider_key(Request::new(kv::GetProviderKeyRequest { name: key.name.clone() })).await;
        matches(&same("get", got, Ok(()))?.unwrap_or_default(), model, index)?;
    }
    let usable = model.keys.iter().filter(|key| !key.state.ended());
    let mut expected: Vec<_> = usable.map(|key| (key.name.clone(), model.secret(key.secret, key.provider))).collect();
    expected.sort();
    prop_assert_eq!(world.fed(&model.workspace).await, (!model.deleted).then_some(expected));
    for agent in 0..2 {
        let name = format!("{}/agents/agent-{agent}/route", model.workspace);
        let expected = model.routes.get(&agent).map(drop).ok_or("ROUTE_NOT_FOUND");
        let got = world.workspaces.get_agent_route(Request::new(kv::GetAgentRouteRequest { name })).await;
        if let (Some(route), Some((provider, slug))) = (same("get a route", got, expected)?, model.routes.get(&agent)) {
            prop_assert_eq!(
                (route.provider, Some(route.key_slug).filter(|s| !s.is_empty())),
                (PROVIDERS[*provider].to_owned(), slug.clone())
            );
        }
    }
    for session in 0..2 {
        let name = format!("{}/sessions/session-{session}/binding", model.workspace);
        let expected = model.bindings.get(&session).map(drop).ok_or("BINDING_NOT_FOUND");
        let got = world.workspaces.get_session_binding(Request::new(kv::GetSessionBindingRequest { name })).await;
        same("get a binding", got, expected)?;
    }
    Ok(())
}
