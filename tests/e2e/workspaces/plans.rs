//! A plan gates storing and using own keys, and nothing else.

use claviger_proto::keyvault_v1 as kv;
use claviger_proto::routing_v1::{ResolveKeyRequest, Source};
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::{Fleet, key, reason};

use super::*;

async fn set_plan(fleet: &Fleet, plan: &str) {
    update(fleet, change("acme", &["plan"], kv::Workspace { plan: plan.into(), ..Default::default() })).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_own_keys_stops_their_use_and_no_more() {
    let fleet = fleet(&[("CLAVIGER_BYOK_PLANS", "pro,team")], &[]).await;
    let (own, platform) = (key("good"), key("good"));
    fleet.create("platform", "anthropic", &platform).await.unwrap();
    fleet.make_workspace("acme", kv::Workspace { plan: "pro".into(), ..Default::default() }).await.unwrap();
    let stored = fleet.create("workspaces/acme", "anthropic", &own).await.unwrap();
    let pin = || ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request("workspaces/acme") };
    let ask = || ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/acme") };
    let secret = |resolution: claviger_proto::routing_v1::Resolution| resolution.credential.unwrap().secret;
    assert_eq!(secret(fleet.resolve(pin()).await.unwrap()), own);
    assert_eq!(secret(fleet.resolve(ask()).await.unwrap()), own);

    for plan in ["free", ""] {
        set_plan(&fleet, plan).await;
        assert_eq!(reason(&fleet.resolve(pin()).await.unwrap_err()), "PLAN_REQUIRED", "{plan:?}");
        let metered = fleet.resolve(ask()).await.unwrap();
        assert_eq!((metered.source(), secret(metered)), (Source::PlatformKey, platform.clone()), "{plan:?}");
        let refused = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap_err();
        assert_eq!(reason(&refused), "PLAN_REQUIRED", "{plan:?}");
    }
    let mut never = ask();
    never.set_fallback_consent(kv::FallbackConsent::Never);
    assert_eq!(reason(&fleet.resolve(never).await.unwrap_err()), "NO_ELIGIBLE_KEY");
    let listed = fleet.keys("workspaces/acme", false).await.unwrap();
    assert_eq!(listed.into_iter().map(|key| key.name).collect::<Vec<_>>(), std::slice::from_ref(&stored.name));
    fleet.test(&stored.name).await.unwrap();
    let parent = "workspaces/acme".to_owned();
    let list = kv::ListAuditEventsRequest { parent: parent.clone(), page_size: 500, ..Default::default() };
    let listed = fleet.audit_log().list_audit_events(list).await.unwrap().into_inner().audit_events;
    assert_eq!((listed[0].action.as_str(), &listed[0].target), ("key.tested", &stored.name));
    let export = kv::ExportAuditEventsRequest { parent, ..Default::default() };
    let mut export = fleet.audit_log().export_audit_events(export).await.unwrap().into_inner();
    let mut file = String::new();
    while let Some(part) = export.message().await.unwrap() {
        file += &part.lines;
    }
    assert_eq!(file.lines().filter(|line| line.contains("\"action\":")).count(), listed.len());

    set_plan(&fleet, "team").await;
    assert_eq!(secret(fleet.resolve(pin()).await.unwrap()), own);
    set_plan(&fleet, "free").await;
    fleet.revoke(&stored.name).await.unwrap();
}

/// The first key makes a workspace without a plan, which then includes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn where_plans_count_a_first_key_makes_no_workspace() {
    let fleet = fleet(&[("CLAVIGER_BYOK_PLANS", "pro")], &[]).await;
    let refused = fleet.store(create_request("workspaces/acme", "anthropic", &key("good"))).await.unwrap_err();
    assert_eq!(reason(&refused), "PLAN_REQUIRED");
    assert_eq!(reason(&get(&fleet, "acme").await.unwrap_err()), "WORKSPACE_NOT_FOUND");
    assert!(fleet.provider.received_requests().await.unwrap().is_empty());
    fleet.create("platform", "anthropic", &key("good")).await.unwrap(); // the operator's own need no plan
}
