//! What cannot be moved is left as it is, and said.

use std::time::{Duration, SystemTime};

use claviger_proto::keyvault_v1::RewrapKeysRequest;
use claviger_tests::{Fleet, key, reason};
use tonic::Code;

use super::place::{client, rewrap, until_primary};
use super::{Kind, Place};

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_open_is_left_and_named_on_sqlite() {
    what_does_not_open_is_left_and_named(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_open_is_left_and_named_on_postgres() {
    what_does_not_open_is_left_and_named(Kind::Postgres).await;
}

async fn what_does_not_open_is_left_and_named(kind: Kind) {
    let place = Place::new(kind).await;
    let fleet = place.fleet().await;
    for workspace in ["orphan", "altered", "torn", "good"] {
        store(&fleet, workspace).await;
    }
    store(&fleet, "torn").await;
    place.execute("UPDATE workspace_keys SET master_key = 'root-gone' WHERE tenant = 'workspaces/orphan'").await;
    let (new, old) = place.rotate_file();
    until_primary(&fleet.vault, &new).await;
    // its wrapped key is another tenant's, and so is one record's secret
    place
        .execute(
            "UPDATE workspace_keys SET wrapped = (SELECT w.wrapped FROM workspace_keys w \
             WHERE w.tenant = 'workspaces/good') WHERE tenant = 'workspaces/altered'",
        )
        .await;
    place
        .execute(
            "UPDATE provider_keys SET sealed = (SELECT p.sealed FROM provider_keys p WHERE p.tenant = 'workspaces/good') \
             WHERE id = (SELECT min(id) FROM provider_keys WHERE tenant = 'workspaces/torn')",
        )
        .await;

    for _ in 0..2 {
        let refusal = rewrap(&fleet.vault, false).await.unwrap_err();
        assert_eq!((reason(&refusal), refusal.code()), ("KEY_UNREADABLE".into(), Code::FailedPrecondition));
        assert!(refusal.message().starts_with("2 keys do not open"), "{}", refusal.message());
        for id in ["root-gone", &old] {
            assert!(refusal.message().contains(&format!("1 under master key {id}")), "{}", refusal.message());
        }
        assert_eq!((place.rows_under("root-gone").await, place.rows_under(&old).await), (1, 1));
        assert_eq!(place.rows_under(&new).await, 2 + 5);
        assert_eq!(place.number(&format!("SELECT count(*) FROM master_keys WHERE id = '{old}'")).await, 1);
    }
    place.keyring_and_database("retire", &["--id", &old]).assert_line("1 workspace keys and 0 service keys");
    let check = place.keyring_and_database("check", &[]);
    check.assert_line("2 under master key root-gone");
    check.assert_line(&format!("1 under master key {new}"));

    // the records of the two tenants, and the torn one: none is touched, and what each is under stays
    let refusal = rewrap(&fleet.vault, true).await.unwrap_err();
    assert!(refusal.message().starts_with("2 keys do not open"), "{}", refusal.message());
    let outdated = "SELECT count(*) FROM provider_keys WHERE workspace_key = 1";
    assert_eq!(place.number(outdated).await, 3);
    assert_eq!(place.number("SELECT count(*) FROM workspace_keys WHERE version = 1").await, 3);
    assert_eq!(place.number("SELECT count(*) FROM workspace_keys WHERE version = 2").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vault_s_own_keys_keep_their_master_key() {
    let place = Place::new(Kind::Sqlite).await;
    let vault = place.vault().await;
    let (new, old) = place.rotate_file();
    until_primary(&vault, &new).await;
    place.keyring_and_database("retire", &["--id", &old]).assert_line("0 workspace keys and 5 service keys");
    place
        .execute(
            "UPDATE service_keys SET wrapped = (SELECT s.wrapped FROM service_keys s WHERE s.purpose = 'row') \
             WHERE purpose = 'page-token'",
        )
        .await;
    let refusal = rewrap(&vault, false).await.unwrap_err();
    assert!(refusal.message().contains(&format!("1 under master key {old}")), "{}", refusal.message());
    assert_eq!((place.rows_under(&old).await, place.rows_under(&new).await), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_that_does_not_open_is_counted_but_those_that_were_shredded() {
    let place = Place::new(Kind::Sqlite).await;
    let fleet = place.fleet().await;
    let torn = fleet.create("workspaces/torn", "anthropic", &key("good")).await.unwrap();
    store(&fleet, "torn").await;
    let tear = format!(
        "UPDATE provider_keys SET sealed = (SELECT p.sealed FROM provider_keys p WHERE p.id <> '{0}') WHERE id = '{0}'",
        torn.uid
    );
    place.execute(&tear).await;
    let unreadable = async || rewrap(&fleet.vault, true).await.unwrap().unreadable_records;
    assert_eq!(unreadable().await, 1);
    place.execute("CREATE TABLE kept AS SELECT * FROM workspace_keys WHERE version = 1").await;
    place.execute("DELETE FROM workspace_keys WHERE version = 1").await;
    assert_eq!(unreadable().await, 1, "its key is missing");
    place.execute("INSERT INTO workspace_keys SELECT * FROM kept").await;
    fleet.revoke(&torn.name).await.unwrap();
    assert_eq!(unreadable().await, 1, "revoked, and its key is there");
    place.execute("DELETE FROM workspace_keys WHERE version = 1").await;
    assert_eq!(unreadable().await, 0);
}

async fn store(fleet: &Fleet, workspace: &str) {
    fleet.create(&format!("workspaces/{workspace}"), "anthropic", &key("good")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_yet_to_come_is_refused() {
    let place = Place::new(Kind::Sqlite).await;
    let vault = place.vault().await;
    let later = SystemTime::now() + Duration::from_secs(60);
    let request = RewrapKeysRequest { reseal_made_before: Some(later.into()) };
    let refusal = client(&vault).rewrap_keys(request).await.unwrap_err();
    assert_eq!(reason(&refusal), "INVALID_FIELD");
    assert_eq!(rewrap(&vault, true).await.unwrap().rewrapped_keys, 0);
}
