//! The first schema. Times are microseconds since 1970 (UTC), ids are text, sealed things and hashes are bytes.
//!
//! Rows with `last_seq` and `mac` are bound to their newest audit event: docs/audit.md says how.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, binary, boolean, integer, string, text};
use sea_orm_migration::sea_orm::DbBackend;

use crate::index;

/// The first schema.
#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// On SQLite too: a crash in the middle leaves nothing behind.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            vault(),
            master_keys(),
            service_keys(),
            audit_head(),
            audit_events(),
            audit_segments(),
            workspaces(),
            agent_routes(),
            session_bindings(),
            workspace_keys(),
            provider_keys(),
            request_ids(),
        ] {
            manager.create_table(table).await?;
        }
        for index in [
            index("audit_events_tenant", "audit_events", &["tenant", "seq"]),
            index("audit_events_target", "audit_events", &["target", "seq"]),
            index("provider_keys_tenant", "provider_keys", &["tenant", "owner_user", "key_slug", "id"]),
            index("provider_keys_fingerprint", "provider_keys", &["fingerprint"]),
            index("workspace_keys_master_key", "workspace_keys", &["master_key"]),
            index("session_bindings_expire_time", "session_bindings", &["expire_time"]),
            index("request_ids_expire_time", "request_ids", &["expire_time"]),
        ] {
            manager.create_index(index).await?;
        }
        // sea-query has no partial indexes on SQLite; both databases take this sentence
        let one_slug = "CREATE UNIQUE INDEX provider_keys_slug ON provider_keys (tenant, owner_user, key_slug) \
                        WHERE state NOT IN ('REVOKED', 'PURGED')";
        manager.get_connection().execute_unprepared(one_slug).await?;
        if manager.get_database_backend() == DbBackend::Sqlite {
            for trigger in KEEP_EVENTS {
                manager.get_connection().execute_unprepared(trigger).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "request_ids",
            "provider_keys",
            "workspace_keys",
            "session_bindings",
            "agent_routes",
            "workspaces",
            "audit_segments",
            "audit_events",
            "audit_head",
            "service_keys",
            "master_keys",
            "vault",
        ] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

/// Events are never changed, and deleted only once they are in a sealed segment. PostgreSQL has roles for this: the
/// service's own may only insert them (`claviger-keyvault migrate` grants it so).
const KEEP_EVENTS: [&str; 2] = [
    "CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events \
     BEGIN SELECT RAISE(ABORT, 'audit events are never changed'); END",
    "CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events \
     WHEN NOT EXISTS (SELECT 1 FROM audit_segments WHERE OLD.seq BETWEEN first_seq AND last_seq) \
     BEGIN SELECT RAISE(ABORT, 'audit events leave only by a sealed segment'); END",
];

/// One row: which history this database holds.
fn vault() -> TableCreateStatement {
    Table::create().table("vault").col(integer("id").primary_key()).col(string("epoch")).to_owned()
}

/// The master keys that something is wrapped under; `check_value` tells a wrong key from the right one.
fn master_keys() -> TableCreateStatement {
    Table::create()
        .table("master_keys")
        .col(string("id").primary_key())
        .col(binary("check_value"))
        .col(big_integer("create_time"))
        .to_owned()
}

/// The vault's own purpose-bound keys, wrapped by a master key.
fn service_keys() -> TableCreateStatement {
    Table::create()
        .table("service_keys")
        .col(string("purpose").primary_key())
        .col(string("master_key"))
        .col(binary("wrapped"))
        .to_owned()
}

/// One row: the end of the audit chain. Whoever writes locks it first, so commit order is `seq` order.
fn audit_head() -> TableCreateStatement {
    Table::create()
        .table("audit_head")
        .col(integer("id").primary_key())
        .col(big_integer("seq"))
        .col(binary("hash"))
        .to_owned()
}

fn audit_events() -> TableCreateStatement {
    Table::create()
        .table("audit_events")
        .col(big_integer("seq").primary_key())
        .col(binary("hash"))
        .col(big_integer("event_time"))
        .col(string("tenant"))
        .col(string("action"))
        .col(string("target"))
        .col(string("actor"))
        .col(string("on_behalf_of"))
        .col(string("peer"))
        .col(string("request_id"))
        .col(string("trace_id"))
        .col(text("details"))
        .to_owned()
}

/// The parts of the log that were moved out of the database, sealed. `kept_events` of each stayed, and `kept_digest` is the
/// hash over those.
fn audit_segments() -> TableCreateStatement {
    Table::create()
        .table("audit_segments")
        .col(big_integer("first_seq").primary_key())
        .col(big_integer("last_seq"))
        .col(binary("first_hash"))
        .col(binary("last_hash"))
        .col(big_integer("kept_events"))
        .col(binary("kept_digest"))
        .col(binary("file_digest"))
        .col(big_integer("create_time"))
        .col(binary("mac"))
        .to_owned()
}

fn workspaces() -> TableCreateStatement {
    Table::create()
        .table("workspaces")
        .col(string("id").primary_key())
        .col(string("plan").null())
        .col(boolean("read_only"))
        .col(string("default_mode"))
        .col(string("fallback_consent"))
        .col(text("allowed_providers"))
        .col(string("default_provider").null())
        .col(string("default_model").null())
        .col(big_integer("create_time"))
        .col(string("creator"))
        .col(big_integer("update_time"))
        .col(big_integer("delete_time").null())
        .col(big_integer("last_seq"))
        .col(binary("mac"))
        .to_owned()
}

fn agent_routes() -> TableCreateStatement {
    Table::create()
        .table("agent_routes")
        .col(string("workspace"))
        .col(string("agent"))
        .col(string("mode"))
        .col(string("provider").null())
        .col(string("key_slug").null())
        .col(string("model").null())
        .col(string("fallback_consent").null())
        .col(big_integer("create_time"))
        .col(big_integer("update_time"))
        .col(string("updater"))
        .col(big_integer("last_seq"))
        .col(binary("mac"))
        .primary_key(Index::create().col("workspace").col("agent"))
        .to_owned()
}

fn session_bindings() -> TableCreateStatement {
    Table::create()
        .table("session_bindings")
        .col(string("workspace"))
        .col(string("session"))
        .col(string("key_slug"))
        .col(string("owner_user").null())
        .col(string("provider").null())
        .col(string("model").null())
        .col(big_integer("create_time"))
        .col(string("creator"))
        .col(big_integer("expire_time"))
        .col(big_integer("last_seq"))
        .col(binary("mac"))
        .primary_key(Index::create().col("workspace").col("session"))
        .to_owned()
}

/// Each tenant's keys that its records are sealed under, wrapped by a master key.
fn workspace_keys() -> TableCreateStatement {
    Table::create()
        .table("workspace_keys")
        .col(string("tenant"))
        .col(integer("version"))
        .col(string("master_key"))
        .col(binary("wrapped"))
        .col(big_integer("create_time"))
        .primary_key(Index::create().col("tenant").col("version"))
        .to_owned()
}

fn provider_keys() -> TableCreateStatement {
    Table::create()
        .table("provider_keys")
        .col(string("id").primary_key())
        .col(string("tenant"))
        .col(string("owner_user"))
        .col(string("provider"))
        .col(string("auth_type"))
        .col(string("key_slug"))
        .col(string("label"))
        .col(string("masked_secret"))
        .col(string("last_four"))
        .col(integer("rotation_priority"))
        .col(text("base_url").null())
        .col(string("location").null())
        .col(text("allowed_models"))
        .col(string("state"))
        .col(integer("secret_version"))
        .col(binary("sealed"))
        .col(integer("workspace_key"))
        .col(binary("fingerprint"))
        .col(string("test_result").null())
        .col(text("test_detail").null())
        .col(big_integer("test_time").null())
        .col(integer("test_http_status").null())
        .col(big_integer("test_micros").null())
        .col(big_integer("create_time"))
        .col(string("creator"))
        .col(big_integer("update_time"))
        .col(big_integer("expire_time").null())
        .col(big_integer("revoke_time").null())
        .col(string("revoker").null())
        .col(string("revoke_reason").null())
        .col(big_integer("last_seq"))
        .col(binary("mac"))
        .to_owned()
}

/// First answers, for the requests that are sent again. Both the id and the body are keyed tags; `mac` seals the row.
fn request_ids() -> TableCreateStatement {
    Table::create()
        .table("request_ids")
        .col(binary("id_tag").primary_key())
        .col(binary("body_tag"))
        .col(binary("answer"))
        .col(big_integer("expire_time"))
        .col(binary("mac"))
        .to_owned()
}
