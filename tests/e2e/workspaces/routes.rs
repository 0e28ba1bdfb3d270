//! Agents' standing orders.

use claviger_proto::keyvault_v1 as kv;
use claviger_tests::{Fleet, database, key, key_for, reason};

use super::*;

fn of(request: &mut kv::SetAgentRouteRequest) -> &mut kv::AgentRoute {
    request.agent_route.as_mut().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_set_changed_and_ended() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let mut first = byok("acme", "bob", "claude", "anthropic");
    of(&mut first).model = "claude-x".into();
    of(&mut first).set_fallback_consent(kv::FallbackConsent::Never);
    let set = set_route(&fleet, first).await.unwrap();
    assert_eq!((set.mode(), set.provider.as_str()), (kv::AgentMode::Byok, "anthropic"));
    assert_eq!((set.key_slug.as_str(), set.model.as_str()), ("anthropic", "claude-x"));
    assert_eq!(set.fallback_consent(), kv::FallbackConsent::Never);
    assert_eq!((set.updater.as_str(), set.create_time), ("development", set.update_time));
    assert_eq!(route(&fleet, "acme", "bob").await.unwrap(), set);

    let name = set.name.clone();
    let order = kv::AgentRoute { name: name.clone(), mode: kv::AgentMode::Metered.into(), ..Default::default() };
    let request = kv::SetAgentRouteRequest { agent_route: Some(order), ..Default::default() };
    let metered = set_route(&fleet, request).await.unwrap();
    assert_eq!(
        (metered.mode(), metered.provider.as_str(), metered.key_slug.as_str()),
        (kv::AgentMode::Metered, "", "")
    );
    assert_eq!(metered.create_time, set.create_time);
    assert_ne!(metered.etag, set.etag);

    fleet.workspaces().delete_agent_route(route_deletion("acme", "bob")).await.unwrap();
    assert_eq!(reason(&route(&fleet, "acme", "bob").await.unwrap_err()), "ROUTE_NOT_FOUND");
    let again = fleet.workspaces().delete_agent_route(route_deletion("acme", "bob")).await.unwrap_err();
    assert_eq!(reason(&again), "ROUTE_NOT_FOUND");
    let text = r#"{"fallback_consent":"NEVER","key_slug":"anthropic","mode":"BYOK","provider":"anthropic"}"#;
    let expected =
        [("agent_route.set", text), ("agent_route.set", r#"{"mode":"METERED"}"#), ("agent_route.deleted", "{}")];
    assert_eq!(history(&fleet, &name).await, expected.map(|(action, text)| (action.to_owned(), text.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_names_an_unrevoked_workspace_key_of_its_provider() {
    let fleet = Fleet::start().await.unwrap();
    let gone = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    fleet.create("workspaces/acme", "openai", &key_for("sk-proj-", "good")).await.unwrap();
    fleet.create("workspaces/acme/users/ann", "mistral", &key_for("", "good")).await.unwrap();
    fleet.create("workspaces/other", "elevenlabs", &key_for("sk_", "good")).await.unwrap();
    set_route(&fleet, byok("acme", "a", "anthropic", "anthropic")).await.unwrap();
    fleet.revoke(&gone.name).await.unwrap();
    for (provider, slug, refusal) in [
        ("anthropic", "anthropic", "KEY_NOT_FOUND"), // revoked
        ("anthropic", "nobody-s", "KEY_NOT_FOUND"),
        ("mistral", "mistral", "KEY_NOT_FOUND"),       // a personal one
        ("elevenlabs", "elevenlabs", "KEY_NOT_FOUND"), // another workspace's
        ("anthropic", "openai", "PROVIDER_MISMATCH"),
        ("nobody", "", "INVALID_FIELD"),
        ("", "openai", "INVALID_FIELD"),
    ] {
        let refused = set_route(&fleet, byok("acme", "b", provider, slug)).await.unwrap_err();
        assert_eq!(reason(&refused), refusal, "{provider} {slug}");
    }
    assert_eq!(reason(&route(&fleet, "acme", "b").await.unwrap_err()), "ROUTE_NOT_FOUND");
    set_route(&fleet, byok("acme", "b", "anthropic", "")).await.unwrap(); // an order without a slug needs no key yet
    let nowhere = set_route(&fleet, byok("nowhere", "b", "anthropic", "")).await.unwrap_err();
    assert_eq!(reason(&nowhere), "WORKSPACE_NOT_FOUND");
    let mut slug_alone = byok("acme", "b", "openai", "openai");
    of(&mut slug_alone).set_mode(kv::AgentMode::Auto);
    assert_eq!(reason(&set_route(&fleet, slug_alone).await.unwrap_err()), "INVALID_FIELD");
    database::alter(&fleet.database(), "UPDATE provider_keys SET label = 'x' WHERE provider = 'openai'").await.unwrap();
    let altered = set_route(&fleet, byok("acme", "b", "openai", "openai")).await.unwrap_err();
    assert_eq!(reason(&altered), "KEY_ALTERED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_changes_under_its_etag_alone() {
    let fleet = Fleet::start().await.unwrap();
    fleet.make_workspace("acme", kv::Workspace::default()).await.unwrap();
    let with_etag = |etag: &str| {
        let mut request = byok("acme", "bob", "anthropic", "");
        of(&mut request).etag = etag.to_owned();
        request
    };
    assert_eq!(reason(&set_route(&fleet, with_etag("1")).await.unwrap_err()), "ETAG_MISMATCH");
    let first = set_route(&fleet, with_etag("")).await.unwrap().etag;
    let second = set_route(&fleet, with_etag(&first)).await.unwrap().etag;
    assert_eq!(reason(&set_route(&fleet, with_etag(&first)).await.unwrap_err()), "ETAG_MISMATCH");
    assert_eq!(route(&fleet, "acme", "bob").await.unwrap().etag, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_workspace_keeps_its_orders() {
    let fleet = Fleet::start().await.unwrap();
    fleet.make_workspace("acme", kv::Workspace::default()).await.unwrap();
    let set = set_route(&fleet, byok("acme", "bob", "anthropic", "")).await.unwrap();
    set_read_only(&fleet, "acme", true).await;
    let refused = [
        set_route(&fleet, byok("acme", "bob", "openai", "")).await.unwrap_err(),
        set_route(&fleet, byok("acme", "ann", "openai", "")).await.unwrap_err(),
        fleet.workspaces().delete_agent_route(route_deletion("acme", "bob")).await.unwrap_err(),
    ];
    assert_eq!(refused.each_ref().map(reason), ["WORKSPACE_READ_ONLY"; 3]);
    let kept = route(&fleet, "acme", "bob").await.unwrap();
    assert_eq!((kept.provider, kept.etag), (set.provider, set.etag));
}

/// An order that was written to behind the vault's back, or put back after its end, orders nothing; it can be ended.
#[tokio::test(flavor = "multi_thread")]
async fn an_altered_order_is_none() {
    let fleet = Fleet::start().await.unwrap();
    fleet.make_workspace("acme", kv::Workspace::default()).await.unwrap();
    set_route(&fleet, byok("acme", "bob", "anthropic", "")).await.unwrap();
    let sql = async |sql: &str| database::alter(&fleet.database(), sql).await.unwrap();
    sql("CREATE TABLE kept AS SELECT * FROM agent_routes").await;
    sql("UPDATE agent_routes SET mode = 'METERED'").await;
    assert_eq!(reason(&route(&fleet, "acme", "bob").await.unwrap_err()), "WORKSPACE_ALTERED");
    fleet.workspaces().delete_agent_route(route_deletion("acme", "bob")).await.unwrap();
    assert_eq!(reason(&route(&fleet, "acme", "bob").await.unwrap_err()), "ROUTE_NOT_FOUND");
    sql("INSERT INTO agent_routes SELECT * FROM kept").await;
    assert_eq!(reason(&route(&fleet, "acme", "bob").await.unwrap_err()), "WORKSPACE_ALTERED");
}
