//! Backups, made under load with the databases' own tools, and vaults started on what they give back.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use claviger_keyvault::store::Location;
use claviger_proto::keyvault_v1::VerifyAuditLogRequest;
use claviger_proto::keyvault_v1::audit_log_client::AuditLogClient;
use claviger_tests::fleet::{environment, until_serving, vault_environment};
use claviger_tests::postgres::Server;
use claviger_tests::{Fleet, Options, Process};

use super::load::{Done, Load, WORKSPACE};
use crate::crash::chain;
use crate::database::{Database, Inside};
use crate::mtls::secured::{RUNTIME, Secured, refused};
use crate::startup::place::{refuse, run};

const CLIENTS: usize = 6;

/// Runs a tool to its end.
fn tool(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Whatever was acknowledged before the backup began is in it, opens to its own secret, and the chain is whole.
async fn assert_restored(database: &Database, inside: &Inside, before: &[Done]) {
    chain::verified(database).await.unwrap();
    let opened: HashMap<_, _> =
        inside.opened(WORKSPACE).await.into_iter().map(|(key, secret)| (key.name.to_string(), secret)).collect();
    assert!(opened.values().all(Option::is_some), "what is there opens");
    assert!(before.iter().any(Done::is_live), "something was to be restored");
    for done in before.iter().filter(|done| done.is_live()) {
        assert_eq!(opened[&done.name].as_ref(), Some(&done.secret), "{}", done.name);
    }
}

/// One load before the backup, of which all must be in it, and one while it runs.
async fn backed_up(fleet: &Fleet, backup: impl FnOnce() + Send + 'static) -> Vec<Done> {
    let load = Load::start(&[&fleet.vault], CLIENTS);
    load.until_more(40).await;
    let before = load.finish().await;
    let load = Load::start(&[&fleet.vault], CLIENTS);
    load.until_more(5).await;
    tokio::task::spawn_blocking(backup).await.unwrap();
    load.until_more(5).await;
    load.finish().await;
    before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sqlite_file_that_was_copied_under_load_is_whole() {
    for statement in ["VACUUM INTO '{}'", ".backup '{}'"] {
        let fleet = Fleet::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let (from, to) = (fleet.database(), data.join("keyvault.db"));
        let command = statement.replace("{}", &to.to_string_lossy());
        let busy = ".timeout 10000".to_owned();
        let before = backed_up(&fleet, move || tool("sqlite3", &[&from.to_string_lossy(), &busy, &command])).await;

        fs::write(folder.path().join("catalog.toml"), "").unwrap();
        let copy = fs::read(data.join("keyvault.db")).unwrap();
        let refusal = refuse(&vault_environment(folder.path()));
        refusal.assert_line("the database exists, but its master key file");
        assert_eq!((fs::read(data.join("keyvault.db")).unwrap(), fs::read_dir(&data).unwrap().count()), (copy, 1));

        let key_file = fleet.folder.path().join("data/master.key");
        fs::copy(&key_file, data.join("master.key")).unwrap();
        let vault = Process::start("claviger-keyvault", &["serve"], &vault_environment(folder.path())).unwrap();
        until_serving(&vault, "claviger.keyvault.v1.KeyVault").await.unwrap();
        drop(vault);
        let database = Database::open(&data.join("keyvault.db")).await;
        assert_restored(&database, &Inside::open(&data).await, &before).await;
    }
}

/// The restored server is another one, so that nothing of the first can help. The way back is the one of docs/operations.md.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_postgresql_dump_that_was_made_under_load_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("server")).unwrap();
    let options = Options { database: Some(server.url.clone()), ..Default::default() };
    let fleet = Fleet::start_with(options).await.unwrap();
    let (url, dump) = (server.url.clone(), folder.path().join("dump").to_string_lossy().into_owned());
    let file = dump.clone();
    let before = backed_up(&fleet, move || tool("pg_dump", &["--format=custom", "--file", &file, &url])).await;

    let other = Server::start(&folder.path().join("other")).unwrap();
    let (owner, service) = empty_database(&other).await;
    tool("pg_restore", &["--exit-on-error", "--no-owner", "--role=keyvault_owner", "--dbname", &owner, &dump]);
    let migrate = environment(&[("CLAVIGER_DATABASE_URL", &owner)]);
    run(&["migrate", "--service-role", "keyvault"], &migrate).assert_success();
    let key_file = fleet.folder.path().join("master.key");
    assert_starts_with_its_key_alone(&service, &key_file, &folder.path().join("other.key")).await;
    let inside = Inside::open_at(&Location::parse(&service, true).unwrap(), &key_file).await;
    assert_restored(&Database::at(&owner).await, &inside, &before).await;
}

/// A database with its two roles: the URLs of its owner and of the service.
async fn empty_database(server: &Server) -> (String, String) {
    let super_user = Database::at(&server.url).await;
    for statement in [
        "CREATE ROLE keyvault_owner LOGIN PASSWORD 'a-password'",
        "CREATE ROLE keyvault LOGIN PASSWORD 'a-password'",
        "CREATE DATABASE keyvault OWNER keyvault_owner",
        "REVOKE ALL ON DATABASE keyvault FROM PUBLIC",
        "GRANT CONNECT ON DATABASE keyvault TO keyvault",
    ] {
        super_user.execute(statement).await;
    }
    super_user.close().await;
    let as_role = |role: &str| {
        let url = server.url.replace("//claviger@", &format!("//{role}:a-password@"));
        url.replace("/claviger?", "/keyvault?")
    };
    (as_role("keyvault_owner"), as_role("keyvault"))
}

/// Outside of `--dev`, with the service's role; then it verifies what it holds.
async fn assert_starts_with_its_key_alone(url: &str, key_file: &Path, other: &Path) {
    let start = |key_file: &Path| {
        environment(&[("CLAVIGER_DATABASE_URL", url), ("CLAVIGER_MASTER_KEY_FILE", &*key_file.to_string_lossy())])
    };
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &start(&folder.path().join("none.key"))).assert_line("none.key cannot be read");
    run(&["keyring", "generate", "--out", &other.to_string_lossy()], &[]).assert_success();
    let before = everything(url).await;
    refused(folder.path(), &start(other)).assert_line("nothing was touched");
    assert_eq!(everything(url).await, before);

    let secured = Secured::start_with(&[], &start(key_file)).await;
    let mut audit_log = AuditLogClient::new(secured.channel_as(&secured.vault, &[RUNTIME]));
    let mut steps = audit_log.verify_audit_log(VerifyAuditLogRequest {}).await.unwrap().into_inner();
    let mut last = None;
    while let Some(step) = steps.message().await.unwrap() {
        last = Some(step);
    }
    let last = last.unwrap();
    assert!(last.done && last.problem.is_none() && last.verified_rows > 0, "{last:?}");
    assert_eq!((last.verified_events, last.verified_rows), (last.total_events, last.total_rows));
}

/// A digest of the small tables, which a start writes to.
async fn everything(url: &str) -> Vec<String> {
    let database = Database::at(url).await;
    let mut all = Vec::new();
    for table in ["vault", "master_keys", "service_keys", "audit_head", "seaql_migrations"] {
        let rows = database.rows(&format!("SELECT CAST({table} AS TEXT) FROM {table} ORDER BY 1")).await;
        all.extend(rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()));
    }
    all
}
