//! A folder for a vault in development mode, and starts that are to fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claviger_proto::keyvault_v1::Verification;
use claviger_proto::keyvault_v1::key_vault_client::KeyVaultClient;
use claviger_tests::fleet::{create_request, environment, until_serving, vault_environment};
use claviger_tests::{Process, Signal, key};
use tempfile::TempDir;

const LONGEST: Duration = Duration::from_secs(30);

/// How a process ended.
pub(crate) struct Refusal {
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
}

/// Runs the vault's program to its end.
pub(crate) fn run(arguments: &[&str], environment: &[(String, String)]) -> Refusal {
    let mut process = Process::spawn("claviger-keyvault", arguments, environment).unwrap();
    let status = process.wait(LONGEST).unwrap();
    Refusal { code: status.code(), log: process.log() }
}

/// Starts the vault, which must end by itself.
pub(crate) fn refuse(environment: &[(String, String)]) -> Refusal {
    run(&["serve"], environment)
}

/// The folder.
pub(super) struct Place(TempDir);

impl Place {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("catalog.toml"), "").unwrap();
        Self(folder)
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.data().join("master.key")
    }

    /// Starts the vault in development mode, stores a key, and stops it in order.
    pub(super) async fn use_and_stop(&self) {
        let mut vault = self.used().await;
        vault.signal(Signal::TERM).unwrap();
        assert!(vault.wait(LONGEST).unwrap().success(), "{}", vault.log());
    }

    /// The same, and kills it.
    pub(super) async fn use_and_kill(&self) {
        self.used().await.kill().unwrap();
    }

    async fn used(&self) -> Process {
        let vault = Process::start("claviger-keyvault", &["serve"], &vault_environment(self.folder())).unwrap();
        until_serving(&vault, "claviger.keyvault.v1.KeyVault").await.unwrap();
        let mut client = KeyVaultClient::connect(format!("http://{}", vault.address("grpc"))).await.unwrap();
        let mut request = create_request("workspaces/acme", "anthropic", &key("good"));
        request.set_verification(Verification::Skip);
        client.create_provider_key(request).await.unwrap();
        vault
    }

    /// Starts the vault in development mode with further settings; it must not start.
    pub(super) fn refused(&self, more: &[(&str, &str)]) -> Refusal {
        refuse(&[vault_environment(self.folder()), environment(more)].concat())
    }

    /// The folder's files. SQLite makes two anew for any reader: the index of the write-ahead log, and an empty log.
    pub(super) fn bytes(&self) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(self.data()).unwrap().map(|entry| entry.unwrap().path());
        let named =
            files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()));
        named.filter(|(name, bytes)| !name.ends_with("-shm") && !bytes.is_empty()).collect()
    }
}
