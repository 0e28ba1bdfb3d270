//! A schema of its own on a real PostgreSQL, for each test that wants one. For tests alone.

mod server;

use anyhow::Context;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, Statement};
use uuid::Uuid;

/// A schema that no other test sees. It stays when it is dropped: a later process removes it when it is an hour old.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Where sea-orm and the services connect to. The search path is in it, so each connection is in this schema alone.
    pub url: String,
    /// `t_` and a UUID without hyphens.
    pub name: String,
}

/// Makes a schema, on the database of `CLAVIGER_TEST_DATABASE_URL` or else on the server of `scripts/postgres.sh`, which is started
/// when it does not run, and even installed where that is possible.
///
/// # Errors
/// When there is no server (what the script said), or the database's.
pub async fn schema() -> anyhow::Result<Schema> {
    let server = server::url().await?;
    let name = format!("t_{}", Uuid::now_v7().simple());
    let database = connect(server).await?;
    database.execute_unprepared(&format!("CREATE SCHEMA {name}")).await.context("cannot make a schema for a test")?;
    database.close().await?;
    Ok(Schema { url: inside(server, &name), name })
}

impl Schema {
    /// The same for another role of the server.
    #[must_use]
    pub fn url_as(&self, role: &str, password: &str) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("postgres", &self.url));
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{role}:{password}@{host}{}", &rest[authority.len()..])
    }

    /// Runs statements in the schema, beside a service that may be running.
    ///
    /// # Errors
    /// The database's.
    pub async fn alter(&self, sql: &str) -> Result<(), DbErr> {
        let database = connect(&self.url).await?;
        database.execute_unprepared(sql).await?;
        database.close().await
    }

    /// The one number that a query answers, such as a count: a `bigint`.
    ///
    /// # Errors
    /// The database's, or when the answer has another shape.
    pub async fn number(&self, sql: &str) -> Result<i64, DbErr> {
        let database = connect(&self.url).await?;
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let row = database.query_one_raw(statement).await?.ok_or_else(|| DbErr::Custom("no row".to_owned()))?;
        let number = row.try_get_by_index(0)?;
        database.close().await?;
        Ok(number)
    }
}

/// The URL of a database with the server's `search_path` in it.
fn inside(server: &str, schema: &str) -> String {
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options=-csearch_path%3D{schema}")
}

/// One connection: a test needs no more, and many tests run at once.
async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await
}

#[cfg(test)]
mod tests;
