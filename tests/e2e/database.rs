//! The vault's database from within: as a thief or an auditor sees it, and the vault's own storage code over it.

use std::path::Path;
use std::sync::Arc;

use claviger_core::catalog::{Catalog, EgressAllow};
use claviger_core::ids::Tenant;
use claviger_core::key::ProviderKey;
use claviger_core::position::session_binding;
use claviger_core::workspace::Plans;
use claviger_crypto::{Handshake, Keyring, RecordContext};
use claviger_keyvault::master_key;
use claviger_keyvault::store::{Database as Opened, Location, Prepared, Store};
use claviger_keyvault::usecase::custody::{self, Custody};
use claviger_keyvault::usecase::feed::Feed;
use claviger_keyvault::usecase::keys::{Keys, LiveTests};
use claviger_keyvault::verify::{Client, Egress, Outbound, Tokens, Verifier};

use sea_orm::{ConnectOptions, ConnectionTrait, Database as Orm, DatabaseConnection, QueryResult, Statement};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// The database, read and written as anyone could who has it.
pub(crate) struct Database(DatabaseConnection);

impl Database {
    /// Opens a SQLite file.
    pub(crate) async fn open(file: &Path) -> Self {
        Self::at(&format!("sqlite://{}?mode=rw", file.display())).await
    }

    /// Opens what a URL names.
    pub(crate) async fn at(url: &str) -> Self {
        Self(Orm::connect(ConnectOptions::new(url).sqlx_logging(false).to_owned()).await.unwrap())
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, sql: &str) {
        let done = self.0.execute_unprepared(sql).await;
        assert!(done.is_ok(), "{sql}: {done:?}");
    }

    /// Runs a statement that must change one row.
    pub(crate) async fn change(&self, sql: &str) {
        let done = self.0.execute_unprepared(sql).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{sql}");
    }

    /// Rows of a query.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<QueryResult> {
        self.0.query_all_raw(Statement::from_string(self.0.get_database_backend(), sql)).await.unwrap()
    }

    /// The one value of a query.
    pub(crate) async fn bytes(&self, sql: &str) -> Vec<u8> {
        self.rows(sql).await[0].try_get_by_index(0).unwrap()
    }

    /// Writes bytes into a column of the rows that a condition picks, which must be one.
    pub(crate) async fn put(&self, table: &str, column: &str, condition: &str, bytes: &[u8]) {
        self.change(&format!("UPDATE {table} SET {column} = x'{}' WHERE {condition}", hex(bytes))).await;
    }

    /// Closes it, so that all is in the file.
    pub(crate) async fn close(self) {
        self.0.close().await.unwrap();
    }
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The vault's storage, opened in this process instead of its own.
pub(crate) struct Inside {
    pub(crate) store: Store,
    pub(crate) feed: Feed,
    pub(crate) keys: Keys,
}

impl Inside {
    /// Opens the data folder of a vault in `--dev`, making key file and database where they are missing.
    pub(crate) async fn open(data: &Path) -> Self {
        std::fs::create_dir_all(data).unwrap();
        let file = data.join("master.key");
        if !file.exists() {
            master_key::generate(&file).unwrap();
        }
        let keyring = master_key::read(&file).unwrap();
        Self::over(&Location::Sqlite(data.join("keyvault.db")), keyring).await
    }

    /// Opens a vault's database under its key file.
    pub(crate) async fn open_at(location: &Location, file: &Path) -> Self {
        Self::over(location, master_key::read(file).unwrap()).await
    }

    /// Opens any database under its master keys.
    pub(crate) async fn over(location: &Location, keyring: Keyring) -> Self {
        // the HTTP client of live tests needs one; it stands already when another test was first
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database =
            Opened::open(location, Prepared::ByItself, |known| custody::admit(&keyring, known)).await.unwrap();
        let (custody, rows) = Custody::load(keyring, &database, OffsetDateTime::now_utc()).await.unwrap();
        let (custody, plans) = (Arc::new(custody), Arc::new(Plans::default()));
        let (store, writer) = database.into_store(rows);
        tokio::spawn(writer.run(CancellationToken::new()));
        let catalog = Arc::new(Catalog::builtin().unwrap());
        let client = Client::new(Egress::new(EgressAllow::default()), &Outbound::default()).unwrap();
        let verifier = Verifier::new(catalog.clone(), client);
        let tokens = Tokens::new(verifier.clone());
        let keys =
            Keys::new(store.clone(), custody.clone(), catalog, verifier, plans.clone(), true, LiveTests::default());
        Self { store: store.clone(), feed: Feed::new(store, custody, plans, tokens), keys }
    }

    /// A tenant's keys as routing would get and open them: the secret of each that opens.
    pub(crate) async fn opened(&self, tenant: &str) -> Vec<(ProviderKey, Option<String>)> {
        let handshake = Handshake::new().unwrap();
        let subscription = self.feed.subscribe(&handshake.public_key()).unwrap();
        let binding = session_binding(subscription.session, subscription.epoch);
        let opener = handshake.accept(&subscription.encapsulated_key, &binding).unwrap();
        let loaded = subscription.load(&Tenant::parse(tenant).unwrap().into()).await.unwrap();
        let open = |sealed: claviger_keyvault::usecase::feed::Sealed| {
            let key = sealed.key;
            assert_eq!(sealed.unreadable, sealed.secret.is_empty(), "{}", key.name);
            let opened = (!sealed.unreadable).then(|| opener.open(&context(&key, tenant), &sealed.secret).unwrap());
            let text = opened.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
            (key, text)
        };
        // revoked ones come without their secrets
        loaded.keys.into_iter().filter(|sealed| !sealed.key.state.is_revoked()).map(open).collect()
    }
}

fn context<'a>(key: &'a ProviderKey, tenant: &'a str) -> RecordContext<'a> {
    RecordContext {
        tenant,
        owner: key.name.owner.user_str(),
        key_id: *key.name.id.uuid().as_bytes(),
        version: key.secret_version,
        provider: key.provider.as_str(),
        auth_type: key.auth_type.as_str(),
        base_url: key.base_url.as_deref(),
        location: key.location.as_deref(),
    }
}
