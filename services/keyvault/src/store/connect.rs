//! Opening the database.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};

use super::{Store, StoreError};

const READERS: u32 = 4;
/// PostgreSQL's reads wait for the network, SQLite's for the processor.
const REMOTE_READERS: u32 = 16;
/// PostgreSQL's connections for writes: a lane, a transaction's, and one that sqlx tests as it goes back to the pool.
pub(super) const WRITERS: u32 = 3;
const BUSY: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(10);
/// What the service asks of a server ends; whoever owns the tables may take longer.
const STATEMENT: (&str, &str) = ("statement_timeout", "30s");
/// What makes each of PostgreSQL's transactions see one moment, and change nothing.
const SNAPSHOTS: [(&str, &str); 3] =
    [("default_transaction_isolation", "repeatable read"), ("default_transaction_read_only", "on"), STATEMENT];

/// Where the database is. Its `Debug` shows no password.
#[derive(Clone)]
pub enum Location {
    /// An embedded SQLite file, made if it is missing.
    Sqlite(PathBuf),
    /// A PostgreSQL server, 15 or newer.
    Postgres(Box<PgConnectOptions>),
}

/// Why a text is no location. It never holds the text, which may have a password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Not a URL of a database that we know.
    #[error("must be postgres://user@host/database or sqlite:///path/to/file")]
    Form,
    /// Traffic to another machine that someone could read or answer in the server's name.
    #[error(
        "must have sslmode=verify-full (and sslrootcert, if the server's CA is not a public one): the server is on another machine"
    )]
    Plaintext,
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.debug_tuple("Postgres").field(&"[REDACTED]").finish(), // sqlx shows the password
        }
    }
}

impl Location {
    /// Reads a URL. Unless `plaintext` is permitted, a server on another machine must be spoken to by verified TLS.
    ///
    /// # Errors
    /// [`LocationError`].
    pub fn parse(url: &str, plaintext: bool) -> Result<Self, LocationError> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            return if path.is_empty() { Err(LocationError::Form) } else { Ok(Self::Sqlite(path.into())) };
        }
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(LocationError::Form);
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| LocationError::Form)?;
        let verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
        if !plaintext && !verified && !is_local(&options) {
            return Err(LocationError::Plaintext);
        }
        Ok(Self::Postgres(Box::new(options)))
    }
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&host)
}

/// Opens a connection that changes no byte of the database: where others would move the write-ahead log into the file on
/// closing, it leaves both. None for a database that is not there yet.
pub(super) async fn look(location: &Location) -> Result<Option<DatabaseConnection>, StoreError> {
    let options = match location {
        Location::Sqlite(path) if !path.exists() => return Ok(None),
        Location::Sqlite(path) => sqlite(path, 1, |sqlite| sqlite.read_only(true)),
        Location::Postgres(server) => postgres(server, 1, &SNAPSHOTS),
    };
    Ok(Some(connected(options).await?))
}

/// Opens a pool for reads.
pub(super) async fn reader(location: &Location) -> Result<DatabaseConnection, StoreError> {
    connected(match location {
        Location::Sqlite(path) => sqlite(path, READERS, lasting),
        Location::Postgres(server) => postgres(server, REMOTE_READERS, &SNAPSHOTS),
    })
    .await
}

/// Opens the connection for writes.
pub(super) async fn writer(location: &Location) -> Result<DatabaseConnection, StoreError> {
    connected(match location {
        Location::Sqlite(path) => sqlite(path, 1, lasting),
        Location::Postgres(server) => {
            let mut options = postgres(server, WRITERS, &[STATEMENT]);
            options.test_before_acquire(false); // what is done first is the test: a transaction's beginning, or a look
            options.connect_lazy(true); // so that a pool in place of one that hangs is there at once
            options
        }
    })
    .await
}

/// Opens the connections for journals. On PostgreSQL they have their own, so that what is counted neither waits for the audit
/// head nor holds it. SQLite has one writer.
pub(super) async fn journals(location: &Location) -> Result<Option<DatabaseConnection>, StoreError> {
    match location {
        Location::Sqlite(_) => Ok(None),
        Location::Postgres(_) => Ok(Some(writer(location).await?)),
    }
}

/// The one connection of whoever owns the tables. It waits longer than the service would for another that does the same.
pub(super) async fn owner(location: &Location) -> Result<DatabaseConnection, StoreError> {
    let options = match location {
        Location::Sqlite(path) => sqlite(path, 1, lasting),
        Location::Postgres(server) => postgres(server, 1, &[("lock_timeout", "60s")]),
    };
    connected(options).await
}

/// Connects. Of several that turn a new file's write-ahead log on at once, SQLite refuses all but one without waiting, so
/// that is done here.
async fn connected(options: ConnectOptions) -> Result<DatabaseConnection, StoreError> {
    let end = Instant::now() + BUSY;
    loop {
        match Database::connect(options.clone()).await {
            Err(error) if is_busy(&error) && Instant::now() < end => tokio::time::sleep(RETRY).await,
            connected => return Ok(connected?),
        }
    }
}

/// Whether someone else held a lock for longer than we wait.
pub(super) fn is_busy(error: &DbErr) -> bool {
    const SQLITE_BUSY: &str = "5";
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let (DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error)) = error else { return false };
    let RuntimeErr::SqlxError(error) = error else { return false };
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| [SQLITE_BUSY, LOCK_NOT_AVAILABLE].contains(&&*code))
}

/// What later parts of statements that run together call the rows of the first, on PostgreSQL.
pub(super) const FIRST: &str = "part0";

/// Runs statements in one exchange with the database: on SQLite one after the other, on PostgreSQL as one statement of
/// several parts, where none sees what another changes. Answers how many rows changed, on PostgreSQL in the last part.
pub(super) async fn together<const N: usize>(
    db: &impl ConnectionTrait,
    statements: [Statement; N],
) -> Result<u64, StoreError> {
    let backend = db.get_database_backend();
    let (mut parts, mut values) = (Vec::with_capacity(N), Vec::new());
    for statement in statements {
        parts.push(if backend == DbBackend::Postgres { moved(&statement.sql, values.len()) } else { statement.sql });
        values.extend(statement.values.into_iter().flat_map(|values| values.0));
    }
    let sql = match parts.split_last() {
        Some((last, others)) if backend == DbBackend::Postgres && !others.is_empty() => {
            let part = |(number, sql): (usize, &String)| format!("part{number} AS ({sql})");
            let others: Vec<_> = others.iter().enumerate().map(part).collect();
            format!("WITH {} {last}", others.join(", "))
        }
        _ => parts.join("; "),
    };
    Ok(db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected())
}

/// A statement whose `$1` is behind that many other values. Our statements hold no other `$`: what is given is a value.
fn moved(sql: &str, by: usize) -> String {
    let mut parts = sql.split('$');
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let number = part[..end].parse::<usize>().unwrap_or_default();
        moved.push_str(&format!("${}{}", number + by, &part[end..]));
    }
    moved
}

/// A transaction that holds SQLite's write lock from its beginning. On PostgreSQL its first update is what locks.
pub(super) async fn begin(write: &DatabaseConnection) -> Result<DatabaseTransaction, StoreError> {
    if write.get_database_backend() != DbBackend::Sqlite {
        return Ok(write.begin().await?);
    }
    let options =
        TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() };
    Ok(write.begin_with_options(options).await?)
}

impl Store {
    /// Makes sure that what a write has destroyed is in no file any more: SQLite's write-ahead log, where older pages stay
    /// until others need the place, is moved into the database and emptied. PostgreSQL's log is its operator's. The write
    /// is done whatever comes of this: where readers are in the way for 5 s, a later checkpoint does it.
    pub async fn empty_log(&self) {
        if self.read.get_database_backend() != DbBackend::Sqlite {
            return;
        }
        let checkpoint = Statement::from_string(DbBackend::Sqlite, "PRAGMA wal_checkpoint(TRUNCATE)");
        let row = self.read.query_one_raw(checkpoint).await.ok().flatten();
        let is_busy = row.and_then(|row| row.try_get_by_index::<i32>(0).ok()).is_none_or(|busy| busy != 0);
        if is_busy {
            tracing::warn!("the write-ahead log is in use: what was destroyed leaves it with a later checkpoint");
        }
    }
}

/// The path is given apart from the URL, in which some of its characters would mean something else.
fn sqlite(path: &Path, connections: u32, more: fn(SqliteConnectOptions) -> SqliteConnectOptions) -> ConnectOptions {
    let mut options = pool("sqlite://database", connections);
    options.test_before_acquire(false); // a file does not go away
    let path = path.to_owned();
    options.map_sqlx_sqlite_opts(move |sqlite| more(sqlite.filename(&path).busy_timeout(BUSY)));
    options
}

/// The server is given apart from the URL, which so holds no password.
fn postgres(server: &PgConnectOptions, connections: u32, settings: &[(&'static str, &'static str)]) -> ConnectOptions {
    let mut options = pool("postgres://database", connections);
    // a lock is waited for as long as SQLite's; a peer that died in a transaction gives its lock up
    let always =
        [("lock_timeout", "5s"), ("idle_in_transaction_session_timeout", "15s"), ("application_name", "keyvault")];
    let settings: Vec<_> = always.into_iter().chain(settings.iter().copied()).collect();
    let server = server.clone();
    options.map_sqlx_postgres_opts(move |_| server.clone().options(settings.iter().copied()));
    options
}

fn pool(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.max_connections(connections).acquire_timeout(BUSY).sqlx_logging(false); // statements may hold labels and names
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_server_on_another_machine_is_spoken_to_by_verified_tls_alone() {
        for local in [
            "postgres://u@localhost/d",
            "postgresql://u:hidden@127.0.0.1:5433/d",
            "postgres://u@[::1]/d",
            "postgres://u@localhost/d?host=/run/postgresql",
            "postgres://u@%2Frun%2Fpostgresql/d",
        ] {
            assert!(matches!(Location::parse(local, false).unwrap(), Location::Postgres(_)), "{local}");
        }
        for mode in ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-ca"] {
            for host in ["db.example", "10.0.0.1", "localhost.example", "127.0.0.1.example", "[2001:db8::1]"] {
                let url = format!("postgres://u:hidden@{host}/d{mode}");
                let refused = Location::parse(&url, false).map(drop);
                assert!(refused.is_err(), "{url}");
                assert!(Location::parse(&url, true).is_ok(), "{url}: in development");
            }
        }
        // what is in the query counts, not what stands before it
        let elsewhere = Location::parse("postgres://u@localhost/d?host=db.example", false);
        assert_eq!(elsewhere.map(drop), Err(LocationError::Plaintext));
        let elsewhere = Location::parse("postgres://u@localhost/d?hostaddr=192.0.2.1", false);
        assert_eq!(elsewhere.map(drop), Err(LocationError::Plaintext));
        let verified = "postgres://u:hidden@db.example/d?sslmode=verify-full";
        assert!(matches!(Location::parse(verified, false).unwrap(), Location::Postgres(_)));
    }

    #[test]
    fn a_file_is_named_by_its_path() {
        let Location::Sqlite(path) = Location::parse("sqlite:///var/lib/a b?#%20/keyvault.db", false).unwrap() else {
            unreachable!("a file")
        };
        assert_eq!(path, Path::new("/var/lib/a b?#%20/keyvault.db"));
    }

    #[test]
    fn neither_errors_nor_debug_show_the_url() {
        for bad in [
            "",
            "hidden",
            "hidden://",
            "sqlite://",
            "sqlite:hidden",
            "mysql://u:hidden@localhost/d",
            "Postgres://hidden",
            "postgres:hidden",
            "postgres://u:hidden@localhost:99999/d",
            "postgres://u:hidden@localhost/d?sslmode=hidden",
            "postgres://u:hid%den@[::1/d",
            " postgres://u:hidden@localhost/d",
        ] {
            let error = Location::parse(bad, true).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hid"), "{bad}: {error}");
        }
        let location = Location::parse("postgres://u:hidden@localhost/d", false).unwrap();
        assert!(!format!("{location:?}").contains("hidden"), "{location:?}");
    }
}
