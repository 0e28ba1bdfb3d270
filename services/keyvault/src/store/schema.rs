//! The schema: which migrations a database has, running them apart from serving, and what the service's role may do.

use std::collections::BTreeSet;

use claviger_migrations::Migrator;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement};
use sea_orm_migration::{IntoSchemaManagerConnection, MigratorTrait, SchemaManager};

use super::connect::{Location, begin, look, owner};
use super::{StoreError, role};

/// What sea-orm notes the migrations in that ran.
pub(super) const NOTES: &str = "seaql_migrations";

/// A migration of this release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its name, which begins with its date.
    pub name: String,
    /// The database has it.
    pub applied: bool,
}

/// The migrations of this release, oldest first, and which of them a database has. Changes nothing.
///
/// # Errors
/// [`StoreError::ForeignSchema`]; or when the database fails.
pub async fn migrations(location: &Location) -> Result<Vec<Migration>, StoreError> {
    let Some(db) = look(location).await? else { return Ok(of_this_release(&BTreeSet::new())) };
    let found = found(&db).await;
    db.close().await?;
    found
}

/// Brings a database to this release's schema, and answers what ran. With `service_role`, that role of the server may then do
/// what the service needs, and nothing else. Runs at the same time wait for each other.
///
/// # Errors
/// [`StoreError::ForeignSchema`], [`StoreError::NoSuchRole`], [`StoreError::TooMightyRole`], [`StoreError::NoRoles`]; or when
/// the database fails.
pub async fn migrate(location: &Location, service_role: Option<&str>) -> Result<Vec<Migration>, StoreError> {
    migrations(location).await?; // of another release's not even a byte is changed
    let db = owner(location).await?;
    let ran = up(&db).await?;
    if let Some(role) = service_role {
        role::grant(&db, role).await?;
    }
    db.close().await?;
    Ok(ran)
}

/// Runs what is pending, all or nothing, while nobody else does; answers what ran.
pub(super) async fn up(db: &DatabaseConnection) -> Result<Vec<Migration>, StoreError> {
    let txn = begin(db).await?; // on SQLite this waits for others
    if txn.get_database_backend() == DbBackend::Postgres {
        txn.execute_unprepared(LOCK).await?;
    }
    let before = found(&txn).await?;
    if before.iter().any(|migration| !migration.applied) {
        Migrator::up(&txn, None).await?; // even with nothing to do, it would need the owner's rights
    }
    txn.commit().await?;
    Ok(before.into_iter().filter(|migration| !migration.applied).collect())
}

/// Of each schema its own, until the transaction ends.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('claviger/migrate/' || current_schema(), 0))";

/// Whether all migrations ran, and no other.
pub(super) async fn assert_current(db: &DatabaseConnection) -> Result<(), StoreError> {
    let all = found(db).await?.iter().all(|migration| migration.applied);
    if all { Ok(()) } else { Err(StoreError::Schema) }
}

/// The migrations and which ran. Newer ones than this release has leave it a schema that it runs on, as migrations expand
/// before they contract; any other that it does not have is a foreign one.
pub(super) async fn found<'c, C>(db: &'c C) -> Result<Vec<Migration>, StoreError>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    if !SchemaManager::new(db).has_table(NOTES).await? {
        return Ok(of_this_release(&BTreeSet::new()));
    }
    let noted: BTreeSet<String> = texts(db, &format!("SELECT version FROM {NOTES}")).await?.into_iter().collect();
    let ours = of_this_release(&noted);
    let is_newer = |name: &String| ours.iter().all(|ours| ours.name < *name);
    let is_ours = |name: &String| ours.iter().any(|ours| ours.name == *name);
    if !noted.iter().all(|name| is_ours(name) || is_newer(name)) {
        return Err(StoreError::ForeignSchema);
    }
    Ok(ours)
}

fn of_this_release(noted: &BTreeSet<String>) -> Vec<Migration> {
    let all = Migrator::migrations();
    let names = all.iter().map(|migration| migration.name().to_owned());
    names.map(|name| Migration { applied: noted.contains(&name), name }).collect()
}

/// The first column of a query.
pub(super) async fn texts(db: &impl ConnectionTrait, sql: &str) -> Result<Vec<String>, DbErr> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    rows.iter().map(|row: &QueryResult| row.try_get_by_index(0)).collect()
}
