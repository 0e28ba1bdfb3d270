//! How keys fare, and what comes of reports that they are rejected.

use std::time::{Duration, Instant};

use claviger_proto::keyvault_v1::key_health::Status;
use claviger_proto::keyvault_v1::provider_key::State;
use claviger_proto::keyvault_v1::{
    DeleteWorkspaceRequest, ListAuditEventsRequest, ListProviderKeysRequest, Outcome, ProviderKey,
    ReplaceProviderKeySecretRequest, Workspace,
};
use claviger_tests::fleet::create_request;
use claviger_tests::{Fleet, database, key, refuse};
use uuid::Uuid;

use super::feed::{FakeRouting, cooling, reported, resolved, use_of};
use super::{get, sum};

const WORKSPACE: &str = "workspaces/acme";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_tells_how_it_fares_until_its_secret_is_replaced() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(WORKSPACE, "anthropic", &key("good")).await.unwrap();
    assert!(stored.health.is_none() && stored.last_use_time.is_none(), "an answer of a change has none");
    let fresh = get(&fleet, &stored).await;
    assert_eq!((fresh.health, fresh.last_use_time), (None, None));

    let replica = Uuid::now_v7();
    let mut routing = FakeRouting::subscribe(&fleet.vault, replica).await;
    let of = use_of(&stored);
    routing.tell(1, vec![resolved(&of), reported(&of, replica, 1, Outcome::Ok)]).await.unwrap();
    let used = get(&fleet, &stored).await;
    assert_eq!(used.health.unwrap().status(), Status::Healthy);
    assert_eq!(used.last_use_time.unwrap().seconds, of.resolve_time.as_ref().unwrap().seconds);
    assert_eq!(used.etag, stored.etag, "the key itself is as it was");

    let entries =
        vec![cooling(&stored, "claude-x", Outcome::RateLimited), reported(&of, replica, 2, Outcome::RateLimited)];
    routing.tell(3, entries).await.unwrap();
    let health = get(&fleet, &stored).await.health.unwrap();
    assert_eq!((health.status(), health.last_outcome()), (Status::PartlyCooling, Outcome::RateLimited));
    assert_eq!((health.cooldowns[0].model.as_str(), health.cooldowns[0].cause()), ("claude-x", Outcome::RateLimited));
    routing.tell(5, vec![cooling(&stored, "", Outcome::QuotaExhausted)]).await.unwrap();
    let list = ListProviderKeysRequest { parent: WORKSPACE.into(), ..Default::default() };
    let listed = fleet.key_vault().list_provider_keys(list).await.unwrap().into_inner().provider_keys.remove(0);
    assert_eq!(listed.health.as_ref().unwrap().status(), Status::Cooling);
    assert_eq!(listed.health.unwrap().cooldowns.len(), 2);

    let secret = create_request(WORKSPACE, "anthropic", &key("good")).secret;
    let replace = ReplaceProviderKeySecretRequest { name: stored.name.clone(), secret, ..Default::default() };
    fleet.key_vault().replace_provider_key_secret(replace).await.unwrap();
    let replaced = get(&fleet, &stored).await;
    assert_eq!(replaced.health, None);
    assert_eq!(replaced.last_use_time, used.last_use_time);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_workspace_s_usage_stays_and_its_keys_health_goes() {
    let fleet = Fleet::start().await.unwrap();
    fleet.make_workspace("acme", Workspace::default()).await.unwrap();
    let stored = fleet.create(WORKSPACE, "anthropic", &key("good")).await.unwrap();
    let mut routing = FakeRouting::subscribe(&fleet.vault, Uuid::now_v7()).await;
    let entries = vec![resolved(&use_of(&stored)), cooling(&stored, "", Outcome::RateLimited)];
    routing.tell(1, entries).await.unwrap();
    let deletion = DeleteWorkspaceRequest { name: WORKSPACE.into(), ..Default::default() };
    fleet.workspaces().delete_workspace(deletion).await.unwrap();
    for table in ["key_uses", "key_health"] {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        assert_eq!(database::number(&fleet.database(), &sql).await.unwrap(), 0, "{table}");
    }
    routing.tell(3, vec![resolved(&use_of(&stored))]).await.unwrap();
    assert_eq!(sum(&fleet, WORKSPACE).await.calls, 2);
    assert_eq!(get(&fleet, &stored).await.last_use_time, None);
}

/// The vault asks the provider itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_disables_what_the_provider_rejects_and_nothing_else() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    let dead = fleet.create(WORKSPACE, "anthropic", &secret).await.unwrap();
    let alive = fleet.create(WORKSPACE, "anthropic", &key("good")).await.unwrap();
    let refusing = refuse(&fleet.provider, &secret).await;
    let replica = Uuid::now_v7();
    let mut routing = FakeRouting::subscribe(&fleet.vault, replica).await;
    let lie = (0..20).map(|number| reported(&use_of(&alive), replica, number + 10, Outcome::InvalidKey));
    let entries = lie.chain([reported(&use_of(&dead), replica, 1, Outcome::InvalidKey)]).collect();
    routing.tell(1, entries).await.unwrap();
    until(&fleet, &dead, |key| key.state() == State::Invalid).await;
    let tested = |key: &ProviderKey| key.last_test != alive.last_test;
    until(&fleet, &alive, tested).await;
    assert_eq!(get(&fleet, &alive).await.state(), State::Active);

    let list =
        ListAuditEventsRequest { parent: WORKSPACE.into(), filter: "action = key.tested".into(), ..Default::default() };
    let events = fleet.audit_log().list_audit_events(list).await.unwrap().into_inner().audit_events;
    assert_eq!(events.len(), 2, "each once: {events:?}");
    for event in &events {
        assert_eq!((event.actor.as_str(), event.details["cause"].as_str()), ("keyvault", "report"));
    }
    drop(refusing);
    assert_eq!(fleet.test(&dead.name).await.unwrap().state(), State::Active);
}

async fn until(fleet: &Fleet, key: &ProviderKey, holds: impl Fn(&ProviderKey) -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds(&get(fleet, key).await) {
        assert!(Instant::now() < end, "{:?}", get(fleet, key).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
