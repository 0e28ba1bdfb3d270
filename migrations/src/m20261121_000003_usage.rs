//! What was called, what came of it, and how keys fare. None of it is bound to the audit log: routing tells of it, and it is
//! counted. Where there is no user, agent, session or model, the text is empty.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, binary, integer, string};

use crate::index;

/// Usage, journals and the health of keys.
#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// On SQLite too: a crash in the middle leaves nothing behind.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [journals(), reported_resolutions(), usage_hours(), key_uses(), key_health()] {
            manager.create_table(table).await?;
        }
        for index in [
            index("reported_resolutions_newest_time", "reported_resolutions", &["newest_time"]),
            index("key_health_end_time", "key_health", &["end_time"]),
            index("usage_hours_hour", "usage_hours", &["hour"]),
            index("usage_hours_key", "usage_hours", &["key_id", "last_use_time"]),
        ] {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["key_health", "key_uses", "usage_hours", "reported_resolutions", "journals"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

/// How far the journal of each routing process has been taken. Kept for good: an idle process may go on with it at any time.
fn journals() -> TableCreateStatement {
    Table::create()
        .table("journals")
        .col(string("replica").primary_key())
        .col(big_integer("last_offset"))
        .col(big_integer("update_time"))
        .to_owned()
}

/// Which resolutions an outcome was counted for, by the process that made them: the numbers of a block of 65,536, as a roaring
/// bitmap. A block goes two hours after the newest of it.
fn reported_resolutions() -> TableCreateStatement {
    Table::create()
        .table("reported_resolutions")
        .col(string("replica"))
        .col(big_integer("block"))
        .col(binary("numbers").null())
        .col(big_integer("newest_time"))
        .primary_key(Index::create().col("replica").col("block"))
        .to_owned()
}

/// What was called in each hour. Kept for good: it is what is billed.
fn usage_hours() -> TableCreateStatement {
    let mut table = Table::create().table("usage_hours").to_owned();
    for dimension in ["workspace", "user_id", "agent", "session", "key_id", "provider", "model", "payer"] {
        table.col(string(dimension));
    }
    for number in [
        "hour",
        "calls",
        "ok",
        "invalid_key",
        "forbidden",
        "quota_exhausted",
        "rate_limited",
        "overloaded",
        "server_error",
        "network_error",
        "bad_request",
        "client_aborted",
        "input_tokens",
        "output_tokens",
        "micro_credits",
        "duration_micros",
        "unpriced_calls",
        "first_use_time",
        "last_use_time",
    ] {
        table.col(big_integer(number));
    }
    let mut cell = Index::create();
    for column in ["workspace", "hour", "user_id", "agent", "session", "key_id", "provider", "model", "payer"] {
        cell.col(column);
    }
    table.primary_key(&mut cell).to_owned()
}

/// When each key was last handed out, what was last reported of its secret, how often in a row that it is rejected, and when it
/// was last tested for that.
fn key_uses() -> TableCreateStatement {
    Table::create()
        .table("key_uses")
        .col(string("key_id").primary_key())
        .col(big_integer("last_use_time").null())
        .col(integer("secret_version"))
        .col(string("last_outcome").null())
        .col(big_integer("last_outcome_time").null())
        .col(integer("rejections"))
        .col(big_integer("retest_time").null())
        .to_owned()
}

/// The newest cooldown, or end of one, of each key, and of each key for one model. It goes two hours after its end.
fn key_health() -> TableCreateStatement {
    Table::create()
        .table("key_health")
        .col(string("key_id"))
        .col(string("model"))
        .col(integer("secret_version"))
        .col(string("cause"))
        .col(big_integer("since"))
        .col(big_integer("end_time"))
        .col(integer("failures"))
        .primary_key(Index::create().col("key_id").col("model"))
        .to_owned()
}
