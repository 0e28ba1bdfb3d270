//! A key file and a database that outlive the processes which use them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use claviger_crypto::Keyring;
use claviger_keyvault::store::Location;
use claviger_proto::keyvault_v1::master_keys_client::MasterKeysClient;
use claviger_proto::keyvault_v1::{ListMasterKeysRequest, MasterKey, RewrapKeysRequest, RewrapKeysResponse};
use claviger_tests::fleet::{environment, vault_environment};
use claviger_tests::{Fleet, Options, Process, postgres};
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::crash::chain;
use crate::database::{Database, Inside};

const LONGEST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

pub(super) struct Place {
    folder: TempDir,
    url: Option<String>,
}

/// How a command ended.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) log: String,
}

impl Ended {
    pub(super) fn assert_success(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}", self.log);
        self
    }

    pub(super) fn assert_line(&self, part: &str) {
        let last = self.log.lines().rfind(|line| line.starts_with("claviger-keyvault: ")).unwrap_or_default();
        assert!(self.code == Some(1) && last.contains(part), "{part}:\n{}", self.log);
    }
}

impl Place {
    pub(super) async fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("catalog.toml"), "").unwrap();
        let url = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(postgres::schema().await.unwrap().url),
        };
        let place = Self { folder, url };
        place.command(&["keyring", "generate", "--out", &place.key_path()]).assert_success();
        place
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.folder.path().join("master.key")
    }

    fn key_path(&self) -> String {
        self.key_file().to_string_lossy().into_owned()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What a vault is started with, beyond the usual.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let url = self.url.as_deref().unwrap_or_default();
        let data = self.data();
        environment(&[
            ("CLAVIGER_MASTER_KEY_FILE", &self.key_path()),
            ("CLAVIGER_DATA_DIR", &data.to_string_lossy()),
            ("CLAVIGER_DATABASE_URL", url),
        ])
    }

    pub(super) async fn fleet(&self) -> Fleet {
        Fleet::start_with(Options { vault: self.settings(), ..Options::default() }).await.unwrap()
    }

    /// A vault alone.
    pub(super) async fn vault(&self) -> Process {
        let environment = [vault_environment(self.folder.path()), self.settings()].concat();
        let vault = Process::start("claviger-keyvault", &["serve"], &environment).unwrap();
        list(&vault).await; // it answers before it has said that it is ready
        vault
    }

    /// Starts a vault, which must end by itself.
    pub(super) fn refused(&self) -> Ended {
        let environment = [vault_environment(self.folder.path()), self.settings()].concat();
        let mut process = Process::spawn("claviger-keyvault", &["serve"], &environment).unwrap();
        let status = process.wait(LONGEST).unwrap();
        Ended { code: status.code(), log: process.log() }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Ended {
        let mut process = Process::spawn("claviger-keyvault", arguments, &[]).unwrap();
        let status = process.wait(LONGEST).unwrap();
        Ended { code: status.code(), log: process.log() }
    }

    /// A keyring command on the key file.
    pub(super) fn keyring(&self, command: &str, more: &[&str]) -> Ended {
        self.command(&[&["keyring", command, "--file", &self.key_path()], more].concat())
    }

    /// The same, with the database.
    pub(super) fn keyring_and_database(&self, command: &str, more: &[&str]) -> Ended {
        let data = self.data().to_string_lossy().into_owned();
        let database = match &self.url {
            Some(url) => ["--database-url", url],
            None => ["--data-dir", &data],
        };
        self.keyring(command, &[&database, more].concat())
    }

    /// Moves all events out of the database.
    pub(super) fn seal(&self) -> Ended {
        let out = self.folder.path().join("segment.jsonl").to_string_lossy().into_owned();
        let arguments = ["audit", "seal", "--before", "0h", "--out", &out];
        let mut process = Process::spawn("claviger-keyvault", &arguments, &self.settings()).unwrap();
        let status = process.wait(LONGEST).unwrap();
        Ended { code: status.code(), log: process.log() }
    }

    /// Adds a key and makes it primary: its id, and that of the one before.
    pub(super) fn rotate_file(&self) -> (String, String) {
        let old = self.ids().remove(0);
        self.keyring("add", &[]).assert_success();
        let new = self.ids().pop().unwrap();
        self.keyring("promote", &["--id", &new]).assert_success();
        (new, old)
    }

    /// The ids of the key file, the primary one first.
    pub(super) fn ids(&self) -> Vec<String> {
        let keyring = Keyring::parse(&fs::read_to_string(self.key_file()).unwrap()).unwrap();
        keyring.iter().map(|key| key.id().to_owned()).collect()
    }

    pub(super) async fn database(&self) -> Database {
        match &self.url {
            Some(url) => Database::at(url).await,
            None => Database::open(&self.data().join("keyvault.db")).await,
        }
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        let database = self.database().await;
        let number = database.rows(sql).await[0].try_get_by_index(0).unwrap();
        database.close().await;
        number
    }

    pub(super) async fn execute(&self, sql: &str) {
        let database = self.database().await;
        database.execute(sql).await;
        database.close().await;
    }

    /// The vault's own storage code, in this process.
    pub(super) async fn inside(&self) -> Inside {
        let location = match &self.url {
            Some(url) => Location::parse(url, false).unwrap(),
            None => Location::Sqlite(self.data().join("keyvault.db")),
        };
        Inside::open_at(&location, &self.key_file()).await
    }

    /// How many rows of any table are wrapped under a master key. A table that holds wrapped keys and does not say under
    /// which is one that no rotation could find.
    pub(super) async fn rows_under(&self, master_key: &str) -> i64 {
        let database = self.database().await;
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let sql = match self.url {
            Some(_) => {
                "SELECT table_name::text, column_name::text FROM information_schema.columns \
                 WHERE table_schema = current_schema()"
            }
            None => {
                "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"
            }
        };
        for row in database.rows(sql).await {
            tables.entry(row.try_get_by_index(0).unwrap()).or_default().push(row.try_get_by_index(1).unwrap());
        }
        let (mut found, mut count) = (Vec::new(), 0);
        for (table, columns) in tables {
            let has = |name: &str| columns.iter().any(|column| column == name);
            assert!(!has("wrapped") || has("master_key"), "{table}");
            if has("master_key") {
                let sql = format!("SELECT count(*) FROM {table} WHERE master_key = '{master_key}'");
                count += database.rows(&sql).await[0].try_get_by_index::<i64>(0).unwrap();
                found.push(table);
            }
        }
        database.close().await;
        assert_eq!(found, ["service_keys", "workspace_keys"], "a rotation goes through these");
        count
    }

    /// All opens, and the audit chain is whole.
    pub(super) async fn assert_sound(&self) {
        self.keyring_and_database("check", &[]).assert_success();
        let database = self.database().await;
        chain::verified(&database).await.unwrap();
        database.close().await;
    }

    /// The database's files. SQLite makes two anew for any reader: the index of the write-ahead log, and an empty log.
    pub(super) fn bytes(&self) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(self.data()).unwrap().map(|entry| entry.unwrap().path());
        let named =
            files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()));
        named.filter(|(name, bytes)| !name.ends_with("-shm") && !bytes.is_empty()).collect()
    }
}

pub(super) fn client(vault: &Process) -> MasterKeysClient<Channel> {
    MasterKeysClient::new(channel(vault))
}

pub(super) fn channel(vault: &Process) -> Channel {
    Endpoint::from_shared(format!("http://{}", vault.address("grpc"))).unwrap().connect_lazy()
}

pub(super) async fn list(vault: &Process) -> Vec<MasterKey> {
    client(vault).list_master_keys(ListMasterKeysRequest {}).await.unwrap().into_inner().master_keys
}

/// Waits until the vault has taken over a key file with this primary key.
pub(super) async fn until_primary(vault: &Process, id: &str) {
    let deadline = Instant::now() + LONGEST;
    while list(vault).await[0].id != id {
        assert!(Instant::now() < deadline, "{id} is not taken over:\n{}", vault.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) fn rewrap_request(reseal: bool) -> RewrapKeysRequest {
    RewrapKeysRequest { reseal_made_before: reseal.then(|| SystemTime::now().into()) }
}

/// Calls RewrapKeys to its end: the last message.
pub(super) async fn rewrap(vault: &Process, reseal: bool) -> Result<RewrapKeysResponse, Status> {
    let last = rewrapped(vault, reseal).await?.pop().unwrap();
    assert!(last.done);
    Ok(last)
}

/// Calls RewrapKeys to its end: all messages.
pub(super) async fn rewrapped(vault: &Process, reseal: bool) -> Result<Vec<RewrapKeysResponse>, Status> {
    let mut stream = client(vault).rewrap_keys(rewrap_request(reseal)).await?.into_inner();
    let mut told = Vec::new();
    while let Some(message) = stream.message().await? {
        told.push(message);
    }
    Ok(told)
}
