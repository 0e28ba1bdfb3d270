//! `keyring check` with a database: opens all, touches nothing.

use claviger_tests::key;

use super::place::{Ended, until_primary};
use super::{Kind, Place};

#[tokio::test(flavor = "multi_thread")]
async fn check_opens_everything_and_touches_nothing_on_sqlite() {
    check_opens_everything(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_opens_everything_on_postgres() {
    check_opens_everything(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_vault_s_own_is_never_made_anew_on_sqlite() {
    no_key_of_the_vault_s_own_is_made_anew(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_vault_s_own_is_never_made_anew_on_postgres() {
    no_key_of_the_vault_s_own_is_made_anew(Kind::Postgres).await;
}

/// With another fingerprint key, no stored key would be found by its secret; with another for request ids, none is known.
async fn no_key_of_the_vault_s_own_is_made_anew(kind: Kind) {
    let place = Place::new(kind).await;
    let mut fleet = place.fleet().await;
    fleet.create("workspaces/a", "anthropic", &key("good")).await.unwrap();
    fleet.vault.kill().unwrap();
    let (_, old) = place.rotate_file();
    place.execute("CREATE TABLE kept AS SELECT * FROM service_keys").await;
    for (purpose, sql) in [
        ("fingerprint", "DELETE FROM service_keys WHERE purpose = 'fingerprint'"),
        ("page-token", "UPDATE service_keys SET purpose = 'x' WHERE purpose = 'page-token'"),
        ("request-id", "DELETE FROM service_keys WHERE purpose = 'request-id'"),
        ("row", "UPDATE service_keys SET purpose = 'x' WHERE purpose = 'row'"),
        ("fingerprint", "DELETE FROM service_keys"),
    ] {
        place.execute(sql).await;
        let left = place.number("SELECT count(*) FROM service_keys").await;
        let missing = format!("the vault's {purpose} key is missing: the database was altered");
        place.refused().assert_line(&missing);
        place.keyring_and_database("check", &[]).assert_line(&missing);
        place.keyring_and_database("retire", &["--id", &old]).assert_line(&missing);
        place.seal().assert_line(&missing);
        assert_eq!(place.number("SELECT count(*) FROM service_keys").await, left, "{sql}");
        place.execute("DELETE FROM service_keys; INSERT INTO service_keys SELECT * FROM kept").await;
    }
    place.keyring_and_database("check", &[]).assert_success();
    place.vault().await;
}

async fn check_opens_everything(kind: Kind) {
    let place = Place::new(kind).await;
    place.keyring_and_database("check", &[]).assert_line("there is no vault's database");
    let mut fleet = place.fleet().await;
    fleet.create("workspaces/a", "anthropic", &key("good")).await.unwrap();
    let (new, old) = place.rotate_file();
    until_primary(&fleet.vault, &new).await;
    for workspace in ["workspaces/a", "workspaces/b", "platform"] {
        fleet.create(workspace, "anthropic", &key("good")).await.unwrap();
    }
    place.keyring_and_database("check", &[]).assert_success(); // beside a vault
    fleet.vault.kill().unwrap();

    let before = if kind == Kind::Sqlite { place.bytes() } else { Default::default() };
    let check = place.keyring_and_database("check", &[]);
    assert_eq!(cells(check.assert_success(), &old), ["decrypt-only", "1", "5", "2", "0"]);
    assert_eq!(cells(&check, &new), ["primary", "2", "0", "2", "0"]);
    std::fs::copy(place.key_file(), place.key_file().with_extension("copy")).unwrap();
    place.keyring("retire", &["--id", &old, "--without-database-check"]).assert_success();
    place.keyring_and_database("check", &[]).assert_line(&format!("master key {old}"));
    std::fs::copy(place.key_file().with_extension("copy"), place.key_file()).unwrap();
    if kind == Kind::Sqlite {
        assert!(before.contains_key("keyvault.db-wal"), "part of the database is in its log alone");
        assert!(before == place.bytes(), "the database is as it was");
    }

    place.execute("UPDATE provider_keys SET label = 'x', provider = 'openai' WHERE tenant = 'platform'").await;
    let check = place.keyring_and_database("check", &[]);
    check.assert_line(&format!("1 keys and records do not open: 1 under master key {new}"));
    assert_eq!(cells(&check, &new)[4], "1");
}

/// A row of the table, behind the id.
fn cells(ended: &Ended, id: &str) -> Vec<String> {
    let row = ended.log.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{}", ended.log));
    row.split_whitespace().skip(1).map(str::to_owned).collect()
}
