//! Many rows changed or added by one statement: each statement would wait for the server, and all writers for it.

use std::fmt::Write;

use sea_orm::sea_query::Value;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement};

use super::StoreError;

/// The type of a column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Number,
    Long,
    Bytes,
}

impl Kind {
    fn sql(self, backend: DbBackend) -> &'static str {
        match (self, backend) {
            (Self::Text, _) => "TEXT",
            (Self::Number, _) => "INTEGER",
            (Self::Long, _) => "BIGINT",
            (Self::Bytes, DbBackend::Postgres) => "BYTEA",
            (Self::Bytes, _) => "BLOB",
        }
    }
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
        let kind = kind.sql(backend);
        let _ = write!(out, "{comma}{opening}CAST(${} AS {kind}){closing}", index + 1); // a text takes all
    }
    out
}

/// Adds rows in their order; `on_conflict` says what becomes of one that is there. Each of `rows` is an array of the columns'
/// values, none of them bytes. They travel as one text, so that the statement is the same for any number of them: databases keep
/// what they have parsed. Answers what `on_conflict` returns, if it does. The names are the code's own.
pub(super) async fn upsert(
    db: &impl ConnectionTrait,
    table: &str,
    columns: &[(&str, Kind)],
    on_conflict: &str,
    rows: Vec<serde_json::Value>,
) -> Result<Vec<QueryResult>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let backend = db.get_database_backend();
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let value = |(index, (_, kind)): (usize, &(&str, Kind))| element(index, *kind, backend);
    let values: Vec<_> = columns.iter().enumerate().map(value).collect();
    let sql = format!(
        "INSERT INTO {table} ({}) SELECT {} FROM {} WHERE TRUE ON CONFLICT {on_conflict}",
        names.join(", "),
        values.join(", "),
        each(backend),
    );
    let rows = serde_json::Value::Array(rows).to_string();
    Ok(db.query_all_raw(Statement::from_sql_and_values(backend, sql, [rows.into()])).await?)
}

/// The rows of a text of arrays, the statement's one value, as `n`.
pub(super) fn each(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "jsonb_array_elements(CAST($1 AS JSONB)) AS n(value)",
        _ => "json_each($1) AS n",
    }
}

/// A value of such a row.
pub(super) fn element(index: usize, kind: Kind, backend: DbBackend) -> String {
    format!("CAST(n.value ->> {index} AS {})", kind.sql(backend))
}
