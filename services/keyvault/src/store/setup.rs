//! Opening the store: the master keys are compared before anything is touched.

use std::sync::Arc;
use std::time::Duration;

use claviger_crypto::{self as chain, ServiceKey};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, Set};
use sea_orm_migration::SchemaManager;
use time::OffsetDateTime;
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use super::bound::Binder;
use super::connect::{Location, begin, journals, look, owner, reader, writer};
use super::entity::{audit_head, master_keys, service_keys, vault};
use super::journal::BATCHES;
use super::key_row::micros;
use super::rewrap::known_master_keys;
use super::writer::{PATIENCE, QUEUE, START, Writer};
use super::{Access, Store, StoreError, role, schema};

/// An open database of the right schema, whose rows cannot be checked yet: the key for that is in it, wrapped.
#[derive(Debug)]
pub struct Database {
    location: Location,
    read: DatabaseConnection,
    write: DatabaseConnection,
    /// For journals, where they need not go through the writer.
    journals: Option<DatabaseConnection>,
    epoch: Uuid,
    patience: Duration,
}

/// Who brings the database to this release's schema. The embedded one is always brought there by whoever opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// The service itself, as any role: for development.
    ByItself,
    /// `claviger-keyvault migrate`, with the role that owns the tables; the service's own may only add to the audit log.
    Before,
}

/// A master key that the database has something under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKeyRow {
    /// Its id in the keyring.
    pub id: String,
    /// Tells a wrong key of that id.
    pub check_value: Vec<u8>,
}

/// Keys that the vault takes up where the database lacks them.
#[derive(Debug, Clone, Copy)]
pub struct FreshKeys<'a> {
    /// For a new database alone: one that is missing later was taken away, and another would not be the same.
    pub kept: &'a [ServiceKeyRow],
    /// For any database.
    pub remade: &'a [ServiceKeyRow],
}

/// One of the vault's own keys, wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceKeyRow {
    /// What it is for.
    pub purpose: String,
    /// The master key's id.
    pub master_key: String,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

impl From<service_keys::Model> for ServiceKeyRow {
    fn from(row: service_keys::Model) -> Self {
        Self { purpose: row.purpose, master_key: row.master_key, wrapped: row.wrapped }
    }
}

impl Database {
    /// Opens a database of this release's schema. `admit` sees the master keys that the database was used with first;
    /// when it refuses, no byte is touched.
    ///
    /// # Errors
    /// [`StoreError::ForeignSchema`], [`StoreError::Schema`], [`StoreError::TooMightyRole`]; when the database fails, or
    /// `admit` refuses.
    pub async fn open<E: From<StoreError>>(
        location: &Location,
        prepared: Prepared,
        admit: impl FnOnce(&[MasterKeyRow]) -> Result<(), E>,
    ) -> Result<Self, E> {
        admit(&master_keys_of(location).await?)?;
        let write = writer(location).await?;
        prepare(&write, prepared).await?;
        let epoch = first_rows(&write).await?;
        let (read, journals) = (reader(location).await?, journals(location).await?);
        Ok(Self { location: location.clone(), read, write, journals, epoch, patience: PATIENCE })
    }

    /// Opens a database that another process has made and may be using. Its schema is not touched. Commands attach, whose
    /// writes may be long.
    ///
    /// # Errors
    /// When there is none, or one of another release's schema; when the database fails, or `admit` refuses.
    pub async fn attach<E: From<StoreError>>(
        location: &Location,
        admit: impl FnOnce(&[MasterKeyRow]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let known = master_keys_of(location).await?;
        if known.is_empty() {
            return Err(StoreError::NoVault.into());
        }
        admit(&known)?;
        let write = owner(location).await?;
        schema::assert_current(&write).await?;
        let epoch = first_rows(&write).await?;
        let read = reader(location).await?;
        Ok(Self { location: location.clone(), read, write, journals: None, epoch, patience: Duration::MAX })
    }

    /// The store over it, and the writer that the store sends its writes to. `rows` binds rows to their events.
    #[must_use]
    pub fn into_store(self, rows: ServiceKey) -> (Store, Writer) {
        let Self { location, read, write, journals, epoch, patience } = self;
        let (sender, queue) = mpsc::channel(QUEUE);
        let binder = Arc::new(Binder::new(rows));
        let access = Access::new(write, binder.clone(), epoch, START);
        let writer = Writer { location, access, queue, patience, told: None };
        let batches = Arc::new(Semaphore::new(BATCHES));
        (Store { read, journals, batches, binder, epoch, queue: sender }, writer)
    }

    /// Takes up the vault's own keys, after adding those in `fresh` that are missing, with the master key that they are under.
    /// A database is new that has none and no event yet. `take_up` sees the master keys known so far and the keys; when it refuses, nothing is added.
    ///
    /// # Errors
    /// When the database fails, or `take_up` refuses.
    pub async fn service_keys<T, E: From<StoreError>>(
        &self,
        primary: &MasterKeyRow,
        fresh: FreshKeys<'_>,
        now: OffsetDateTime,
        take_up: impl FnOnce(&[MasterKeyRow], &[ServiceKeyRow]) -> Result<T, E>,
    ) -> Result<T, E> {
        let txn = begin(&self.write).await?;
        insert_master_key(&txn, primary, now).await?;
        let kept = if is_first_start(&txn).await? { fresh.kept } else { &[] };
        for key in kept.iter().chain(fresh.remade) {
            insert_service_key(&txn, key).await?;
        }
        let known = known_master_keys(&txn).await?;
        let rows = service_keys::Entity::find().all(&txn).await.map_err(StoreError::from)?;
        let taken = take_up(&known, &rows.into_iter().map(ServiceKeyRow::from).collect::<Vec<_>>())?;
        txn.commit().await.map_err(StoreError::from)?;
        Ok(taken)
    }
}

impl Store {
    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.seq().await.map(drop)
    }
}

/// On a server, says which role it is and whether that one is too mighty to serve.
async fn prepare(db: &DatabaseConnection, prepared: Prepared) -> Result<(), StoreError> {
    let server = db.get_database_backend() == DbBackend::Postgres;
    match prepared {
        Prepared::Before if server => schema::assert_current(db).await?,
        Prepared::Before | Prepared::ByItself => drop(schema::up(db).await?),
    }
    if !server || !role::is_mine_too_mighty(db).await? {
        return Ok(());
    }
    match prepared {
        Prepared::Before => Err(StoreError::TooMightyRole),
        Prepared::ByItself => {
            tracing::warn!("the database role may change or delete audit events: for development alone");
            Ok(())
        }
    }
}

pub(super) async fn insert_master_key(
    db: &impl ConnectionTrait,
    key: &MasterKeyRow,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    if master_keys::Entity::find_by_id(&key.id).one(db).await?.is_some() {
        return Ok(());
    }
    let row = master_keys::ActiveModel {
        id: Set(key.id.clone()),
        check_value: Set(key.check_value.clone()),
        create_time: Set(micros(now)),
    };
    insert_unless_there(db, row).await
}

/// The log is looked at first: whatever another replica records, it has committed its keys before.
async fn is_first_start(db: &impl ConnectionTrait) -> Result<bool, StoreError> {
    Ok(!has_events(db).await? && service_keys::Entity::find().one(db).await?.is_none())
}

/// Whether anything was ever recorded.
pub(super) async fn has_events(db: &impl ConnectionTrait) -> Result<bool, StoreError> {
    Ok(audit_head::Entity::find_by_id(1).one(db).await?.is_some_and(|head| head.seq > 0))
}

async fn insert_service_key(db: &impl ConnectionTrait, key: &ServiceKeyRow) -> Result<(), StoreError> {
    if service_keys::Entity::find_by_id(&key.purpose).one(db).await?.is_some() {
        return Ok(());
    }
    let row = service_keys::ActiveModel {
        purpose: Set(key.purpose.clone()),
        master_key: Set(key.master_key.clone()),
        wrapped: Set(key.wrapped.clone()),
    };
    insert_unless_there(db, row).await
}

/// Of replicas that start at once for the first time, one makes the row and the others wait for its commit and take it.
async fn insert_unless_there<A: ActiveModelTrait>(db: &impl ConnectionTrait, row: A) -> Result<(), StoreError> {
    A::Entity::insert(row).on_conflict_do_nothing().exec_without_returning(db).await?;
    Ok(())
}

async fn master_keys_of(location: &Location) -> Result<Vec<MasterKeyRow>, StoreError> {
    let Some(db) = look(location).await? else { return Ok(Vec::new()) };
    schema::found(&db).await?; // another release's is not even read
    if !SchemaManager::new(&db).has_table("master_keys").await? {
        return Ok(Vec::new());
    }
    let known = known_master_keys(&db).await?;
    db.close().await?;
    Ok(known)
}

/// Makes the rows that each database has once; answers its epoch.
async fn first_rows(db: &DatabaseConnection) -> Result<Uuid, StoreError> {
    const CORRUPT: StoreError = StoreError::Corrupt("vault");
    let txn = begin(db).await?;
    if vault::Entity::find_by_id(1).one(&txn).await?.is_none() {
        let epoch = Uuid::now_v7().to_string();
        insert_unless_there(&txn, vault::ActiveModel { id: Set(1), epoch: Set(epoch) }).await?;
        let hash = Set(chain::GENESIS.to_vec());
        insert_unless_there(&txn, audit_head::ActiveModel { id: Set(1), seq: Set(0), hash }).await?;
    }
    let row = vault::Entity::find_by_id(1).one(&txn).await?.ok_or(CORRUPT)?;
    txn.commit().await?;
    Uuid::try_parse(&row.epoch).map_err(|_| CORRUPT)
}
