//! The first schema. Times are microseconds since 1970 (UTC), ids are text, sealed things and hashes are bytes.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, binary, integer, string, text};

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
            workspaces(),
            workspace_keys(),
            provider_keys(),
        ] {
            manager.create_table(table).await?;
        }
        manager.create_index(events_of_a_tenant()).await?;
        manager.create_index(keys_of_a_tenant()).await?;
        manager.create_index(keys_by_fingerprint()).await?;
        // sea-query has no partial indexes on SQLite; both databases take this sentence
        let one_slug = "CREATE UNIQUE INDEX provider_keys_slug ON provider_keys (tenant, owner_user, key_slug) \
                        WHERE state NOT IN ('REVOKED', 'PURGED')";
        manager.get_connection().execute_unprepared(one_slug).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "provider_keys",
            "workspace_keys",
            "workspaces",
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
        .col(string("peer"))
        .col(string("request_id"))
        .col(string("trace_id"))
        .col(text("details"))
        .to_owned()
}

fn workspaces() -> TableCreateStatement {
    Table::create()
        .table("workspaces")
        .col(string("id").primary_key())
        .col(string("fallback_consent"))
        .col(string("default_provider").null())
        .col(string("default_model").null())
        .col(big_integer("create_time"))
        .col(string("creator"))
        .col(big_integer("update_time"))
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
        .to_owned()
}

fn events_of_a_tenant() -> IndexCreateStatement {
    Index::create().name("audit_events_tenant").table("audit_events").col("tenant").col("seq").to_owned()
}

fn keys_of_a_tenant() -> IndexCreateStatement {
    let index = Index::create().name("provider_keys_tenant").table("provider_keys").to_owned();
    index.to_owned().col("tenant").col("owner_user").col("key_slug").col("id").to_owned()
}

fn keys_by_fingerprint() -> IndexCreateStatement {
    Index::create().name("provider_keys_fingerprint").table("provider_keys").col("fingerprint").to_owned()
}
