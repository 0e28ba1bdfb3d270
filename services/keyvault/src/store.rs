//! The database: the only place that names a column or catches a database error.
//!
//! Reads go through a pool, each on one snapshot of the database; writes through the writer's [`Access`]: its
//! [`WriteTxn`] is the one write path, but for a create that is alone.

mod access;
mod audit;
mod bound;
mod connect;
mod entity;
mod error;
mod event_row;
mod filter;
mod health;
mod inspect;
mod journal;
mod key_row;
mod lane;
mod many;
mod once;
mod read;
mod rewrap;
mod role;
mod schema;
mod setup;
mod standing;
mod usage;
mod workspace_row;
mod write;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use sea_orm::DatabaseConnection;
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

pub use access::Access;
pub use audit::{BoundTable, CheckedRow, Cursor, NewSegment, RowPage, Segment, StoredEvent, Stretch, Unrowed, fold};
pub use bound::Stamp;
pub use connect::{Location, LocationError};
pub use error::StoreError;
pub use inspect::Inspection;
pub use journal::{Batch, Priced, Rejected, Taken};
pub use key_row::StoredKey;
pub use once::{Once, Recalled};
pub use read::{After, Beside, Bound, Neighbours, TenantRows};
pub use rewrap::{AnyRecord, AnyWorkspaceKey, Dependents, Place};
pub use schema::{Migration, migrate, migrations};
pub use setup::{Database, FreshKeys, MasterKeyRow, Prepared, ServiceKeyRow};
pub use usage::{CallersAfter, UsageQuery};
pub use write::WriteTxn;
pub use writer::Writer;

use bound::Binder;
use writer::Work;

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

/// Something as its row has it, and the audit event that left it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<T> {
    /// What the row holds.
    pub value: T,
    /// The event's sequence number.
    pub seq: u64,
}

/// An open database of the right schema, whose rows can be checked and written.
#[derive(Debug, Clone)]
pub struct Store {
    read: DatabaseConnection,
    journals: Option<DatabaseConnection>,
    /// Lets batches of journals come one after the other.
    batches: Arc<Semaphore>,
    binder: Arc<Binder>,
    epoch: Uuid,
    queue: mpsc::Sender<Work>,
}

impl Store {
    /// Names the history that this database holds.
    #[must_use]
    pub fn epoch(&self) -> Uuid {
        self.epoch
    }
}
