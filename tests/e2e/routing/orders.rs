//! Sessions' bindings, agents' routes and the workspace's default mode.

use claviger_proto::routing_v1::{Directive, Fallback, ResolveKeyRequest, Source, candidate::Verdict};
use claviger_tests::{database, key, key_for, reason};

use super::*;
use crate::workspaces::{bind, binding, byok, change, route_deletion, set_route, unbind, update};

fn ask() -> ResolveKeyRequest {
    let (agent, session) = ("bob".into(), "s1".into());
    ResolveKeyRequest { agent, session, category: "llm".into(), ..resolve_request("workspaces/acme") }
}

/// The slug that a call gets, and what ruled that, as ResolveKey and ExplainRoute agree on.
async fn ruled(fleet: &Fleet, ask: ResolveKeyRequest) -> (String, Directive) {
    let resolution = fleet.resolve(ask.clone()).await.unwrap();
    let explanation = explain(fleet, ask).await;
    let directive = explanation.directive();
    let Some(rt::explain_route_response::Result::Winner(winner)) = explanation.result else { panic!("refused") };
    assert_eq!(winner.key, resolution.key);
    assert_eq!((winner.fallback, winner.source), (resolution.fallback, resolution.source));
    (resolution.key.unwrap().key_slug, directive)
}

async fn stage() -> Fleet {
    let fleet = Fleet::start().await.unwrap();
    store(&fleet, "workspaces/acme", "anthropic", "first", &key("good")).await;
    store(&fleet, "workspaces/acme", "openai", "second", &key_for("sk-proj-", "good")).await;
    store(&fleet, "platform", "anthropic", "pool", &key("good")).await;
    fleet
}

fn metered(workspace: &str, agent: &str) -> kv::SetAgentRouteRequest {
    let name = format!("workspaces/{workspace}/agents/{agent}/route");
    let route = kv::AgentRoute { name, mode: kv::AgentMode::Metered.into(), ..Default::default() };
    kv::SetAgentRouteRequest { agent_route: Some(route), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_order_rules_and_the_next_one_when_it_is_gone() {
    let fleet = stage().await;
    assert_eq!(ruled(&fleet, ask()).await, ("first".into(), Directive::Request));
    let mode = kv::Workspace { default_mode: kv::DefaultMode::Metered.into(), ..Default::default() };
    update(&fleet, change("acme", &["default_mode"], mode)).await.unwrap();
    assert_eq!(ruled(&fleet, ask()).await, ("pool".into(), Directive::WorkspaceMetered));
    set_route(&fleet, byok("acme", "bob", "openai", "second")).await.unwrap();
    assert_eq!(ruled(&fleet, ask()).await, ("second".into(), Directive::AgentRoute));
    bind(&fleet, binding("acme", "s1", "first")).await.unwrap();
    assert_eq!(ruled(&fleet, ask()).await, ("first".into(), Directive::SessionBinding));
    let pinned = ResolveKeyRequest { key_slug: "second".into(), ..ask() };
    assert_eq!(ruled(&fleet, pinned).await, ("second".into(), Directive::Pinned));
    // other agents and sessions do not notice
    let others = ResolveKeyRequest { agent: "eve".into(), session: "s2".into(), ..ask() };
    assert_eq!(ruled(&fleet, others).await, ("pool".into(), Directive::WorkspaceMetered));

    unbind(&fleet, "acme", "s1").await.unwrap();
    assert_eq!(ruled(&fleet, ask()).await, ("second".into(), Directive::AgentRoute));
    fleet.workspaces().delete_agent_route(route_deletion("acme", "bob")).await.unwrap();
    assert_eq!(ruled(&fleet, ask()).await, ("pool".into(), Directive::WorkspaceMetered));
    let mode = kv::Workspace { default_mode: kv::DefaultMode::Auto.into(), ..Default::default() };
    update(&fleet, change("acme", &["default_mode"], mode)).await.unwrap();
    assert_eq!(ruled(&fleet, ask()).await, ("first".into(), Directive::Request));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_tells_why_an_agent_still_uses_the_platform_s_key() {
    let fleet = stage().await;
    set_route(&fleet, metered("acme", "bob")).await.unwrap();
    let resolution = fleet.resolve(ask()).await.unwrap();
    assert_eq!((resolution.source(), resolution.fallback()), (Source::PlatformKey, Fallback::Metered));
    let explanation = explain(&fleet, ask()).await;
    assert_eq!(explanation.directive(), Directive::AgentRoute);
    let verdicts: Vec<_> = explanation.candidates.iter().map(rt::Candidate::verdict).collect();
    assert_eq!(verdicts, [Verdict::Metered, Verdict::Metered, Verdict::Chosen]);
    let [change] = &explanation.changes[..] else { panic!("{:?}", explanation.changes) };
    assert_eq!(change.key.as_ref().unwrap().key_slug, "first");
    assert_eq!(change.message, "let the agent use own keys (SetAgentRoute, mode = AUTO or BYOK)");
    // and that is what helps
    set_route(&fleet, byok("acme", "bob", "anthropic", "")).await.unwrap();
    assert_eq!(ruled(&fleet, ask()).await, ("first".into(), Directive::AgentRoute));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_written_to_behind_the_vault_s_back_refuses_its_calls_and_no_others() {
    let fleet = stage().await;
    set_route(&fleet, byok("acme", "bob", "openai", "second")).await.unwrap();
    bind(&fleet, binding("acme", "s1", "first")).await.unwrap();
    let bystander = ResolveKeyRequest { agent: String::new(), session: String::new(), ..ask() };
    let saved = "CREATE TABLE saved_routes AS SELECT * FROM agent_routes; \
                 CREATE TABLE saved_bindings AS SELECT * FROM session_bindings";
    database::alter(&fleet.database(), saved).await.unwrap();
    for (edit, mended, refused) in [
        (
            "DELETE FROM agent_routes",
            "INSERT INTO agent_routes SELECT * FROM saved_routes",
            ResolveKeyRequest { session: String::new(), ..ask() },
        ),
        (
            "DELETE FROM session_bindings",
            "INSERT INTO session_bindings SELECT * FROM saved_bindings",
            ResolveKeyRequest { agent: String::new(), ..ask() },
        ),
        (
            "UPDATE agent_routes SET mode = 'METERED'",
            "UPDATE agent_routes SET mode = 'BYOK'",
            ResolveKeyRequest { session: String::new(), ..ask() },
        ),
        (
            "UPDATE session_bindings SET key_slug = 'second'",
            "UPDATE session_bindings SET key_slug = 'first'",
            ResolveKeyRequest { agent: String::new(), ..ask() },
        ),
    ] {
        database::alter(&fleet.database(), edit).await.unwrap();
        assert_eq!(reason(&fleet.resolve(refused.clone()).await.unwrap_err()), "WORKSPACE_ALTERED", "{edit}");
        assert_eq!(fleet.resolve(bystander.clone()).await.unwrap().key.unwrap().key_slug, "first");
        database::alter(&fleet.database(), mended).await.unwrap();
        assert!(fleet.resolve(refused).await.is_ok(), "{mended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_provider_than_the_agent_is_told_to_use_is_named() {
    let fleet = stage().await;
    set_route(&fleet, byok("acme", "bob", "mistral", "")).await.unwrap();
    let explanation = explain(&fleet, ResolveKeyRequest { category: String::new(), ..ask() }).await;
    let named: Vec<_> =
        explanation.changes.iter().map(|change| change.key.as_ref().unwrap().key_slug.as_str()).collect();
    assert_eq!(named, ["first", "second"]);
    assert!(explanation.changes[0].message.contains("anthropic"), "{}", explanation.changes[0].message);
    let as_told = ResolveKeyRequest { category: String::new(), provider: "anthropic".into(), ..ask() };
    assert_eq!(ruled(&fleet, as_told).await.0, "first");
}
