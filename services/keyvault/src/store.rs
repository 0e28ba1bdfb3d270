//! The database: the only place that names a column or catches a database error.
//!
//! Reads go through a pool; writes through [`WriteTxn`], which is the one write path.

mod connect;
mod entity;
mod error;
mod key_row;
mod read;
mod setup;
mod write;

#[cfg(test)]
pub(crate) mod tests;

use sea_orm::DatabaseConnection;
use uuid::Uuid;

pub use connect::Location;
pub use error::StoreError;
pub use key_row::StoredKey;
pub use read::{After, TenantRows};
pub use setup::{MasterKeyRow, ServiceKeyRow};
pub use write::WriteTxn;

/// A tenant's key that its records are sealed under, as stored: wrapped by a master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceKeyRow {
    /// Counts the tenant's keys, from 1.
    pub version: u32,
    /// The master key's id.
    pub master_key: String,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

/// An open database of the right schema.
#[derive(Debug, Clone)]
pub struct Store {
    read: DatabaseConnection,
    write: DatabaseConnection,
    epoch: Uuid,
}

impl Store {
    /// Names the history that this database holds.
    #[must_use]
    pub fn epoch(&self) -> Uuid {
        self.epoch
    }
}
