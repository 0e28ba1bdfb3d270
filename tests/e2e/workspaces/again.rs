//! What is sent again under the same request id is done once.

use claviger_proto::keyvault_v1 as kv;
use claviger_tests::{Fleet, key, reason};

use super::*;

/// Sends a request twice, then another one under its id: the second answer is the first one, and nothing more is done.
macro_rules! twice {
    ($fleet:expr, $call:ident, $request:expr, |$other:ident| $change:expr) => {{
        let mut request = $request;
        request.request_id = stringify!($call).to_owned();
        let first = $fleet.workspaces().$call(request.clone()).await.unwrap().into_inner();
        let done = recorded(&$fleet).await;
        let second = $fleet.workspaces().$call(request.clone()).await.unwrap().into_inner();
        assert_eq!(second, first, "{}", stringify!($call));
        let mut $other = request;
        $change;
        let refused = $fleet.workspaces().$call($other).await.unwrap_err();
        assert_eq!(reason(&refused), "REQUEST_ID_REUSED", "{}", stringify!($call));
        assert_eq!(recorded(&$fleet).await, done, "{}", stringify!($call));
        first
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutation_is_done_once() {
    let fleet = Fleet::start().await.unwrap();
    let create = kv::CreateWorkspaceRequest {
        workspace_id: "acme".into(),
        first_key: Some(first_key("anthropic", &key("good"))),
        ..Default::default()
    };
    let made = twice!(fleet, create_workspace, create, |other| other.workspace_id = "other".into());
    assert!(made.first_key.is_some());
    assert_eq!(fleet.provider.received_requests().await.unwrap().len(), 1, "the key was tested once");
    let pro = kv::Workspace { plan: "pro".into(), etag: made.etag, ..Default::default() };
    twice!(fleet, update_workspace, change("acme", &["plan"], pro), |other| other.workspace.as_mut().unwrap().plan =
        "free".into());
    let set = byok("acme", "bob", "anthropic", "anthropic");
    twice!(fleet, set_agent_route, set, |other| other.agent_route.as_mut().unwrap().model = "x".into());
    twice!(fleet, delete_agent_route, route_deletion("acme", "bob"), |other| other.name =
        route_deletion("acme", "ann").name);
    let wanted = bind_request(binding("acme", "s", "anthropic"));
    twice!(fleet, bind_session, wanted, |other| other.session_binding.as_mut().unwrap().model = "x".into());
    twice!(fleet, unbind_session, unbind_request("acme", "s"), |other| other.name = unbind_request("acme", "t").name);
    let ended = twice!(fleet, delete_workspace, deletion("acme"), |other| other.etag = "1".into());
    assert_eq!(ended.purged_key_count, 1);
}

/// What failed is not remembered: it can be tried again under the same id.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_no_answer() {
    let fleet = Fleet::start().await.unwrap();
    let set = kv::SetAgentRouteRequest { request_id: "r".into(), ..byok("acme", "bob", "anthropic", "") };
    assert_eq!(reason(&set_route(&fleet, set.clone()).await.unwrap_err()), "WORKSPACE_NOT_FOUND");
    fleet.make_workspace("acme", kv::Workspace::default()).await.unwrap();
    set_route(&fleet, set).await.unwrap();
}
