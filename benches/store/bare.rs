//! The transaction that a create ends in, and nothing else: lock the head of the audit chain, append an event with its
//! hash, insert the row, move the head, commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use claviger_crypto::event_hash;
use sea_orm::sea_query::{Expr, InsertStatement, Query};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, QueryResult, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait, Value,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::service::Service;
use crate::{CLIENTS, Kind, WORKSPACES};

/// As the vault sets its own connection.
const DURABLE: &str = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON";
const LOCK: &str = "UPDATE audit_head SET seq = seq WHERE id = 1 RETURNING seq, hash";
const MOVE: &str = "UPDATE audit_head SET seq = $1, hash = $2 WHERE id = 1";

/// A database as a vault has made it, without the vault.
#[derive(Debug, Clone)]
pub(crate) struct Bare {
    database: DatabaseConnection,
    event: Template,
    key: Template,
    next: Arc<AtomicU64>,
    _folder: Arc<TempDir>,
}

/// A row that the vault wrote, to write others like it.
#[derive(Debug, Clone)]
struct Template {
    table: &'static str,
    columns: Vec<String>,
    values: Vec<Value>,
}

impl Bare {
    /// Lets a vault make the database and a first row of each kind, and ends the vault.
    pub(crate) async fn new(kind: Kind) -> anyhow::Result<Self> {
        let service = Service::start(kind).await?;
        service.fill().await?;
        let Service { vault, folder, url, .. } = service;
        drop(vault);
        let database = connect(kind, url).await?;
        let event = Template::of(&database, "audit_events", "action = 'key.created'").await?;
        let key = Template::of(&database, "provider_keys", "state = 'ACTIVE'").await?;
        Ok(Self { database, event, key, next: Arc::default(), _folder: Arc::new(folder) })
    }

    /// One transaction.
    pub(crate) async fn create(&mut self) -> anyhow::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (id, tenant) = (Uuid::now_v7(), format!("workspaces/w{}", number % WORKSPACES));
        let backend = self.database.get_database_backend();
        let mode = (backend == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        let txn = self.database.begin_with_options(options).await?;
        let head = txn.query_one_raw(Statement::from_string(backend, LOCK)).await?.context("no head")?;
        let (seq, previous): (i64, Vec<u8>) = (head.try_get_by_index(0)?, head.try_get_by_index(1)?);
        let seq = seq + 1;
        self.event.set([("tenant", tenant.clone().into()), ("target", format!("{tenant}/keys/{id}").into())]);
        self.event.set([("seq", seq.into()), ("hash", Value::Bytes(None))]);
        let previous = previous.try_into().ok().context("no hash")?;
        let fields: Vec<_> = self.event.values.iter().map(bytes).collect();
        let hash = event_hash(&previous, &fields.iter().map(Vec::as_slice).collect::<Vec<_>>()).to_vec();
        self.event.set([("hash", hash.clone().into())]);
        self.key.set([("tenant", tenant.into()), ("id", id.to_string().into())]);
        self.key.set([("key_slug", format!("bare-{number}").into()), ("last_seq", seq.into())]);
        txn.execute(&self.event.insert()).await?;
        txn.execute(&self.key.insert()).await?;
        txn.execute_raw(Statement::from_sql_and_values(backend, MOVE, [seq.into(), hash.into()])).await?;
        txn.commit().await?;
        Ok(())
    }
}

async fn connect(kind: Kind, url: String) -> anyhow::Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    let connections = match kind {
        Kind::Sqlite => 1, // one may write at a time; more would wait by polling
        Kind::Postgres => u32::try_from(CLIENTS[1])?,
    };
    options.max_connections(connections).test_before_acquire(false).sqlx_logging(false);
    let database = Database::connect(options).await?;
    if let Kind::Sqlite = kind {
        database.execute_unprepared(DURABLE).await?;
    }
    Ok(database)
}

impl Template {
    async fn of(database: &impl ConnectionTrait, table: &'static str, which: &str) -> anyhow::Result<Self> {
        let select = format!("SELECT * FROM {table} WHERE {which} LIMIT 1");
        let row = database.query_one_raw(Statement::from_string(database.get_database_backend(), select)).await?;
        let row = row.context("no row")?;
        let columns = row.column_names();
        let values: Option<_> = columns.iter().map(|column| value(&row, column)).collect();
        Ok(Self { table, columns, values: values.context("a column of another type")? })
    }

    fn set<const N: usize>(&mut self, values: [(&str, Value); N]) {
        for (name, value) in values {
            let place = self.columns.iter().position(|column| column == name);
            self.values[place.unwrap_or_else(|| unreachable!("no column {name}"))] = value;
        }
    }

    /// Made anew each time, as sea-orm makes them.
    fn insert(&self) -> InsertStatement {
        let values = self.values.iter().cloned().map(Expr::value);
        Query::insert().into_table(self.table).columns(self.columns.clone()).values_panic(values).to_owned()
    }
}

fn value(row: &QueryResult, column: &str) -> Option<Value> {
    None.or_else(|| row.try_get::<Option<i64>>("", column).ok().map(Value::BigInt))
        .or_else(|| row.try_get::<Option<i32>>("", column).ok().map(Value::Int))
        .or_else(|| row.try_get::<Option<String>>("", column).ok().map(Value::String))
        .or_else(|| row.try_get::<Option<Vec<u8>>>("", column).ok().map(Value::Bytes))
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::BigInt(Some(number)) => number.to_be_bytes().to_vec(),
        Value::String(Some(text)) => text.as_bytes().to_vec(),
        Value::Bytes(Some(bytes)) => bytes.clone(),
        _ => Vec::new(),
    }
}
