//! The audit log, read from the database itself.

use std::path::Path;

use anyhow::Context;
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Such as `key.created`.
    pub action: String,
    /// The resource's name.
    pub target: String,
    /// Who did it.
    pub actor: String,
    /// For whom.
    pub on_behalf_of: String,
    /// From which address.
    pub peer: String,
    /// The call's id.
    pub request_id: String,
    /// The trace that the call was part of.
    pub trace_id: String,
    /// A JSON object of texts.
    pub details: String,
}

/// All events, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn events(database: &Path) -> anyhow::Result<Vec<Event>> {
    let url = format!("sqlite://{}?mode=ro", database.display());
    let connection = Database::connect(url).await.context("the database")?;
    let sql = "SELECT action, target, actor, on_behalf_of, peer, request_id, trace_id, details FROM audit_events ORDER BY seq";
    let rows = connection.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
    let events = rows.iter().map(|row| {
        let text = |column: &str| row.try_get::<String>("", column);
        Ok(Event {
            action: text("action")?,
            target: text("target")?,
            actor: text("actor")?,
            on_behalf_of: text("on_behalf_of")?,
            peer: text("peer")?,
            request_id: text("request_id")?,
            trace_id: text("trace_id")?,
            details: text("details")?,
        })
    });
    let events = events.collect::<Result<_, sea_orm::DbErr>>()?;
    connection.close().await?;
    Ok(events)
}
