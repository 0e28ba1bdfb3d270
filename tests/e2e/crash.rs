//! kill -9 in the middle of writes: what was acknowledged is there, and nothing is there by half.

pub(crate) mod chain;
mod replaced;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claviger_keyvault::store::Location;
use claviger_proto::keyvault_v1::key_vault_client::KeyVaultClient;
use claviger_proto::keyvault_v1::{GetProviderKeyRequest, Verification};
use claviger_tests::fleet::{create_request, database_environment, key_vault_of, until_serving, vault_environment};
use claviger_tests::{Process, key, postgres};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::database::{Database, Inside};

const ROUNDS: usize = 30;
const CLIENTS: usize = 6;
const WORKSPACES: usize = 4;

/// A create that the vault acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Acknowledged {
    name: String,
    secret: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kill_9_loses_nothing_acknowledged_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let all = rounds(folder.path(), &[]).await;
    let data = folder.path().join("data");
    assert_all_open(&Inside::open(&data).await, &all).await;
    let database = Database::open(&data.join("keyvault.db")).await;
    for trigger in ["audit_events_no_update", "audit_events_no_delete"] {
        database.execute(&format!("DROP TRIGGER {trigger}")).await; // whoever has the file can
    }
    assert_whole(&database, &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kill_9_on_postgresql_loses_nothing_acknowledged_and_leaves_nothing_half_written() {
    let (folder, schema) = (tempfile::tempdir().unwrap(), postgres::schema().await.unwrap());
    let all = rounds(folder.path(), &database_environment(folder.path(), &schema.url).unwrap()).await;
    let location = Location::parse(&schema.url, true).unwrap();
    assert_all_open(&Inside::open_at(&location, &folder.path().join("master.key")).await, &all).await;
    assert_whole(&Database::at(&schema.url).await, &all).await;
}

/// Answers all that was acknowledged.
async fn rounds(folder: &Path, database: &[(String, String)]) -> Vec<Acknowledged> {
    std::fs::write(folder.join("catalog.toml"), "").unwrap();
    let environment = [vault_environment(folder), database.to_vec()].concat();
    let (mut all, mut last) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut vault = start(&environment).await;
        assert_known(&vault, &last).await;
        last = create_until_killed(&mut vault, round).await;
        assert!(!last.is_empty(), "round {round} killed an idle vault");
        all.extend_from_slice(&last);
    }
    all
}

async fn assert_whole(database: &Database, all: &[Acknowledged]) {
    let events = chain::verified(database).await.unwrap();
    assert_rows_have_events(database, &events, all).await;
    assert_changes_show(database).await;
}

async fn start(environment: &[(String, String)]) -> Process {
    let vault = Process::start("claviger-keyvault", &["serve"], environment).unwrap();
    until_serving(&vault, "claviger.keyvault.v1.KeyVault").await.unwrap();
    vault
}

/// Every acknowledged create of the round before is there.
async fn assert_known(vault: &Process, acknowledged: &[Acknowledged]) {
    let mut client = key_vault_of(vault);
    for Acknowledged { name, .. } in acknowledged {
        let request = GetProviderKeyRequest { name: name.clone() };
        assert_eq!(client.get_provider_key(request).await.unwrap().into_inner().name, *name);
    }
}

/// Several clients create keys one after another; the vault is killed among them, each round after another number.
async fn create_until_killed(vault: &mut Process, round: usize) -> Vec<Acknowledged> {
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let count = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let parent = format!("workspaces/w{}", (round + number) % WORKSPACES);
        clients.spawn(create(key_vault_of(vault), parent, acknowledged.clone(), count.clone()));
    }
    let enough = 3 + round % 11;
    while count.load(Ordering::Relaxed) < enough {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    vault.kill().unwrap();
    clients.join_all().await;
    std::mem::take(&mut *acknowledged.lock().unwrap())
}

/// Creates keys until the vault is gone.
async fn create(
    mut client: KeyVaultClient<Channel>,
    parent: String,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    count: Arc<AtomicUsize>,
) {
    loop {
        let secret = key("good");
        let mut request = create_request(&parent, "anthropic", &secret);
        request.set_verification(Verification::Skip);
        let Ok(answer) = client.create_provider_key(request).await else { return };
        acknowledged.lock().unwrap().push(Acknowledged { name: answer.into_inner().name, secret });
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every stored key opens, and each acknowledged one to its own secret.
async fn assert_all_open(inside: &Inside, acknowledged: &[Acknowledged]) {
    let mut opened = Vec::new();
    for number in 0..WORKSPACES {
        for (key, secret) in inside.opened(&format!("workspaces/w{number}")).await {
            let name = key.name.to_string();
            let secret = secret.unwrap_or_else(|| unreachable!("{name} was written by half: it does not open"));
            opened.push(Acknowledged { name, secret });
        }
    }
    for create in acknowledged {
        assert!(opened.contains(create), "{} was acknowledged and is lost", create.name);
    }
    assert!(opened.len() <= acknowledged.len() + ROUNDS * CLIENTS, "only creates in flight may be more");
}

/// Each row has its event, and each event its row.
async fn assert_rows_have_events(database: &Database, events: &[chain::Event], acknowledged: &[Acknowledged]) {
    let rows = database
        .rows("SELECT tenant || '/keys/' || id AS name, CAST(length(sealed) AS BIGINT) AS size FROM provider_keys")
        .await;
    assert!(rows.iter().all(|row| row.try_get::<i64>("", "size").unwrap() > 82));
    let mut rows: Vec<String> = rows.iter().map(|row| row.try_get("", "name").unwrap()).collect();
    let created = events.iter().filter(|event| event.action == "key.created");
    let mut created: Vec<String> = created.map(|event| event.target.clone()).collect();
    rows.sort();
    created.sort();
    assert_eq!(rows, created);
    assert!(rows.len() >= acknowledged.len());
}

/// The verification above finds what is altered.
async fn assert_changes_show(database: &Database) {
    for alteration in [
        "UPDATE audit_events SET actor = actor || 'x' WHERE seq = 7",
        "UPDATE audit_events SET event_time = event_time + 1 WHERE seq = 9",
        "DELETE FROM audit_events WHERE seq = 11",
        "DELETE FROM audit_events WHERE seq = (SELECT seq FROM audit_head)",
    ] {
        database.execute("DROP TABLE IF EXISTS good; CREATE TABLE good AS SELECT * FROM audit_events").await;
        database.change(alteration).await;
        assert!(chain::verified(database).await.is_err(), "{alteration}");
        database.execute("DELETE FROM audit_events; INSERT INTO audit_events SELECT * FROM good").await;
        assert!(chain::verified(database).await.is_ok());
    }
}
