//! The migrations on a real SQLite file.
#![expect(clippy::unwrap_used, reason = "tests")]

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{Database, DatabaseConnection, Statement};
use tempfile::TempDir;

use super::Migrator;

/// What sea-orm keeps for itself, to know which migrations ran.
const OWN: &str = "seaql_migrations";

async fn database(folder: &TempDir) -> DatabaseConnection {
    let file = folder.path().join("keyvault.db");
    Database::connect(format!("sqlite://{}?mode=rwc", file.display())).await.unwrap()
}

/// Every table and index with its definition, sea-orm's own left out.
async fn schema(db: &DatabaseConnection) -> Vec<(String, Option<String>)> {
    let sql = format!("SELECT name, sql FROM sqlite_master WHERE tbl_name <> '{OWN}' ORDER BY name");
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    rows.iter().map(|row| (row.try_get("", "name").unwrap(), row.try_get("", "sql").unwrap())).collect()
}

#[tokio::test]
async fn up_down_and_up_again_make_the_same_schema() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&folder).await;
    Migrator::up(&db, None).await.unwrap();
    let first = schema(&db).await;
    let has = |name: &str| first.iter().any(|(found, _)| found == name);
    assert!(has("provider_keys") && has("provider_keys_slug") && has("audit_events"), "{first:?}");

    Migrator::down(&db, None).await.unwrap();
    assert_eq!(schema(&db).await, [], "nothing is left but {OWN}");

    Migrator::up(&db, None).await.unwrap();
    assert_eq!(schema(&db).await, first);
}

#[tokio::test]
async fn up_runs_once_and_keeps_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&folder).await;
    Migrator::up(&db, None).await.unwrap();
    db.execute_unprepared("INSERT INTO vault (id, epoch) VALUES (1, 'x')").await.unwrap();
    db.close().await.unwrap();

    let db = database(&folder).await;
    Migrator::up(&db, None).await.unwrap();
    let rows = Statement::from_string(db.get_database_backend(), "SELECT epoch FROM vault");
    let row = db.query_one_raw(rows).await.unwrap().unwrap();
    assert_eq!(row.try_get::<String>("", "epoch").unwrap(), "x");
}
