//! Several vaults on one server.

use claviger_proto::keyvault_v1::{GetProviderKeyRequest, TestProviderKeyRequest, Verification};
use claviger_tests::fleet::{create_request, database_environment, key_vault_of, vault_environment};
use claviger_tests::{Process, key, postgres};

use super::fleet;
use super::load::{Load, assert_whole};
use crate::database::Database;

const CLIENTS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_vaults_write_one_history_and_lose_no_update() {
    let (fleet, schema) = fleet().await;
    let second = fleet.second_vault().await.unwrap();
    let load = Load::start(&[&fleet.vault, &second], CLIENTS);
    load.until_more(200).await;
    let done = load.finish().await;
    assert_whole(&Database::at(&schema.url).await, &done).await;
    // what one has just written the other reads
    for key in done.iter().take(5) {
        for vault in [&fleet.vault, &second] {
            let request = GetProviderKeyRequest { name: key.name.clone() };
            key_vault_of(vault).get_provider_key(request).await.unwrap();
        }
    }
}

/// Both make the vault's own keys on an empty database, and both then have the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_vaults_that_start_for_the_first_time_at_once_have_the_same_keys() {
    for round in 0..3 {
        let (folder, schema) = (tempfile::tempdir().unwrap(), postgres::schema().await.unwrap());
        std::fs::write(folder.path().join("catalog.toml"), "").unwrap();
        let database = database_environment(folder.path(), &schema.url).unwrap();
        let environment = [vault_environment(folder.path()), database].concat();
        let start = || {
            let environment = environment.clone();
            tokio::task::spawn_blocking(move || Process::start("claviger-keyvault", &["serve"], &environment).unwrap())
        };
        let (one, other) = (start(), start());
        let (one, other) = (one.await.unwrap(), other.await.unwrap());

        let mut create = create_request("workspaces/acme", "anthropic", &key("good"));
        create.set_verification(Verification::Skip);
        let name = key_vault_of(&one).create_provider_key(create).await.unwrap().into_inner().name;
        // a row that another binding key had bound would be unreadable
        let test = TestProviderKeyRequest { name, ..Default::default() };
        key_vault_of(&other).test_provider_key(test).await.unwrap_or_else(|error| unreachable!("{round}: {error:?}"));
        for (table, rows) in [("vault", 1), ("master_keys", 1), ("service_keys", 5), ("audit_head", 1)] {
            assert_eq!(schema.number(&format!("SELECT COUNT(*) FROM {table}")).await.unwrap(), rows, "{table}");
        }
    }
}
