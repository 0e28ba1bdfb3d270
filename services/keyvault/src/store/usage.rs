//! Sums of what was called.

use std::time::Duration;

use claviger_core::catalog::{Credits, Outcome};
use claviger_core::command::{Dimension, UsageScope};
use claviger_core::filter::Filter;
use claviger_core::ids::KeyId;
use claviger_core::usage::{CallerUse, Counts, Grouped, Mark};
use sea_orm::sea_query::{Expr, SimpleExpr, Value};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, QueryTrait, Statement,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::entity::usage_hours::{Column, Entity};
use super::filter::filtered;
use super::key_row::{micros, time};
use super::{Store, StoreError};

/// The columns that are summed up: calls, what came of them in the order of [`Outcome::ALL`], and the rest.
pub(super) const COUNTS: [&str; 16] = [
    "calls",
    "ok",
    "invalid_key",
    "forbidden",
    "quota_exhausted",
    "rate_limited",
    "overloaded",
    "server_error",
    "network_error",
    "bad_request",
    "client_aborted",
    "input_tokens",
    "output_tokens",
    "micro_credits",
    "duration_micros",
    "unpriced_calls",
];
const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// Which usage, and how it is told apart.
#[derive(Debug)]
pub struct UsageQuery<'q> {
    /// Whose.
    pub scope: &'q UsageScope,
    /// The first hour.
    pub from: OffsetDateTime,
    /// The hour behind the last.
    pub until: OffsetDateTime,
    /// What it is told apart by.
    pub group_by: &'q [Dimension],
    /// What is summed up.
    pub filter: &'q Filter,
    /// The last group of the page before.
    pub after: Option<&'q [Mark]>,
    /// Groups at most.
    pub limit: u64,
}

/// Where a listing of callers goes on: behind this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallersAfter {
    /// When it last used the key, in microseconds since 1970.
    pub last_use: i64,
    /// Who.
    pub caller: [String; 4],
}

impl CallersAfter {
    /// Behind a caller.
    #[must_use]
    pub fn behind(last: &CallerUse) -> Self {
        Self { last_use: micros(last.last_use), caller: last.caller.clone() }
    }
}

impl Store {
    /// Usage by groups, in their order.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn usage(&self, query: &UsageQuery<'_>) -> Result<Vec<Grouped>, StoreError> {
        let backend = self.read.get_database_backend();
        let dimensions: Vec<_> = query.group_by.iter().map(|dimension| sql(*dimension, backend)).collect();
        let mut select = Entity::find()
            .select_only()
            .filter(Column::Hour.gte(micros(query.from)))
            .filter(Column::Hour.lt(micros(query.until)))
            .filter(of_scope(query.scope))
            .filter(filtered(query.filter, column)?);
        if let Some(after) = query.after {
            select = select.filter(behind(&dimensions, after)?);
        }
        for (index, dimension) in dimensions.iter().enumerate() {
            let group = Expr::cust(dimension.clone());
            select = select.expr_as(group.clone(), format!("d{index}")).group_by(group.clone()).order_by_asc(group);
        }
        for name in COUNTS {
            select = select.expr_as(Expr::cust(sum(name, backend)), name);
        }
        let rows = self.read.query_all_raw(select.limit(query.limit).build(backend)).await?;
        rows.iter().map(|row| grouped(row, query.group_by)).collect()
    }

    /// Who used a key, whoever did so last first.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn callers(
        &self,
        key: KeyId,
        after: Option<&CallersAfter>,
        limit: u64,
    ) -> Result<Vec<CallerUse>, StoreError> {
        let backend = self.read.get_database_backend();
        let names = ["workspace", "user_id", "agent", "session"].map(|name| in_byte_order(name, backend));
        let mut values: Vec<Value> = vec![key.to_string().into(), limit.cast_signed().into()];
        let mut having = String::new();
        if let Some(after) = after {
            having = format!(
                "HAVING MAX(last_use_time) < $3 OR (MAX(last_use_time) = $3 AND ({}) > ($4, $5, $6, $7))",
                names.join(", ")
            );
            values.push(after.last_use.into());
            values.extend(after.caller.iter().map(|name| Value::from(name.clone())));
        }
        let (names, calls) = (names.join(", "), sum("calls", backend));
        let sql = format!(
            "SELECT workspace, user_id, agent, session, {calls} AS calls, MIN(first_use_time) AS first_use, \
             MAX(last_use_time) AS last_use FROM usage_hours WHERE key_id = $1 \
             GROUP BY workspace, user_id, agent, session {having} ORDER BY MAX(last_use_time) DESC, {names} LIMIT $2"
        );
        let rows = self.read.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        rows.iter().map(caller_row).collect()
    }
}

fn of_scope(scope: &UsageScope) -> Condition {
    match scope {
        UsageScope::All => Condition::all(),
        UsageScope::Workspace(workspace) => Condition::all().add(Column::Workspace.eq(workspace.as_str())),
        UsageScope::User(workspace, user) => {
            Condition::all().add(Column::Workspace.eq(workspace.as_str())).add(Column::UserId.eq(user.as_str()))
        }
    }
}

/// The column of a filter's field.
fn column(field: &str) -> Option<Column> {
    Some(match field {
        "workspace" => Column::Workspace,
        "user" => Column::UserId,
        "agent" => Column::Agent,
        "session" => Column::Session,
        "key" => Column::KeyId,
        "provider" => Column::Provider,
        "model" => Column::Model,
        "payer" => Column::Payer,
        _ => return None,
    })
}

fn sql(dimension: Dimension, backend: DbBackend) -> String {
    let name = match dimension {
        Dimension::Workspace => "workspace",
        Dimension::User => "user_id",
        Dimension::Agent => "agent",
        Dimension::Session => "session",
        Dimension::Key => "key_id",
        Dimension::Provider => "provider",
        Dimension::Model => "model",
        Dimension::Payer => "payer",
        Dimension::Hour => return "hour".to_owned(),
        Dimension::Day => return format!("(hour - hour % {DAY_MICROS})"),
    };
    in_byte_order(name, backend)
}

/// A server may have been set up to order texts in another way than this program and SQLite do.
fn in_byte_order(name: &str, backend: DbBackend) -> String {
    if backend == DbBackend::Postgres { format!("{name} COLLATE \"C\"") } else { name.to_owned() }
}

fn behind(dimensions: &[String], after: &[Mark]) -> Result<SimpleExpr, StoreError> {
    if after.len() != dimensions.len() || after.is_empty() {
        return Err(StoreError::Corrupt("a page token"));
    }
    let position = Expr::tuple(dimensions.iter().map(|dimension| Expr::cust(dimension.clone())));
    let last = Expr::tuple(after.iter().map(|mark| match mark {
        Mark::Text(text) => Expr::value(text.clone()),
        Mark::Time(micros) => Expr::value(*micros),
    }));
    Ok(position.gt(last))
}

/// A sum that does not overflow: what is too much to count is the most that can be counted. PostgreSQL adds without bounds;
/// SQLite would fail, so that what would is found beforehand, and the rest is added in two parts.
fn sum(name: &str, backend: DbBackend) -> String {
    const MOST: i64 = i64::MAX;
    const PART: i64 = 1_000_000_000;
    if backend == DbBackend::Postgres {
        return format!("CAST(LEAST(COALESCE(SUM({name}), 0), {MOST}) AS BIGINT)");
    }
    let parts = format!("SUM({name} / {PART}) * {PART} + SUM({name} % {PART})");
    format!("CAST(COALESCE(CASE WHEN TOTAL({name}) >= 9.2e18 THEN {MOST} ELSE {parts} END, 0) AS INTEGER)")
}

fn grouped(row: &QueryResult, group_by: &[Dimension]) -> Result<Grouped, StoreError> {
    let mark = |(index, dimension): (usize, &Dimension)| {
        let name = format!("d{index}");
        Ok(match dimension {
            Dimension::Hour | Dimension::Day => Mark::Time(row.try_get("", &name)?),
            _ => Mark::Text(row.try_get("", &name)?),
        })
    };
    let marks = group_by.iter().enumerate().map(mark).collect::<Result<_, StoreError>>()?;
    Ok(Grouped { marks, counts: counts(row)? })
}

fn counts(row: &QueryResult) -> Result<Counts, StoreError> {
    let number = |name: &str| Ok::<u64, StoreError>(row.try_get::<i64>("", name)?.unsigned_abs());
    let mut outcomes = [0; Outcome::ALL.len()];
    for (outcome, count) in Outcome::ALL.into_iter().zip(&mut outcomes) {
        *count = number(outcome.as_str())?;
    }
    Ok(Counts {
        calls: number("calls")?,
        outcomes,
        input_tokens: number("input_tokens")?,
        output_tokens: number("output_tokens")?,
        credits: Credits::of_micros(number("micro_credits")?),
        duration: Duration::from_micros(number("duration_micros")?),
        unpriced_calls: number("unpriced_calls")?,
    })
}

fn caller_row(row: &QueryResult) -> Result<CallerUse, StoreError> {
    let text = |name: &str| row.try_get::<String>("", name);
    let at = |name: &str| time(row.try_get("", name)?).ok_or(StoreError::Corrupt("usage_hours"));
    Ok(CallerUse {
        caller: [text("workspace")?, text("user_id")?, text("agent")?, text("session")?],
        calls: row.try_get::<i64>("", "calls")?.unsigned_abs(),
        first_use: at("first_use")?,
        last_use: at("last_use")?,
    })
}
