//! A vault on either database, and what is in it while the vault is dead.

use std::collections::{BTreeMap, HashMap, HashSet};

use claviger_core::key::Mask;
use claviger_keyvault::store::Location;
use claviger_proto::keyvault_v1::VerifyAuditLogRequest;
use claviger_tests::fleet::{audit_log_of, database_environment, vault_environment};
use claviger_tests::{Process, Signal, postgres, provider};
use serde_json::Value;
use tempfile::TempDir;
use wiremock::MockServer;

use super::super::{chain, start};
use super::WORKSPACE;
use crate::database::{Database, Inside};

/// What lasts from one vault to the next.
pub(super) struct Place {
    folder: TempDir,
    _provider: MockServer,
    environment: Vec<(String, String)>,
    url: Option<String>,
}

/// A key as the database has it.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) secret: String,
    pub(super) version: u32,
    pub(super) mask: Mask,
    pub(super) test_result: String,
    pub(super) sealed: Vec<u8>,
    pub(super) last_seq: i64,
    /// Of the key's newest event.
    pub(super) newest_seq: i64,
    /// What that one says of the test; empty if it tells of no secret.
    pub(super) told_result: String,
    /// The versions of the events of new secrets, oldest first.
    pub(super) told_versions: Vec<u32>,
}

impl Place {
    pub(super) async fn sqlite() -> Self {
        Self::new(None).await
    }

    pub(super) async fn postgres() -> Self {
        Self::new(Some(postgres::schema().await.unwrap().url)).await
    }

    async fn new(url: Option<String>) -> Self {
        let (folder, provider) = (tempfile::tempdir().unwrap(), provider::start().await);
        let catalog = format!("[[provider]]\nid = \"anthropic\"\nbase_url = {{ default = \"{}\" }}\n", provider.uri());
        std::fs::write(folder.path().join("catalog.toml"), catalog).unwrap();
        let server = url.iter().flat_map(|url| database_environment(folder.path(), url).unwrap());
        let environment = vault_environment(folder.path()).into_iter().chain(server).collect();
        Self { folder, _provider: provider, environment, url }
    }

    pub(super) async fn vault(&self) -> Process {
        start(&self.environment).await
    }

    async fn inside(&self) -> Inside {
        match &self.url {
            Some(url) => {
                let location = Location::parse(url, true).unwrap();
                Inside::open_at(&location, &self.folder.path().join("master.key")).await
            }
            None => Inside::open(&self.folder.path().join("data")).await,
        }
    }

    async fn database(&self) -> Database {
        match &self.url {
            Some(url) => Database::at(url).await,
            None => Database::open(&self.folder.path().join("data/keyvault.db")).await,
        }
    }

    /// All keys by name. Each opens, and the audit chain is whole.
    pub(super) async fn found(&self) -> BTreeMap<String, Found> {
        let database = self.database().await;
        let events = chain::verified(&database).await.unwrap();
        let sql = "SELECT tenant || '/keys/' || id AS name, sealed, last_seq FROM provider_keys";
        let rows = database.rows(sql).await;
        database.close().await;
        let mut rows: HashMap<String, (Vec<u8>, i64)> = rows
            .iter()
            .map(|row| {
                let bytes = (row.try_get("", "sealed").unwrap(), row.try_get("", "last_seq").unwrap());
                (row.try_get("", "name").unwrap(), bytes)
            })
            .collect();
        let mut all = BTreeMap::new();
        for (key, secret) in self.inside().await.opened(WORKSPACE).await {
            let name = key.name.to_string();
            let (sealed, last_seq) = rows.remove(&name).unwrap();
            let of_key = (1..).zip(&events).filter(|(_, event)| event.target == name);
            let of_key: Vec<_> = of_key.map(|(seq, event)| (seq, event.action.as_str(), details(event))).collect();
            let told = of_key.iter().filter(|(_, action, _)| *action == "key.secret_replaced");
            let (newest_seq, _, newest) = of_key.last().unwrap();
            let found = Found {
                secret: secret.unwrap_or_else(|| unreachable!("{name} does not open")),
                version: key.secret_version,
                mask: key.mask,
                test_result: key.last_test.unwrap().result.as_str().to_owned(),
                sealed,
                last_seq,
                newest_seq: *newest_seq,
                told_result: newest["test_result"].as_str().unwrap_or_default().to_owned(),
                told_versions: told.map(|(.., details)| version(details)).collect(),
                name,
            };
            all.insert(found.name.clone(), found);
        }
        assert!(rows.is_empty(), "rows of no key");
        all
    }

    /// What each round left sealed, but the last, is in no file any more. Of PostgreSQL's files only its rows are ours.
    pub(super) async fn assert_old_are_gone(&self, mut vault: Process, sealed: &[Vec<Vec<u8>>]) {
        vault.signal(Signal::TERM).unwrap();
        vault.wait(std::time::Duration::from_secs(30)).unwrap();
        let database = self.database().await;
        if self.url.is_none() {
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)").await;
        }
        let rows = database.rows("SELECT sealed FROM provider_keys").await;
        let rows: Vec<Vec<u8>> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
        database.close().await;
        let stored = match &self.url {
            Some(_) => rows.concat(),
            None => std::fs::read(self.folder.path().join("data/keyvault.db")).unwrap(),
        };
        let places: HashSet<_> = stored.windows(24).collect();
        let holds = |bytes: &[u8]| places.contains(&bytes[bytes.len() - 24..]);
        assert!(rows.iter().all(|row| holds(row)), "the search finds what is there");
        let old = sealed.iter().flatten().filter(|sealed| !rows.contains(sealed));
        assert_eq!(old.filter(|sealed| holds(sealed)).count(), 0, "old ciphertexts are left");
    }
}

/// VerifyAuditLog finds every event and every row as it should be.
pub(super) async fn assert_verifies(vault: &Process) {
    let mut stream = audit_log_of(vault).verify_audit_log(VerifyAuditLogRequest {}).await.unwrap().into_inner();
    let mut last = None;
    while let Some(message) = stream.message().await.unwrap() {
        last = Some(message);
    }
    let last = last.unwrap();
    assert!(last.done && last.problem.is_none(), "{last:?}");
    assert_eq!((last.verified_events, last.verified_rows), (last.total_events, last.total_rows));
}

fn details(event: &chain::Event) -> Value {
    serde_json::from_str(&event.details).unwrap()
}

fn version(details: &Value) -> u32 {
    details["secret_version"].as_str().unwrap().parse().unwrap()
}
