//! The database breaks under a running vault, and comes back.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use claviger_tests::fleet::serving;
use claviger_tests::{Fleet, key, reason};
use tonic::Code;

use super::{KEY_VAULT, ROUTING, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_without_its_database_is_alive_but_not_ready_and_recovers() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let database = Damaged::files(&fleet);
    database.zero();
    until("the vault is not ready", async || !serving(&fleet.vault, KEY_VAULT).await).await;
    assert!(!serving(&fleet.vault, "").await);
    assert!(serving(&fleet.vault, "liveness").await, "a restart would not help");
    assert!(serving(&fleet.routing, ROUTING).await, "the link stands");

    let error = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "STORAGE_UNAVAILABLE"));
    assert!(!error.message().contains("SQL") && !error.message().contains("file"), "{error:?}");

    database.restore();
    until("the vault is ready", async || serving(&fleet.vault, KEY_VAULT).await).await;
    let next = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    assert_ne!(stored.name, next.name);
    assert!(serving(&fleet.vault, "").await && serving(&fleet.vault, "liveness").await);
}

/// The database's files as they were.
struct Damaged(Vec<(PathBuf, Vec<u8>)>);

impl Damaged {
    fn files(fleet: &Fleet) -> Self {
        let file = |suffix: &str| PathBuf::from(format!("{}{suffix}", fleet.database().display()));
        let names = ["", "-wal", "-shm"].map(file).into_iter();
        Self(names.map(|name| (name.clone(), std::fs::read(name).unwrap())).collect())
    }

    fn zero(&self) {
        for (name, content) in &self.0 {
            overwrite(name, &vec![0; content.len()]);
        }
    }

    /// The index of the write-ahead log stays zero: SQLite builds it anew.
    fn restore(&self) {
        for (name, content) in &self.0[..2] {
            overwrite(name, content);
        }
        let (index, content) = &self.0[2];
        overwrite(index, &vec![0; content.len()]);
    }
}

/// In place: the running vault has the files open and mapped.
fn overwrite(file: &PathBuf, content: &[u8]) {
    OpenOptions::new().write(true).open(file).unwrap().write_all(content).unwrap();
}
