//! The end of a workspace, and a new beginning under its name.

use claviger_proto::keyvault_v1::{self as kv, provider_key::State};
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::{Fleet, database, key, key_for, reason};

use super::*;

/// A workspace with an active, a disabled, a revoked and a personal key, an agent's route and a session's binding.
async fn lived_in(fleet: &Fleet) -> Vec<kv::ProviderKey> {
    let active = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let mut disabled = create_request("workspaces/acme", "anthropic", &key("good"));
    crate::flow::edit(&mut disabled).disabled = true;
    let disabled = fleet.store(disabled).await.unwrap();
    let revoked = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    fleet.revoke(&revoked.name).await.unwrap();
    let personal = fleet.create("workspaces/acme/users/ann", "openai", &key_for("sk-proj-", "good")).await.unwrap();
    set_route(fleet, byok("acme", "bob", "anthropic", "anthropic")).await.unwrap();
    bind(fleet, binding("acme", "s", "anthropic")).await.unwrap();
    vec![active, disabled, personal, revoked]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_workspace_is_gone_but_for_its_record() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("platform", "anthropic", &key("good")).await.unwrap();
    let keys = lived_in(&fleet).await;
    let before = recorded(&fleet).await.len();
    let ended = delete(&fleet, "acme").await.unwrap();
    assert_eq!(ended.purged_key_count, 4);

    let mut events = recorded(&fleet).await.split_off(before);
    let last = events.pop().unwrap();
    assert_eq!(last, ("workspace.deleted".to_owned(), "workspaces/acme".to_owned()));
    let mut expected: Vec<_> = keys.iter().map(|key| ("key.purged".to_owned(), key.name.clone())).collect();
    expected.push(("agent_route.deleted".to_owned(), "workspaces/acme/agents/bob/route".to_owned()));
    expected.push(("session.unbound".to_owned(), "workspaces/acme/sessions/s/binding".to_owned()));
    events.sort();
    expected.sort();
    assert_eq!(events, expected);

    let mut rows = fleet.keys("workspaces/acme", true).await.unwrap();
    rows.extend(fleet.keys("workspaces/acme/users/ann", true).await.unwrap());
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert_eq!((row.state(), row.altered), (State::Purged, false));
        let was_revoked = row.name == keys[3].name;
        assert_eq!(row.revoke_reason, if was_revoked { "left" } else { "the workspace was deleted" });
        assert!(row.revoke_time.is_some() && row.revoker == "development");
        assert_eq!(reason(&fleet.test(&row.name).await.unwrap_err()), "KEY_REVOKED");
    }
    assert_nothing_goes_on(&fleet, &ended.consistency_token).await;
}

async fn assert_nothing_goes_on(fleet: &Fleet, token: &str) {
    let plan = change("acme", &["plan"], kv::Workspace::default());
    let refused = [
        get(fleet, "acme").await.unwrap_err(),
        update(fleet, plan).await.unwrap_err(),
        set_route(fleet, byok("acme", "bob", "anthropic", "")).await.unwrap_err(),
        bind(fleet, binding("acme", "s", "anthropic")).await.unwrap_err(),
    ];
    assert_eq!(refused.each_ref().map(reason), ["WORKSPACE_NOT_FOUND"; 4]);
    assert_eq!(reason(&route(fleet, "acme", "bob").await.unwrap_err()), "ROUTE_NOT_FOUND");
    assert_eq!(reason(&bound(fleet, "acme", "s").await.unwrap_err()), "BINDING_NOT_FOUND");
    for narrowed in [
        ResolveKeyRequest { key_slug: "anthropic".into(), ..Default::default() },
        ResolveKeyRequest { provider: "anthropic".into(), ..Default::default() }, // nor does the platform serve it
        ResolveKeyRequest { provider: "openai".into(), user: "ann".into(), ..Default::default() },
    ] {
        for consistency_token in [String::new(), token.to_owned()] {
            let workspace = "workspaces/acme".to_owned();
            let ask = ResolveKeyRequest { workspace, consistency_token, ..narrowed.clone() };
            assert_eq!(reason(&fleet.resolve(ask).await.unwrap_err()), "WORKSPACE_NOT_FOUND");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_is_idempotent_and_heeds_the_etag() {
    let fleet = Fleet::start().await.unwrap();
    assert_eq!(reason(&delete(&fleet, "acme").await.unwrap_err()), "WORKSPACE_NOT_FOUND");
    lived_in(&fleet).await;
    let old = get(&fleet, "acme").await.unwrap().etag;
    set_read_only(&fleet, "acme", true).await;
    let done = recorded(&fleet).await.len();
    let stale = kv::DeleteWorkspaceRequest { etag: old, ..deletion("acme") };
    let refused = fleet.workspaces().delete_workspace(stale.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "ETAG_MISMATCH");
    assert_eq!(recorded(&fleet).await.len(), done);
    fleet
        .resolve(ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request("workspaces/acme") })
        .await
        .unwrap();

    let etag = get(&fleet, "acme").await.unwrap().etag;
    let current = kv::DeleteWorkspaceRequest { etag, ..deletion("acme") };
    assert_eq!(fleet.workspaces().delete_workspace(current).await.unwrap().into_inner().purged_key_count, 4);
    let done = recorded(&fleet).await.len();
    for again in [deletion("acme"), stale] {
        assert_eq!(fleet.workspaces().delete_workspace(again).await.unwrap().into_inner().purged_key_count, 0);
    }
    assert_eq!(recorded(&fleet).await.len(), done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_made_anew_has_nothing_of_the_one_before() {
    let fleet = Fleet::start().await.unwrap();
    lived_in(&fleet).await;
    delete(&fleet, "acme").await.unwrap();
    let policy = kv::Workspace { plan: "pro".into(), ..Default::default() };
    let made = fleet.make_workspace("acme", policy).await.unwrap();
    assert_eq!((made.plan.as_str(), made.read_only), ("pro", false));
    assert_eq!(get(&fleet, "acme").await.unwrap(), made);
    assert!(fleet.keys("workspaces/acme", false).await.unwrap().is_empty());
    let pin = || ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request("workspaces/acme") };
    assert_eq!(reason(&fleet.resolve(pin()).await.unwrap_err()), "KEY_REVOKED");
    assert_eq!(reason(&route(&fleet, "acme", "bob").await.unwrap_err()), "ROUTE_NOT_FOUND");
    let secret = key("good");
    fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap();
    assert_eq!(fleet.resolve(pin()).await.unwrap().credential.unwrap().secret, secret);
    assert_eq!(reason(&fleet.make_workspace("acme", kv::Workspace::default()).await.unwrap_err()), "WORKSPACE_EXISTS");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_makes_a_deleted_workspace_anew() {
    let fleet = Fleet::start().await.unwrap();
    fleet.make_workspace("acme", kv::Workspace { plan: "pro".into(), ..Default::default() }).await.unwrap();
    lived_in(&fleet).await;
    delete(&fleet, "acme").await.unwrap();
    let secret = key("good");
    fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap();
    assert_eq!(get(&fleet, "acme").await.unwrap().plan, "");
    let pin = ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request("workspaces/acme") };
    assert_eq!(fleet.resolve(pin).await.unwrap().credential.unwrap().secret, secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_workspaces_are_explicit_a_deleted_one_gets_no_key() {
    let explicit = [("CLAVIGER_EXPLICIT_WORKSPACES", "1")];
    let fleet = fleet(&explicit, &explicit).await;
    fleet.make_workspace("acme", kv::Workspace::default()).await.unwrap();
    lived_in(&fleet).await;
    delete(&fleet, "acme").await.unwrap();
    let refused = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap_err();
    assert_eq!(reason(&refused), "WORKSPACE_NOT_FOUND");
    assert!(fleet.keys("workspaces/acme", false).await.unwrap().is_empty());
}

/// A row is bound to the event that ends it as it was found: that it was altered must be told there.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_altered_is_told_of_where_it_ends() {
    let fleet = Fleet::start().await.unwrap();
    let keys = lived_in(&fleet).await;
    let label = format!("UPDATE provider_keys SET label = 'mine' WHERE id = '{}'", keys[0].uid);
    database::alter(&fleet.database(), &label).await.unwrap();
    database::alter(&fleet.database(), "UPDATE workspaces SET plan = 'pro'").await.unwrap();
    delete(&fleet, "acme").await.unwrap();
    let told =
        async |sql: &str| database::number(&fleet.database(), &format!("SELECT count(*) FROM {sql}")).await.unwrap();
    let altered = r#"details LIKE '%"altered":"true"%'"#;
    assert_eq!(told(&format!("audit_events WHERE {altered}")).await, 2, "nothing else was");
    let of_key = format!("audit_events WHERE {altered} AND action = 'key.purged' AND target = '{}'", keys[0].name);
    assert_eq!(told(&of_key).await, 1);
    assert_eq!(told(&format!("audit_events WHERE {altered} AND action = 'workspace.deleted'")).await, 1);
}

/// More than one write should end: copies of rows, which need not be intact to be destroyed.
#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_with_many_rows_is_deleted_whole() {
    const KEY: &str = "owner_user, key_slug, tenant, provider, auth_type, label, masked_secret, last_four, \
        rotation_priority, allowed_models, secret_version, sealed, workspace_key, fingerprint, create_time, creator, \
        update_time, last_seq, mac";
    const ROUTE: &str = "workspace, mode, create_time, update_time, updater, last_seq, mac";
    const BINDING: &str = "workspace, key_slug, create_time, creator, expire_time, last_seq, mac";
    const MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1300)";
    let fleet = Fleet::start().await.unwrap();
    lived_in(&fleet).await;
    fleet.create("workspaces/other", "anthropic", &key("good")).await.unwrap();
    let sql = format!(
        "INSERT INTO provider_keys (id, state, {KEY}) {MANY} SELECT printf('00000000-0000-7000-8000-%012x', i), \
            'REVOKED', {KEY} FROM provider_keys, n WHERE tenant = 'workspaces/acme' AND state = 'REVOKED'; \
         INSERT INTO agent_routes (agent, {ROUTE}) {MANY} SELECT 'a' || i, {ROUTE} FROM agent_routes, n; \
         INSERT INTO session_bindings (session, {BINDING}) {MANY} SELECT 's' || i, {BINDING} FROM session_bindings, n"
    );
    database::alter(&fleet.database(), &sql).await.unwrap();
    assert_eq!(delete(&fleet, "acme").await.unwrap().purged_key_count, 1304);
    let count = async |sql: &str| database::number(&fleet.database(), sql).await.unwrap();
    let of_keys = "SELECT count(*) FROM provider_keys WHERE tenant = 'workspaces/acme'";
    let destroyed = "state = 'PURGED' AND length(sealed) = 0 AND length(fingerprint) = 0 AND workspace_key = 0";
    assert_eq!(count(&format!("{of_keys} AND {destroyed}")).await, 1304);
    assert_eq!(count(of_keys).await, 1304);
    assert_eq!(count("SELECT count(*) FROM provider_keys WHERE state = 'ACTIVE'").await, 1, "another workspace's");
    assert_eq!(count("SELECT (SELECT count(*) FROM agent_routes) + (SELECT count(*) FROM session_bindings)").await, 0);
    let events = recorded(&fleet).await;
    let count = |action: &str| events.iter().filter(|(done, _)| done == action).count();
    assert_eq!(count("key.purged"), 1304);
    assert_eq!((count("agent_route.deleted"), count("session.unbound"), count("workspace.deleted")), (1301, 1301, 1));
}

/// A standing order that someone puts back after the end does not count in the workspace made anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_ended_with_the_workspace_cannot_be_put_back() {
    let fleet = Fleet::start().await.unwrap();
    lived_in(&fleet).await;
    let sql = async |sql: &str| database::alter(&fleet.database(), sql).await.unwrap();
    let tables = ["agent_routes", "session_bindings", "provider_keys", "workspace_keys"];
    for table in tables {
        sql(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
    delete(&fleet, "acme").await.unwrap();
    fleet.make_workspace("acme", kv::Workspace::default()).await.unwrap();
    for table in tables {
        sql(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}")).await;
    }
    assert_eq!(reason(&route(&fleet, "acme", "bob").await.unwrap_err()), "WORKSPACE_ALTERED");
    assert_eq!(reason(&bound(&fleet, "acme", "s").await.unwrap_err()), "WORKSPACE_ALTERED");
    let pin = ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request("workspaces/acme") };
    assert_eq!(reason(&fleet.resolve(pin).await.unwrap_err()), "KEY_UNREADABLE");
}
