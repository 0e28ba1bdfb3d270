//! What can go wrong with the database. A driver's words stay in the log.

use std::time::Duration;

use claviger_core::fault::Fault;
use claviger_core::reason::Reason;
use sea_orm::{DbErr, SqlErr};

/// The table of remembered answers, which no event tells of.
pub(super) const REQUEST_IDS: &str = "request_ids";

/// Why a store call failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another unrevoked key of the owner has the slug.
    #[error("the slug is taken")]
    SlugTaken,
    /// The request id was used with another body.
    #[error("the request id was used with another body")]
    RequestIdReused,
    /// A journal batch does not begin where what was taken of the journal ends.
    #[error("entries of the journal are missing")]
    JournalGap,
    /// A row does not hold what the schema promises.
    #[error("a row of {0} is corrupt")]
    Corrupt(&'static str),
    /// A row is not as its newest audit event left it, or a remembered answer not as it was kept: its table, and the
    /// resource's name.
    #[error("a row of {0} was altered")]
    Altered(&'static str, String),
    /// The database has another schema than this release works with.
    #[error(
        "the database's schema is not this release's: run `claviger-keyvault migrate` with the role that owns the tables"
    )]
    Schema,
    /// The database was made by a release that this one does not know, and that is no newer one.
    #[error(
        "the database was made by a version of claviger-keyvault that this one does not know: use that version, or another (or no) database; nothing was touched"
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
    /// The database is in an older state than this process has left it in.
    #[error(
        "the database was put back to an older state under a running vault, which therefore writes nothing: restart keyvault if it was meant so"
    )]
    Rewound,
    /// A write did not come to its end in time.
    #[error("a write did not end in time")]
    Stuck,
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
            StoreError::JournalGap => {
                let message = "entries of this replica's journal are missing before this batch; begin a new journal under a new replica";
                Self::new(Reason::JournalGap, message)
            }
            StoreError::Altered(REQUEST_IDS, _) => {
                tracing::error!(db.table = REQUEST_IDS, "a remembered answer is not as it was kept");
                let message = "the remembered answer to this request_id was altered: someone wrote to the database; see whether the \
                               request was done, and if not, send it with a new request_id";
                Self::new(Reason::WorkspaceAltered, message)
            }
            StoreError::Altered(table, name) => altered(table, name),
            StoreError::Corrupt(table) => {
                tracing::error!(db.table = table, "a row is corrupt");
                Self::internal()
            }
            error => {
                let source = std::error::Error::source(&error);
                tracing::error!(%error, source = source.map(tracing::field::display), "the database cannot be used");
                unavailable()
            }
        }
    }
}

/// Names the resource, if a name is left: whoever wrote to the database may have written anything.
fn altered(table: &'static str, name: String) -> Fault {
    const LONGEST: usize = 512;
    let name = if name.len() <= LONGEST && name.bytes().all(|b| b.is_ascii_graphic()) { name } else { String::new() };
    tracing::error!(db.table = table, resource = name, "a row is not as its newest audit event left it");
    let kind = match table {
        "agent_routes" => "claviger.dev/AgentRoute",
        "session_bindings" => "claviger.dev/SessionBinding",
        _ => "claviger.dev/Workspace",
    };
    let message = "the stored record is not as its newest audit event left it: someone wrote to the database";
    Fault::new(Reason::WorkspaceAltered, message).resource(kind, name)
}

/// For whoever is not told more: the log was.
pub(super) fn unavailable() -> Fault {
    Fault::new(Reason::StorageUnavailable, "the vault's database cannot be used now; try again")
        .retry_after(Duration::from_secs(1))
}
