//! Opening the database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

use super::StoreError;

const READERS: u32 = 4;
const BUSY: Duration = Duration::from_secs(5);

/// Where the database is.
#[derive(Debug, Clone)]
pub enum Location {
    /// An embedded SQLite file, made if it is missing.
    Sqlite(PathBuf),
}

/// Opens a connection that changes no byte of the database: where others would move the write-ahead log into the file on
/// closing, it leaves both. None for a database that is not there yet.
pub(super) async fn look(location: &Location) -> Result<Option<DatabaseConnection>, StoreError> {
    let Location::Sqlite(path) = location;
    if !path.exists() {
        return Ok(None);
    }
    let options = options(path, 1, |sqlite| sqlite.read_only(true));
    Ok(Some(Database::connect(options).await?))
}

/// Opens a pool for reads and the one connection for writes.
pub(super) async fn connect(location: &Location) -> Result<(DatabaseConnection, DatabaseConnection), StoreError> {
    let Location::Sqlite(path) = location;
    let write = Database::connect(options(path, 1, lasting)).await?;
    let read = Database::connect(options(path, READERS, lasting)).await?;
    Ok((read, write))
}

/// A transaction that holds the write lock from its beginning.
pub(super) async fn begin(write: &DatabaseConnection) -> Result<DatabaseTransaction, StoreError> {
    let options =
        TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() };
    Ok(write.begin_with_options(options).await?)
}

/// The path is given apart from the URL, in which some of its characters would mean something else.
fn options(path: &Path, connections: u32, more: fn(SqliteConnectOptions) -> SqliteConnectOptions) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite://database");
    let path = path.to_owned();
    options
        .max_connections(connections)
        .acquire_timeout(BUSY)
        .sqlx_logging(false) // statements may hold labels and names
        .map_sqlx_sqlite_opts(move |sqlite| more(sqlite.filename(&path).busy_timeout(BUSY)));
    options
}

/// WAL with `synchronous=FULL`: what was acknowledged survives a crash of process and machine. `secure_delete` makes
/// destroyed ciphertext unreadable in the file.
fn lasting(sqlite: SqliteConnectOptions) -> SqliteConnectOptions {
    sqlite
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("secure_delete", "ON")
}
