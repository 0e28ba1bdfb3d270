//! A database that is looked at as it is at one moment, and not touched: for commands beside a vault that may be running.

use sea_orm::{Condition, DatabaseConnection, DatabaseTransaction, EntityTrait, QuerySelect, TransactionTrait};
use sea_orm_migration::SchemaManager;

use super::connect::{Location, look};
use super::entity::{provider_keys, service_keys, workspace_keys};
use super::rewrap::{known_master_keys, sealed, some_records, some_workspace_keys, workspace_keys_of};
use super::setup::has_events;
use super::{AnyRecord, AnyWorkspaceKey, MasterKeyRow, Place, ServiceKeyRow, StoreError};

/// One moment of a database.
#[derive(Debug)]
pub struct Inspection {
    database: DatabaseConnection,
    txn: DatabaseTransaction,
}

impl Inspection {
    /// Looks at a database.
    ///
    /// # Errors
    /// [`StoreError::NoVault`] when there is none; or when the database fails.
    pub async fn open(location: &Location) -> Result<Self, StoreError> {
        let database = look(location).await?.ok_or(StoreError::NoVault)?;
        if !SchemaManager::new(&database).has_table("master_keys").await? {
            return Err(StoreError::NoVault);
        }
        let txn = database.begin().await?;
        Ok(Self { database, txn })
    }

    /// The master keys that something is wrapped under.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn master_keys(&self) -> Result<Vec<MasterKeyRow>, StoreError> {
        known_master_keys(&self.txn).await
    }

    /// How many keys and records [`Inspection::service_keys`], [`Inspection::workspace_keys`] and [`Inspection::records`]
    /// will show.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count(&self) -> Result<u64, StoreError> {
        use sea_orm::{ColumnTrait, QueryFilter};
        let column = service_keys::Column::Purpose.count();
        let service_keys = service_keys::Entity::find().select_only().column_as(column, "count");
        let column = workspace_keys::Column::Version.count();
        let workspace_keys = workspace_keys::Entity::find().select_only().column_as(column, "count");
        let column = provider_keys::Column::Id.count();
        let records = provider_keys::Entity::find().filter(sealed()).select_only().column_as(column, "count");
        let counts: [Option<i64>; 3] = [
            service_keys.into_tuple().one(&self.txn).await?,
            workspace_keys.into_tuple().one(&self.txn).await?,
            records.into_tuple().one(&self.txn).await?,
        ];
        Ok(counts.into_iter().flatten().filter_map(|count| u64::try_from(count).ok()).sum())
    }

    /// The vault's own keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn service_keys(&self) -> Result<Vec<ServiceKeyRow>, StoreError> {
        Ok(service_keys::Entity::find().all(&self.txn).await?.into_iter().map(ServiceKeyRow::from).collect())
    }

    /// Whether anything was ever recorded.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_events(&self) -> Result<bool, StoreError> {
        has_events(&self.txn).await
    }

    /// Tenants' keys from behind `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn workspace_keys(&self, after: Option<&Place>, limit: u64) -> Result<Vec<AnyWorkspaceKey>, StoreError> {
        some_workspace_keys(&self.txn, Condition::all(), after, limit).await
    }

    /// All keys of some tenants.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn workspace_keys_of(&self, tenants: Vec<String>) -> Result<Vec<AnyWorkspaceKey>, StoreError> {
        workspace_keys_of(&self.txn, tenants).await
    }

    /// Keys that have a secret, from behind `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn records(&self, after: Option<&str>, limit: u64) -> Result<Vec<AnyRecord>, StoreError> {
        some_records(&self.txn, sealed(), after, limit).await
    }

    /// Ends the look.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close(self) -> Result<(), StoreError> {
        self.txn.rollback().await?;
        Ok(self.database.close().await?)
    }
}
