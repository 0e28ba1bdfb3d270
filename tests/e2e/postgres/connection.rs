//! The server goes away under a running vault, and comes back.

use std::time::{Duration, Instant};

use claviger_tests::fleet::serving;
use claviger_tests::postgres::Server;
use claviger_tests::{Fleet, Options, key, reason};
use tonic::Code;

use super::fleet;
use super::load::{Load, assert_whole};
use crate::database::Database;

const KEY_VAULT: &str = "claviger.keyvault.v1.KeyVault";
const CLIENTS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restart_of_the_server_costs_readiness_and_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("server")).unwrap();
    let options = Options { database: Some(server.url.clone()), ..Default::default() };
    let fleet = Fleet::start_with(options).await.unwrap();
    let load = Load::start(&[&fleet.vault], CLIENTS);
    load.until_more(20).await;

    server.stop().unwrap();
    until("the vault is not ready", async || !serving(&fleet.vault, KEY_VAULT).await).await;
    assert!(serving(&fleet.vault, "liveness").await, "a restart would not help");
    let error = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "STORAGE_UNAVAILABLE"));
    assert!(!error.message().contains("onnect") && !error.message().contains("/tmp"), "{error:?}");

    server.start_again().unwrap();
    until("the vault is ready", async || serving(&fleet.vault, KEY_VAULT).await).await;
    load.until_more(20).await;
    let done = load.finish().await;
    assert_whole(&Database::at(&server.url).await, &done).await;
}

/// Every connection of the schema, again and again, in the middle of whatever it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_are_cut_lose_nothing_acknowledged() {
    let (fleet, schema) = fleet().await;
    let load = Load::start(&[&fleet.vault], CLIENTS);
    // what a connection of the vault looks into is known by the locks that it holds
    let cut = "SELECT COUNT(pg_terminate_backend(pid)) FROM (SELECT DISTINCT locks.pid FROM pg_locks locks \
        JOIN pg_class class ON class.oid = locks.relation JOIN pg_namespace namespace ON namespace.oid = class.relnamespace \
        WHERE namespace.nspname = current_schema() AND locks.pid <> pg_backend_pid()) AS busy";
    let (mut cuts, mut rounds) = (0, 0);
    while cuts < 20 {
        load.until_more(3).await;
        cuts += schema.number(cut).await.unwrap();
        rounds += 1;
        assert!(rounds < 500, "{cuts} cuts in {rounds} rounds");
    }
    load.until_more(20).await;
    let done = load.finish().await;
    assert_whole(&Database::at(&schema.url).await, &done).await;
}

/// Readiness is looked at each second, and a connection is waited for up to five.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
