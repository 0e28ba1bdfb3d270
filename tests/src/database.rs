//! The vault's SQLite file, read and altered behind its back.

use std::path::Path;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbErr, Statement};

/// Runs a statement beside a vault that may be running.
///
/// # Errors
/// The database's.
pub async fn alter(file: &Path, sql: &str) -> Result<(), DbErr> {
    let database = open(file).await?;
    database.execute_unprepared(sql).await?;
    database.close().await
}

/// The one number that a query answers, such as a count.
///
/// # Errors
/// The database's, or when the answer has another shape.
pub async fn number(file: &Path, sql: &str) -> Result<i64, DbErr> {
    let database = open(file).await?;
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await?.ok_or_else(|| DbErr::Custom("no row".to_owned()))?;
    let number = row.try_get_by_index(0)?;
    database.close().await?;
    Ok(number)
}

async fn open(file: &Path) -> Result<DatabaseConnection, DbErr> {
    Database::connect(format!("sqlite://{}?mode=rw", file.display())).await
}
