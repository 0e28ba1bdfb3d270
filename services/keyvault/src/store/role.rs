//! What the service's role may do on a PostgreSQL server: what it needs, and to the audit log nothing but to add and to read.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, TransactionTrait};

use super::schema::{NOTES, texts};
use super::{Store, StoreError};

/// What the service does to each table. A table that is not here is out of its reach.
pub(super) const GRANTS: [(&str, &str); 18] = [
    ("vault", "SELECT, INSERT"),
    ("master_keys", "SELECT, INSERT, DELETE"), // a retired one goes once nothing is under it
    ("service_keys", "SELECT, INSERT, UPDATE"), // wrapped anew under another master key
    ("audit_head", "SELECT, INSERT, UPDATE"),
    ("audit_events", "SELECT, INSERT"),
    ("audit_segments", "SELECT"),
    ("workspaces", "SELECT, INSERT, UPDATE"), // a deleted one is marked so
    ("agent_routes", "SELECT, INSERT, DELETE"),
    ("session_bindings", "SELECT, INSERT, DELETE"),
    ("workspace_keys", "SELECT, INSERT, UPDATE, DELETE"), // wrapped anew; destroyed with their workspace
    ("provider_keys", "SELECT, INSERT, UPDATE"),          // a revoked one stays, a purged one too
    ("request_ids", "SELECT, INSERT, DELETE"),
    ("journals", "SELECT, INSERT, UPDATE"),
    ("reported_resolutions", "SELECT, INSERT, UPDATE, DELETE"),
    ("usage_hours", "SELECT, INSERT, UPDATE"), // it is what is billed: added to, never taken away
    ("key_uses", "SELECT, INSERT, UPDATE, DELETE"),
    ("key_health", "SELECT, INSERT, UPDATE, DELETE"),
    (NOTES, "SELECT"),
];

/// Gives a role what the service needs in this connection's schema and takes the rest away, from everyone else (PUBLIC) too.
/// The right to connect is the operator's to give.
pub(super) async fn grant(db: &DatabaseConnection, role: &str) -> Result<(), StoreError> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Err(StoreError::NoRoles);
    }
    if !exists(db, role).await? {
        return Err(StoreError::NoSuchRole);
    }
    let schema = texts(db, "SELECT quote_ident(current_schema())").await?.pop().ok_or(StoreError::Schema)?;
    let role_name = quoted(role);
    let txn = db.begin().await?;
    let mut statements = vec![
        format!("REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC"),
        format!("REVOKE ALL ON SCHEMA {schema} FROM {role_name}"),
        format!("GRANT USAGE ON SCHEMA {schema} TO {role_name}"),
    ];
    for (table, privileges) in GRANTS {
        statements.push(format!("REVOKE ALL ON {schema}.{table} FROM PUBLIC, {role_name}"));
        statements.push(format!("GRANT {privileges} ON {schema}.{table} TO {role_name}"));
    }
    for statement in statements {
        txn.execute_unprepared(&statement).await?;
    }
    if is_too_mighty(&txn, role).await? {
        return Err(StoreError::TooMightyRole); // a superuser, the owner, or a member of such a role
    }
    Ok(txn.commit().await?)
}

/// Whether the role of this connection can do more to the audit log than add to it.
pub(super) async fn is_mine_too_mighty(db: &impl ConnectionTrait) -> Result<bool, StoreError> {
    let me = texts(db, "SELECT current_user::text").await?.pop().ok_or(StoreError::Schema)?;
    Ok(is_too_mighty(db, &me).await?)
}

/// By its own rights, those of PUBLIC and of every role that it is a member of; owners can give themselves any right.
async fn is_too_mighty(db: &impl ConnectionTrait, role: &str) -> Result<bool, DbErr> {
    const SQL: &str = "SELECT COALESCE(bool_or( \
            has_table_privilege($1, class.oid, 'UPDATE, DELETE, TRUNCATE') \
            OR has_any_column_privilege($1, class.oid, 'UPDATE') \
            OR (class.relname = 'audit_segments' AND has_table_privilege($1, class.oid, 'INSERT')) \
            OR pg_has_role($1, class.relowner, 'MEMBER') \
            OR pg_has_role($1, namespace.nspowner, 'MEMBER')), true) \
        FROM pg_class class JOIN pg_namespace namespace ON namespace.oid = class.relnamespace \
        WHERE namespace.nspname = current_schema() AND class.relname IN ('audit_events', 'audit_segments')";
    let row = db.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, SQL, [role.into()])).await?;
    row.map_or(Ok(true), |row| row.try_get_by_index(0))
}

impl Store {
    /// Whether this connection's role can move events out of the log, as far as the server says beforehand.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn may_seal(&self) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT has_table_privilege('audit_events', 'DELETE') \
            AND has_table_privilege('audit_segments', 'INSERT') AND has_table_privilege('audit_segments', 'UPDATE')";
        if self.read.get_database_backend() != DbBackend::Postgres {
            return Ok(true);
        }
        let row = self.read.query_one_raw(Statement::from_string(DbBackend::Postgres, SQL)).await?;
        Ok(row.map_or(Ok(false), |row| row.try_get_by_index(0))?)
    }
}

async fn exists(db: &impl ConnectionTrait, role: &str) -> Result<bool, DbErr> {
    const SQL: &str = "SELECT 1 FROM pg_roles WHERE rolname = $1";
    let row = db.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, SQL, [role.into()])).await?;
    Ok(row.is_some())
}

/// A name as SQL takes any name.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_quotes() {
        assert_eq!(quoted(r#"keyvault"; DROP TABLE "x"#), r#""keyvault""; DROP TABLE ""x""#);
    }
}
