//! What can go wrong with the database. A driver's words stay in the log.

use std::time::Duration;

use claviger_core::fault::Fault;
use claviger_core::reason::Reason;
use sea_orm::{DbErr, SqlErr};

/// Why a store call failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another unrevoked key of the owner has the slug.
    #[error("the slug is taken")]
    SlugTaken,
    /// The request id was used with another body.
    #[error("the request id was used with another body")]
    RequestIdReused,
    /// A row does not hold what the schema promises.
    #[error("a row of {0} is corrupt")]
    Corrupt(&'static str),
    /// A row is not as its newest audit event left it.
    #[error("a row of {0} was altered")]
    Altered(&'static str),
    /// The database has another schema than this release works with.
    #[error(
        "the database's schema is not this release's: run `claviger-keyvault migrate` with the role that owns the tables"
    )]
    Schema,
    /// The database was made by a release that this one does not know.
    #[error(
        "the database was made by another version of claviger-keyvault, older than its first release or newer than this one: use that version, or another (or no) database; nothing was touched"
    )]
    ForeignSchema,
    /// The server has no such role.
    #[error("the database server has no such role: CREATE ROLE first")]
    NoSuchRole,
    /// The embedded database knows no roles.
    #[error("the embedded database has no roles")]
    NoRoles,
    /// The database may do more to the audit log than add to it.
    #[error(
        "the database role may change or delete audit events (it is a superuser, owns the tables or was granted too much): use another role, which `claviger-keyvault migrate --service-role` has set up"
    )]
    TooMightyRole,
    /// A command was given a database that no vault was started on.
    #[error("there is no vault's database")]
    NoVault,
    /// The vault is shutting down.
    #[error("the vault is shutting down")]
    Closed,
    /// The database refused or was not reached.
    #[error("the database failed")]
    Database(#[source] DbErr),
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(what)) if what.contains("slug") => Self::SlugTaken,
            _ => Self::Database(error),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::SlugTaken => {
                let message = "another unrevoked key of this owner has the slug";
                Self::new(Reason::KeySlugTaken, message).at("provider_key.key_slug")
            }
            StoreError::RequestIdReused => {
                let message = "this request_id was used for another request; make a new one for each request";
                Self::new(Reason::RequestIdReused, message).at("request_id")
            }
            StoreError::Altered(table) => {
                tracing::error!(db.table = table, "a row is not as its newest audit event left it");
                let message =
                    "the stored record is not as its newest audit event left it: someone wrote to the database";
                Self::new(Reason::WorkspaceAltered, message)
            }
            StoreError::Corrupt(table) => {
                tracing::error!(db.table = table, "a row is corrupt");
                Self::internal()
            }
            error => {
                let source = std::error::Error::source(&error);
                tracing::error!(%error, source = source.map(tracing::field::display), "the database cannot be used");
                Self::new(Reason::StorageUnavailable, "the vault's database cannot be used now; try again")
                    .retry_after(Duration::from_secs(1))
            }
        }
    }
}
