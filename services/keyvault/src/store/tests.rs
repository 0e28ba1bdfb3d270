//! The store over real SQLite files.
#![expect(clippy::unwrap_used, reason = "tests")]

mod integrity;
mod rows;
mod writes;

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::catalog::AuthType;
use claviger_core::ids::{KeyId, KeyName, KeySlug, Owner, ProviderId, Tenant};
use claviger_core::key::{KeyState, Mask, ProviderKey};
use claviger_core::workspace::Workspace;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement, TryGetable};
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Location, Store, StoreError, StoredKey, WorkspaceKeyRow};

/// An open store, and the folder that holds it.
struct Opened {
    store: Store,
    folder: TempDir,
}

impl Opened {
    /// A new one.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await.unwrap();
        Self { store, folder }
    }
}

async fn open(folder: &TempDir) -> Result<Store, StoreError> {
    Store::open(&Location::Sqlite(folder.path().join("keyvault.db")), |_| Ok::<(), StoreError>(())).await
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
    StoredKey { key, sealed: vec![1; 90], fingerprint: vec![2; 32] }
}

fn workspace(id: &str) -> Workspace {
    Workspace {
        id: tenant(&format!("workspaces/{id}")).workspace().unwrap().clone(),
        policy: Default::default(),
        create_time: time(),
        creator: "test".into(),
        update_time: time(),
    }
}

fn workspace_key() -> WorkspaceKeyRow {
    WorkspaceKeyRow { version: 1, master_key: "root-1".into(), wrapped: vec![3; 60] }
}

fn created(key: &StoredKey) -> Event {
    Event {
        time: time(),
        tenant: key.key.name.owner.tenant.clone(),
        action: Action::KeyCreated,
        target: key.key.name.to_string(),
        origin: Origin {
            actor: "test".into(),
            peer: "127.0.0.1:1".into(),
            request_id: "r-1".into(),
            trace_id: String::new(),
        },
        details: vec![(Detail::KeySlug, key.key.slug.to_string())],
    }
}

/// Stores a key with its event.
async fn put(store: &Store, key: &StoredKey) -> Result<u64, StoreError> {
    let txn = store.begin().await?;
    txn.insert_key(key).await?;
    Ok(txn.commit(created(key), Vec::new()).await?.seq)
}

async fn execute(db: &DatabaseConnection, sql: &str) {
    db.execute_unprepared(sql).await.unwrap();
}

/// The first column of a query.
async fn column<T: TryGetable>(db: &DatabaseConnection, sql: &str) -> Vec<T> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}
