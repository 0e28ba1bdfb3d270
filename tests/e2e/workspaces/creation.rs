//! A record and its first key: both or neither.

use claviger_proto::keyvault_v1::{self as kv, provider_key::State};
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::{Fleet, key, reason};
use futures::future::join_all;

use super::*;

fn with_key(id: &str, workspace: kv::Workspace, first: kv::FirstKey) -> kv::CreateWorkspaceRequest {
    kv::CreateWorkspaceRequest {
        workspace_id: id.to_owned(),
        workspace: Some(workspace),
        first_key: Some(first),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_makes_a_workspace_with_its_own_model() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    let policy = kv::Workspace {
        default_provider: "claude".into(),
        default_model: "claude-x".into(),
        allowed_providers: vec!["claude".into(), "anthropic".into()],
        ..Default::default()
    };
    let request = with_key("acme", policy, first_key("claude", &secret));
    let made = fleet.workspaces().create_workspace(request).await.unwrap().into_inner();
    assert_eq!((made.name.as_str(), made.default_provider.as_str()), ("workspaces/acme", "anthropic"));
    assert_eq!(made.allowed_providers, ["anthropic"]);
    let first = made.first_key.clone().unwrap();
    assert_eq!((first.state(), first.key_slug.as_str()), (State::Active, "anthropic"));
    assert_eq!(first.consistency_token, made.consistency_token);
    assert!(first.name.starts_with("workspaces/acme/keys/"), "{}", first.name);

    let shown = get(&fleet, "acme").await.unwrap();
    assert_eq!(shown, kv::Workspace { first_key: None, ..made.clone() });
    let ask = ResolveKeyRequest { consistency_token: made.consistency_token, ..resolve_request("workspaces/acme") };
    assert_eq!(fleet.resolve(ask).await.unwrap().credential.unwrap().secret, secret);
    let events = recorded(&fleet).await;
    let expected = [("workspace.created", "workspaces/acme"), ("key.created", first.name.as_str())];
    assert_eq!(events, expected.map(|(action, target)| (action.to_owned(), target.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_key_that_is_refused_leaves_no_workspace() {
    let fleet = fleet(&[("CLAVIGER_BYOK_PLANS", "pro")], &[]).await;
    let pro = || kv::Workspace { plan: "pro".into(), ..Default::default() };
    let good = || first_key("anthropic", &key("good"));
    for (policy, first, refusal) in [
        (pro(), first_key("anthropic", &key("bad")), "INVALID_PROVIDER_KEY"),
        (pro(), first_key("anthropic", "short"), "MALFORMED_PROVIDER_KEY"),
        (pro(), first_key("nobody", &key("good")), "INVALID_FIELD"),
        (pro(), kv::FirstKey::default(), "INVALID_FIELD"),
        (kv::Workspace { read_only: true, ..pro() }, good(), "WORKSPACE_READ_ONLY"),
        (kv::Workspace { plan: "free".into(), ..pro() }, good(), "PLAN_REQUIRED"),
        (kv::Workspace { allowed_providers: vec!["openai".into()], ..pro() }, good(), "PROVIDER_NOT_ALLOWED"),
    ] {
        let refused = fleet.workspaces().create_workspace(with_key("acme", policy, first)).await.unwrap_err();
        assert_eq!(reason(&refused), refusal);
        assert_eq!(reason(&get(&fleet, "acme").await.unwrap_err()), "WORKSPACE_NOT_FOUND", "{refusal}");
    }
    let asked = fleet.provider.received_requests().await.unwrap();
    assert_eq!(asked.len(), 1, "a key was tested that could not have been stored: {asked:?}");
    assert_eq!(recorded(&fleet).await, [("secret.tested".to_owned(), "workspaces/acme/keys/-".to_owned())]);
}

/// Between the test and the write someone else was first.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_create_one_workspace_one_wins_whole() {
    let fleet = Fleet::start().await.unwrap();
    let create = async |secret: String| {
        let request = with_key("acme", kv::Workspace::default(), first_key("anthropic", &secret));
        fleet.workspaces().create_workspace(request).await.map(|_| secret)
    };
    let done = join_all((0..8).map(|_| create(key("good")))).await;
    let mut winners = Vec::new();
    for result in done {
        match result {
            Ok(secret) => winners.push(secret),
            Err(refused) => assert_eq!(reason(&refused), "WORKSPACE_EXISTS"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(fleet.keys("workspaces/acme", true).await.unwrap().len(), 1);
    let ask = ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/acme") };
    assert_eq!(fleet.resolve(ask).await.unwrap().credential.unwrap().secret, winners[0]);
    let events = recorded(&fleet).await;
    let count = |action: &str| events.iter().filter(|(done, _)| done == action).count();
    assert_eq!((count("workspace.created"), count("key.created")), (1, 1));
    let asked = fleet.provider.received_requests().await.unwrap().len();
    assert_eq!(count("secret.tested"), asked - 1, "each test of a secret that was not stored is on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_names_providers_that_go_together() {
    let fleet = Fleet::start().await.unwrap();
    let refuse = async |workspace: kv::Workspace| reason(&fleet.make_workspace("acme", workspace).await.unwrap_err());
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    for workspace in [
        kv::Workspace { default_provider: "nobody".into(), ..Default::default() },
        kv::Workspace { allowed_providers: list(&["nobody"]), ..Default::default() },
        kv::Workspace {
            default_provider: "openai".into(),
            allowed_providers: list(&["anthropic"]),
            ..Default::default()
        },
        kv::Workspace { plan: "Pro".into(), ..Default::default() },
    ] {
        assert_eq!(refuse(workspace.clone()).await, "INVALID_FIELD", "{workspace:?}");
    }
    assert!(recorded(&fleet).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_workspaces_are_explicit_a_key_makes_none() {
    let explicit = [("CLAVIGER_EXPLICIT_WORKSPACES", "1")];
    let fleet = fleet(&explicit, &explicit).await;
    let refused = fleet.store(create_request("workspaces/acme", "anthropic", &key("good"))).await.unwrap_err();
    assert_eq!(reason(&refused), "WORKSPACE_NOT_FOUND");
    let ask = ResolveKeyRequest { category: "llm".into(), ..resolve_request("workspaces/acme") };
    assert_eq!(reason(&fleet.resolve(ask.clone()).await.unwrap_err()), "WORKSPACE_NOT_FOUND");
    fleet.make_workspace("acme", kv::Workspace::default()).await.unwrap();
    fleet.store(create_request("workspaces/acme", "anthropic", &key("good"))).await.unwrap();
    fleet.resolve(ask).await.unwrap();
}
