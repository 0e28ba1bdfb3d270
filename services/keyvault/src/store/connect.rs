//! Opening the database.

use std::path::PathBuf;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, Database, DatabaseConnection};

use super::StoreError;

const READERS: u32 = 4;
const BUSY: Duration = Duration::from_secs(5);

/// Where the database is.
#[derive(Debug, Clone)]
pub enum Location {
    /// An embedded SQLite file, made if it is missing.
    Sqlite(PathBuf),
}

/// Opens a pool for reads and the one connection for writes.
pub(super) async fn connect(location: &Location) -> Result<(DatabaseConnection, DatabaseConnection), StoreError> {
    let Location::Sqlite(path) = location;
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let write = Database::connect(options(&url, 1)).await?;
    let read = Database::connect(options(&url, READERS)).await?;
    Ok((read, write))
}

/// WAL with `synchronous=FULL`: what was acknowledged survives a crash of process and machine. `secure_delete` makes
/// destroyed ciphertext unreadable in the file.
fn options(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(BUSY)
        .sqlx_logging(false) // statements may hold labels and names
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY)
                .foreign_keys(true)
                .pragma("secure_delete", "ON")
        });
    options
}
