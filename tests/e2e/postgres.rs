//! The vault on a PostgreSQL server: its role, its replicas, and a server that goes away.

mod backup;
mod connection;
mod load;
mod location;
mod mix;
mod replicas;
mod roles;

use claviger_tests::{Fleet, Options, postgres};

/// A fleet whose vault works on a schema of its own.
async fn fleet() -> (Fleet, postgres::Schema) {
    let schema = postgres::schema().await.unwrap();
    let options = Options { database: Some(schema.url.clone()), ..Default::default() };
    (Fleet::start_with(options).await.unwrap(), schema)
}
