//! What can go wrong with the database. A driver's words stay in the log.

use std::time::Duration;

use claviger_core::fault::Fault;
use claviger_core::reason::Reason;
use sea_orm::{DbErr, SqlErr};

/// Why a store call failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another unrevoked key of the owner has the slug.
    #[error("the slug is taken")]
    SlugTaken,
    /// A row does not hold what the schema promises.
    #[error("a row of {0} is corrupt")]
    Corrupt(&'static str),
    /// The database refused or was not reached.
    #[error("the database failed")]
    Database(#[source] DbErr),
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(what)) if what.contains("slug") => Self::SlugTaken,
            _ => Self::Database(error),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::SlugTaken => {
                let message = "another unrevoked key of this owner has the slug";
                Self::new(Reason::KeySlugTaken, message).at("provider_key.key_slug")
            }
            StoreError::Corrupt(table) => {
                tracing::error!(db.table = table, "a row is corrupt");
                Self::internal()
            }
            StoreError::Database(source) => {
                tracing::error!(error = %source, "the database failed");
                Self::new(Reason::StorageUnavailable, "the vault's database cannot be used now; try again")
                    .retry_after(Duration::from_secs(1))
            }
        }
    }
}
