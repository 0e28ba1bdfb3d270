//! Many rows changed by one statement: each statement would wait for the server, and all writers for it.

use std::fmt::Write;

use sea_orm::sea_query::Value;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::StoreError;

/// The type of a column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Number,
    Bytes,
}

/// Sets columns of the rows that `keys` name. Each of `rows` holds the values of `keys` and then those of `sets`; a row that
/// is not there any more is passed by. The names are the code's own.
pub(super) async fn update_many(
    db: &impl ConnectionTrait,
    table: &str,
    keys: &[(&str, Kind)],
    sets: &[(&str, Kind)],
    rows: impl Iterator<Item = Vec<Value>>,
) -> Result<(), StoreError> {
    let columns: Vec<_> = keys.iter().chain(sets).copied().collect();
    let values: Vec<Value> = rows.flatten().collect();
    if values.is_empty() {
        return Ok(());
    }
    let backend = db.get_database_backend();
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let set: Vec<_> = sets.iter().map(|(name, _)| format!("{name} = new.{name}")).collect();
    let same: Vec<_> = keys.iter().map(|(name, _)| format!("{table}.{name} = new.{name}")).collect();
    let sql = format!(
        "WITH new({}) AS (VALUES {}) UPDATE {table} SET {} FROM new WHERE {}",
        names.join(", "),
        placeholders(backend, &columns, values.len()),
        set.join(", "),
        same.join(" AND "),
    );
    db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(())
}

/// `($1, $2), ($3, $4)…`, with the types that PostgreSQL would otherwise take for text.
fn placeholders(backend: DbBackend, columns: &[(&str, Kind)], values: usize) -> String {
    let mut out = String::new();
    for (index, (_, kind)) in (0..values).zip(columns.iter().cycle()) {
        let opening = if index % columns.len() == 0 { "(" } else { "" };
        let closing = if (index + 1) % columns.len() == 0 { ")" } else { "" };
        let comma = if index == 0 { "" } else { ", " };
        let kind = match (kind, backend) {
            (Kind::Text, _) => "TEXT",
            (Kind::Number, _) => "INTEGER",
            (Kind::Bytes, DbBackend::Postgres) => "BYTEA",
            (Kind::Bytes, _) => "BLOB",
        };
        let _ = write!(out, "{comma}{opening}CAST(${} AS {kind}){closing}", index + 1); // a text takes all
    }
    out
}
