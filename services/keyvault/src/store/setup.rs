//! Opening the store: the master keys are compared before anything is touched.

use claviger_crypto as chain;
use claviger_migrations::Migrator;
use sea_orm::{DatabaseConnection, EntityTrait, Set, TransactionTrait};
use sea_orm_migration::{MigratorTrait, SchemaManager};
use time::OffsetDateTime;
use uuid::Uuid;

use super::connect::{Location, connect};
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
    /// used with first; when it refuses, nothing is touched.
    ///
    /// # Errors
    /// When the database fails, or `admit` refuses.
    pub async fn open<E: From<StoreError>>(
        location: &Location,
        admit: impl FnOnce(&[MasterKeyRow]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let (read, write) = connect(location).await?;
        admit(&known_master_keys(&read).await?)?;
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

    /// The vault's own keys; those in `wanted` that are missing are added, with the master key that they are under.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn service_keys(
        &self,
        primary: &MasterKeyRow,
        wanted: &[ServiceKeyRow],
        now: OffsetDateTime,
    ) -> Result<Vec<ServiceKeyRow>, StoreError> {
        let txn = self.write.begin().await?;
        if master_keys::Entity::find_by_id(&primary.id).one(&txn).await?.is_none() {
            let row = master_keys::ActiveModel {
                id: Set(primary.id.clone()),
                check_value: Set(primary.check_value.clone()),
                create_time: Set(micros(now)),
            };
            master_keys::Entity::insert(row).exec_without_returning(&txn).await?;
        }
        for key in wanted {
            if service_keys::Entity::find_by_id(&key.purpose).one(&txn).await?.is_none() {
                let row = service_keys::ActiveModel {
                    purpose: Set(key.purpose.clone()),
                    master_key: Set(key.master_key.clone()),
                    wrapped: Set(key.wrapped.clone()),
                };
                service_keys::Entity::insert(row).exec_without_returning(&txn).await?;
            }
        }
        let rows = service_keys::Entity::find().all(&txn).await?;
        txn.commit().await?;
        let domain = |row: service_keys::Model| ServiceKeyRow {
            purpose: row.purpose,
            master_key: row.master_key,
            wrapped: row.wrapped,
        };
        Ok(rows.into_iter().map(domain).collect())
    }
}

async fn known_master_keys(db: &DatabaseConnection) -> Result<Vec<MasterKeyRow>, StoreError> {
    if !SchemaManager::new(db).has_table("master_keys").await? {
        return Ok(Vec::new());
    }
    let rows = master_keys::Entity::find().all(db).await?;
    Ok(rows.into_iter().map(|row| MasterKeyRow { id: row.id, check_value: row.check_value }).collect())
}

/// Makes the rows that each database has once; answers its epoch.
async fn first_rows(db: &DatabaseConnection) -> Result<Uuid, StoreError> {
    let txn = db.begin().await?;
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
