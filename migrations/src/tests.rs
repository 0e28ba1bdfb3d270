//! The migrations on a real SQLite file and a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "tests")]

use claviger_testing_postgres::Schema;
use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectOptions, Database, DatabaseConnection, Statement};
use tempfile::TempDir;

use super::Migrator;

/// What sea-orm keeps for itself, to know which migrations ran.
const OWN: &str = "seaql_migrations";

enum Place {
    Sqlite(TempDir),
    Postgres(Schema),
}

impl Place {
    async fn both() -> [Self; 2] {
        let schema = claviger_testing_postgres::schema().await.unwrap();
        [Self::Sqlite(tempfile::tempdir().unwrap()), Self::Postgres(schema)]
    }

    async fn connect(&self) -> DatabaseConnection {
        let url = match self {
            Self::Sqlite(folder) => format!("sqlite://{}?mode=rwc", folder.path().join("keyvault.db").display()),
            Self::Postgres(schema) => schema.url.clone(),
        };
        Database::connect(ConnectOptions::new(url).max_connections(1).sqlx_logging(false).to_owned()).await.unwrap()
    }

    /// Every column as `table column kind nullable`, sea-orm's own left out. SQLite has one kind of whole numbers.
    async fn columns(&self) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => format!(
                "SELECT t.name || ' ' || c.name || ' ' || \
                 CASE WHEN c.type LIKE '%blob%' THEN 'bytes' WHEN c.type LIKE 'bool%' THEN 'flag' \
                 WHEN c.type LIKE '%int%' THEN 'number' ELSE 'text' END || ' ' || \
                 CASE c.\"notnull\" WHEN 1 THEN 'never' ELSE 'maybe' END \
                 FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name <> '{OWN}'"
            ),
            Self::Postgres(_) => format!(
                "SELECT table_name || ' ' || column_name || ' ' || \
                 CASE data_type WHEN 'bytea' THEN 'bytes' WHEN 'boolean' THEN 'flag' WHEN 'bigint' THEN 'number' \
                 WHEN 'integer' THEN 'number' WHEN 'text' THEN 'text' WHEN 'character varying' THEN 'text' \
                 ELSE data_type END || ' ' || CASE is_nullable WHEN 'NO' THEN 'never' ELSE 'maybe' END \
                 FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> '{OWN}'"
            ),
        };
        self.texts(&sql).await
    }

    /// Every index that a migration named.
    async fn indexes(&self) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => format!(
                "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE % INDEX %' OR sql LIKE 'CREATE INDEX %' AND tbl_name <> '{OWN}'"
            ),
            Self::Postgres(_) => format!(
                "SELECT indexname::text FROM pg_indexes WHERE schemaname = current_schema() \
                 AND indexname NOT LIKE '%pkey' AND tablename <> '{OWN}'"
            ),
        };
        self.texts(&sql).await
    }

    async fn texts(&self, sql: &str) -> Vec<String> {
        let db = self.connect().await;
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
        let mut texts: Vec<_> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
        db.close().await.unwrap();
        texts.sort();
        texts
    }
}

#[tokio::test]
async fn up_down_and_up_again_make_the_same_schema() {
    for place in Place::both().await {
        let db = place.connect().await;
        Migrator::up(&db, None).await.unwrap();
        let first = (place.columns().await, place.indexes().await);
        assert!(first.1.contains(&"provider_keys_slug".to_owned()) && first.0.len() > 90, "{first:?}");

        Migrator::down(&db, None).await.unwrap();
        assert_eq!((place.columns().await, place.indexes().await), (vec![], vec![]), "nothing is left but {OWN}");

        Migrator::up(&db, None).await.unwrap();
        assert_eq!((place.columns().await, place.indexes().await), first);
    }
}

#[tokio::test]
async fn both_databases_have_the_same_columns_and_indexes() {
    let [sqlite, postgres] = Place::both().await;
    for place in [&sqlite, &postgres] {
        Migrator::up(&place.connect().await, None).await.unwrap();
    }
    assert_eq!(sqlite.columns().await, postgres.columns().await);
    assert_eq!(sqlite.indexes().await, postgres.indexes().await);
}

#[tokio::test]
async fn up_runs_once_and_keeps_what_is_stored() {
    for place in Place::both().await {
        let db = place.connect().await;
        Migrator::up(&db, None).await.unwrap();
        db.execute_unprepared("INSERT INTO vault (id, epoch) VALUES (1, 'x')").await.unwrap();
        db.close().await.unwrap();

        Migrator::up(&place.connect().await, None).await.unwrap();
        assert_eq!(place.texts("SELECT epoch FROM vault").await, ["x"]);
    }
}
