//! Opening the store: the master keys are compared before anything is touched.

use claviger_crypto as chain;
use claviger_migrations::Migrator;
use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait, Set};
use sea_orm_migration::{MigratorTrait, SchemaManager};
use time::OffsetDateTime;
use uuid::Uuid;

use super::connect::{Location, begin, connect, look};
use super::entity::{audit_head, master_keys, service_keys, vault};
use super::key_row::micros;
use super::{Store, StoreError};

/// A master key that the database has something under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKeyRow {
    /// Its id in the keyring.
    pub id: String,
    /// Tells a wrong key of that id.
    pub check_value: Vec<u8>,
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

impl Store {
    /// Opens the database and brings it to this version's schema. `admit` sees the master keys that the database was
    /// used with first; when it refuses, no byte is touched.
    ///
    /// # Errors
    /// When the database fails, or `admit` refuses.
    pub async fn open<E: From<StoreError>>(
        location: &Location,
        admit: impl FnOnce(&[MasterKeyRow]) -> Result<(), E>,
    ) -> Result<Self, E> {
        admit(&known_master_keys(location).await?)?;
        let (read, write) = connect(location).await?;
        Migrator::up(&write, None).await.map_err(StoreError::from)?;
        let epoch = first_rows(&write).await?;
        Ok(Self { read, write, epoch })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.seq().await.map(drop)
    }

    /// Takes up the vault's own keys: those in `wanted` that are missing are added, with the master key that they are
    /// under. `take_up` sees the master keys known so far and the keys; when it refuses, nothing is added.
    ///
    /// # Errors
    /// When the database fails, or `take_up` refuses.
    pub async fn service_keys<T, E: From<StoreError>>(
        &self,
        primary: &MasterKeyRow,
        wanted: &[ServiceKeyRow],
        now: OffsetDateTime,
        take_up: impl FnOnce(&[MasterKeyRow], &[ServiceKeyRow]) -> Result<T, E>,
    ) -> Result<T, E> {
        let txn = begin(&self.write).await?;
        let known = master_keys(&txn).await?;
        if !known.iter().any(|key| key.id == primary.id) {
            insert_master_key(&txn, primary, now).await?;
        }
        for key in wanted {
            insert_if_missing(&txn, key).await?;
        }
        let rows = service_keys::Entity::find().all(&txn).await.map_err(StoreError::from)?;
        let domain = |row: service_keys::Model| ServiceKeyRow {
            purpose: row.purpose,
            master_key: row.master_key,
            wrapped: row.wrapped,
        };
        let taken = take_up(&known, &rows.into_iter().map(domain).collect::<Vec<_>>())?;
        txn.commit().await.map_err(StoreError::from)?;
        Ok(taken)
    }
}

async fn insert_master_key(
    db: &impl ConnectionTrait,
    key: &MasterKeyRow,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let row = master_keys::ActiveModel {
        id: Set(key.id.clone()),
        check_value: Set(key.check_value.clone()),
        create_time: Set(micros(now)),
    };
    master_keys::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

async fn insert_if_missing(db: &impl ConnectionTrait, key: &ServiceKeyRow) -> Result<(), StoreError> {
    if service_keys::Entity::find_by_id(&key.purpose).one(db).await?.is_some() {
        return Ok(());
    }
    let row = service_keys::ActiveModel {
        purpose: Set(key.purpose.clone()),
        master_key: Set(key.master_key.clone()),
        wrapped: Set(key.wrapped.clone()),
    };
    service_keys::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

async fn known_master_keys(location: &Location) -> Result<Vec<MasterKeyRow>, StoreError> {
    let Some(db) = look(location).await? else { return Ok(Vec::new()) };
    if !SchemaManager::new(&db).has_table("master_keys").await? {
        return Ok(Vec::new());
    }
    let known = master_keys(&db).await?;
    db.close().await?;
    Ok(known)
}

async fn master_keys(db: &impl ConnectionTrait) -> Result<Vec<MasterKeyRow>, StoreError> {
    let rows = master_keys::Entity::find().all(db).await?;
    Ok(rows.into_iter().map(|row| MasterKeyRow { id: row.id, check_value: row.check_value }).collect())
}

/// Makes the rows that each database has once; answers its epoch.
async fn first_rows(db: &DatabaseConnection) -> Result<Uuid, StoreError> {
    let txn = begin(db).await?;
    let epoch = match vault::Entity::find_by_id(1).one(&txn).await? {
        Some(row) => Uuid::try_parse(&row.epoch).map_err(|_| StoreError::Corrupt("vault"))?,
        None => {
            let epoch = Uuid::now_v7();
            let row = vault::ActiveModel { id: Set(1), epoch: Set(epoch.to_string()) };
            vault::Entity::insert(row).exec_without_returning(&txn).await?;
            let head = audit_head::ActiveModel { id: Set(1), seq: Set(0), hash: Set(chain::GENESIS.to_vec()) };
            audit_head::Entity::insert(head).exec_without_returning(&txn).await?;
            epoch
        }
    };
    txn.commit().await?;
    Ok(epoch)
}
