//! The database schema, as sea-orm migrations: expand, then contract, so that the previous release runs on the new
//! schema.

use sea_orm_migration::prelude::*;

mod m20261121_000002_vault;
mod m20261121_000003_usage;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m20261121_000002_vault::Migration), Box::new(m20261121_000003_usage::Migration)]
    }
}

fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(table).to_owned();
    for column in columns {
        index.col(*column);
    }
    index
}

#[cfg(test)]
mod tests;
