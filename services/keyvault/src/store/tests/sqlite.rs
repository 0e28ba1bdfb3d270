//! What SQLite is told to keep. PostgreSQL has its own settings for that, which are the operator's.

use super::*;
use crate::store::connect::{reader, writer};

#[tokio::test]
async fn every_connection_is_durable_and_overwrites_what_is_deleted() {
    let place = Place::sqlite();
    let location = place.location();
    let (read, write) = (reader(&location).await.unwrap(), writer(&location).await.unwrap());
    for db in [Raw(read), Raw(write)] {
        assert_eq!(db.column::<String>("PRAGMA journal_mode").await, ["wal"]);
        assert_eq!(db.column::<i32>("PRAGMA synchronous").await, [2], "FULL");
        assert_eq!(db.column::<i32>("PRAGMA secure_delete").await, [1]);
        assert_eq!(db.column::<i32>("PRAGMA foreign_keys").await, [1]);
    }
}

/// On PostgreSQL roles do this: see the tests of `prepared`.
#[tokio::test]
async fn events_are_neither_changed_nor_deleted() {
    let opened = Place::sqlite().open().await;
    put(&opened.store, &key("workspaces/acme", "main")).await.unwrap();
    for statement in ["UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events"] {
        assert!(opened.raw.0.execute_unprepared(statement).await.is_err(), "{statement}");
    }
}
