//! The store's tests. Those of each [`both`] run on SQLite and on PostgreSQL alike.
#![expect(clippy::unwrap_used, reason = "tests")]

mod alone;
mod batches;
mod filters;
mod integrity;
mod journal;
mod once;
mod prepared;
mod rows;
mod sealed;
mod segments;
mod snapshots;
mod sqlite;
mod usage;
mod wire;
mod writes;

use claviger_core::audit::{Action, Event, Origin};
use claviger_core::catalog::AuthType;
use claviger_core::fault::Fault;
use claviger_core::ids::{KeyId, KeyName, KeySlug, Owner, ProviderId, Tenant, WorkspaceId};
use claviger_core::key::{KeyState, Mask, ProviderKey, Revocation};
use claviger_core::reason::Reason;
use claviger_core::workspace::{Policy, Workspace};
use claviger_crypto::{Keyring, ServiceKey};
use claviger_testing_postgres::Schema;
use sea_orm::{ConnectionTrait, DatabaseConnection, FromQueryResult, Statement, TryGetable};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::connect::owner as connected;
use super::{Database, Location, MasterKeyRow, Prepared, Store, StoreError, StoredKey, Writer};

/// Runs each of a module's tests on both databases: `sqlite::name` and `postgres::name`.
macro_rules! both {
    ($($name:ident,)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                super::$name($crate::store::tests::Place::sqlite()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                super::$name($crate::store::tests::Place::postgres().await).await;
            })+
        }
    };
}
pub(crate) use both;

/// A database for one test alone.
pub(crate) enum Place {
    Sqlite(TempDir),
    Postgres(Schema),
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn postgres() -> Self {
        Self::Postgres(claviger_testing_postgres::schema().await.unwrap())
    }

    pub(crate) fn location(&self) -> Location {
        match self {
            Self::Sqlite(folder) => Location::Sqlite(folder.path().join("keyvault.db")),
            Self::Postgres(schema) => Location::parse(&schema.url, false).unwrap(),
        }
    }

    async fn database(&self) -> Result<Database, StoreError> {
        Database::open(&self.location(), Prepared::ByItself, |_: &[MasterKeyRow]| Ok(())).await
    }

    /// A replica over it. All of one test bind rows with one key.
    async fn replica(&self) -> (Store, JoinHandle<()>) {
        let (store, writer) = self.database().await.unwrap().into_store(binding_key());
        (store, spawn(writer))
    }

    async fn open(self) -> Opened {
        let (store, writer) = self.replica().await;
        let raw = Raw(connected(&self.location()).await.unwrap());
        Opened { store, _writer: writer, raw, place: self }
    }
}

/// One replica, and the database as anyone sees it who may write to it.
struct Opened {
    store: Store,
    _writer: JoinHandle<()>,
    raw: Raw,
    place: Place,
}

fn spawn(writer: Writer) -> JoinHandle<()> {
    tokio::spawn(async move { writer.run(CancellationToken::new()).await.unwrap() })
}

/// The same each time in a process.
fn binding_key() -> ServiceKey {
    use std::sync::OnceLock;
    static WRAPPED: OnceLock<(Keyring, Vec<u8>)> = OnceLock::new();
    let (keyring, wrapped) = WRAPPED.get_or_init(|| {
        let keyring = Keyring::generate("2026-11-21T09:30:00Z").unwrap();
        let wrapped = ServiceKey::generate().unwrap().wrap(keyring.primary(), "row").unwrap();
        (keyring, wrapped)
    });
    ServiceKey::unwrap(keyring.primary(), "row", wrapped).unwrap()
}

/// A connection past the store.
struct Raw(DatabaseConnection);

impl Raw {
    async fn execute(&self, sql: &str) {
        let done = self.0.execute_unprepared(sql).await;
        assert!(done.is_ok(), "{sql}: {done:?}");
    }

    /// Runs a statement that must change one row.
    async fn change(&self, sql: &str) {
        let done = self.0.execute_unprepared(sql).await;
        assert!(done.as_ref().is_ok_and(|done| done.rows_affected() == 1), "{sql}: {done:?}");
    }

    /// The first column of a query.
    async fn column<T: TryGetable>(&self, sql: &str) -> Vec<T> {
        let rows = self.0.query_all_raw(Statement::from_string(self.0.get_database_backend(), sql)).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    async fn rows<T: FromQueryResult>(&self, sql: &str) -> Vec<T> {
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        T::find_by_statement(statement).all(&self.0).await.unwrap()
    }
}

fn time() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn owner(name: &str) -> Owner {
    Owner::parse(name).unwrap()
}

fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).unwrap()
}

fn event(tenant: &Tenant, action: Action, target: String) -> Event {
    Event { time: time(), tenant: tenant.clone(), action, target, origin: Origin::vault(), details: Vec::new() }
}

fn of_key(stored: &StoredKey, action: Action) -> Event {
    event(&stored.key.name.owner.tenant, action, stored.key.name.to_string())
}

fn workspace(id: &str) -> Workspace {
    Workspace {
        id: WorkspaceId::parse(id).unwrap(),
        policy: Policy::default(),
        create_time: time(),
        creator: "test".into(),
        update_time: time(),
        delete_time: None,
    }
}

fn of_workspace(workspace: &Workspace, action: Action) -> Event {
    let name = format!("workspaces/{}", workspace.id);
    event(&tenant(&name), action, name)
}

/// Stores a key, as the store then has it.
async fn put(store: &Store, stored: &StoredKey) -> Result<StoredKey, Fault> {
    let mut stored = stored.clone();
    let job = store.write(move |txn| {
        Box::pin(async move {
            let created = of_key(&stored, Action::KeyCreated);
            txn.insert_key(&mut stored, &created).await?;
            Ok(stored)
        })
    });
    Ok(job.await?.0)
}

/// Writes a key as it is now.
async fn update(store: &Store, stored: &StoredKey) -> Result<StoredKey, Fault> {
    let mut stored = stored.clone();
    let job = store.write(move |txn| {
        Box::pin(async move {
            let stamp = txn.record(&of_key(&stored, Action::KeyUpdated)).await?;
            txn.update_key(&mut stored, &stamp).await?;
            Ok(stored)
        })
    });
    Ok(job.await?.0)
}

async fn revoke(store: &Store, mut stored: StoredKey) -> StoredKey {
    stored.key.state = KeyState::Revoked;
    stored.key.revocation = Some(Revocation { time: time(), actor: "test".into(), reason: String::new() });
    update(store, &stored).await.unwrap()
}

async fn put_workspace(store: &Store, workspace: &Workspace) -> Result<u64, Fault> {
    let workspace = workspace.clone();
    let job = store.write(move |txn| {
        Box::pin(async move {
            let stamp = txn.record(&of_workspace(&workspace, Action::WorkspaceCreated)).await?;
            Ok(txn.put_workspace(&workspace, &stamp).await?)
        })
    });
    Ok(job.await?.1.seq)
}

fn is_taken<T>(result: &Result<T, Fault>) -> bool {
    result.as_ref().is_err_and(|fault| fault.reason == Reason::KeySlugTaken)
}

/// A key of an owner with a slug of its choice; nothing of it is sealed for real.
pub(crate) fn key(owner_name: &str, slug: &str) -> StoredKey {
    let key = ProviderKey {
        name: KeyName { owner: owner(owner_name), id: KeyId::new(Uuid::now_v7()) },
        provider: ProviderId::parse("anthropic").unwrap(),
        auth_type: AuthType::ApiKey,
        slug: KeySlug::parse(slug).unwrap(),
        label: format!("{owner_name} {slug}"),
        mask: Mask::of("sk-ant-api03-0123456789"),
        priority: 0,
        base_url: None,
        location: None,
        allowed_models: Vec::new(),
        state: KeyState::Active,
        secret_version: 1,
        last_test: None,
        create_time: time(),
        creator: "test".into(),
        update_time: time(),
        expire_time: None,
        revocation: None,
    };
    StoredKey { key, sealed: vec![1; 90], workspace_key: 1, fingerprint: vec![2; 32], seq: 0, intact: true }
}
