//! Taking a routing process's journal: what it tells is counted once, however often it is sent.
//!
//! One transaction takes a batch: it locks how far that journal was taken, passes by what lies before, counts the rest, and
//! moves on. Rows are locked in one order everywhere (the journal, the blocks of resolutions, cells, keys), so that batches of
//! several processes, through several vaults, wait for each other and never for ever.

mod cells;
mod keys;
mod reported;

use std::time::Duration;

use claviger_core::catalog::{Charge, Credits};
use claviger_core::fault::Fault;
use claviger_core::ids::KeyName;
use claviger_core::journal::{HealthChange, Reported, Use};
use sea_orm::sea_query::{Expr, Value};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter,
    Statement,
};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::access::is_broken;
use super::connect::{WRITERS, begin};
use super::entity::journals;
use super::key_row::micros;
use super::many::{Kind, upsert};
use super::writer::PATIENCE;
use super::{Store, StoreError};

/// How long it is known which resolutions were reported, from the newest of a block on, and which cooldowns are over.
const KNOWN: Duration = Duration::from_secs(2 * 60 * 60);
/// Batches under way at most; more wait. On SQLite the mutations beside them wait for no more than these, and on PostgreSQL
/// they are fewer than there are connections for them.
pub(super) const BATCHES: usize = 2;
/// Rows forgotten with each batch, so that no one has to tidy up: most batches add fewer.
const FORGOTTEN_AT_ONCE: i64 = 256;

/// Some entries of a routing process's journal.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Names the process.
    pub replica: Uuid,
    /// The number of the first entry, from 1; that of the last is no greater than `i64::MAX`.
    pub first_offset: u64,
    /// In order; none for an entry that is not to be counted.
    pub entries: Vec<Option<Priced>>,
    /// When it is taken.
    pub now: OffsetDateTime,
}

impl Batch {
    fn last_offset(&self) -> u64 {
        (self.first_offset + self.entries.len() as u64).saturating_sub(1)
    }
}

/// An entry, with what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Priced {
    /// A key was handed out, for this fee.
    Resolved(Use, Credits),
    /// An outcome came in.
    Reported(Reported, Charge),
    /// A cooldown began or ended.
    Health(HealthChange),
}

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The last entry of the journal that was taken, with this batch or before.
    pub offset: u64,
    /// The active keys that a report of this batch says are rejected.
    pub rejected: Vec<Rejected>,
}

/// A key that callers say is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Which.
    pub name: KeyName,
    /// Which of its secrets: the present one.
    pub secret_version: u32,
    /// How often in a row, up to now, without a call that went well in between.
    pub in_a_row: u32,
}

impl Store {
    /// Takes a batch, all or nothing. On SQLite this is a write among the others; on PostgreSQL it has a transaction of its
    /// own, so that it holds up no mutation.
    ///
    /// # Errors
    /// `JOURNAL_GAP`; `STORAGE_UNAVAILABLE` when the database fails: then it is not known whether the batch was taken.
    pub async fn take(&self, batch: Batch) -> Result<Taken, Fault> {
        let _turn = self.batches.acquire().await.map_err(|_| StoreError::Closed)?; // it is never closed
        let Some(database) = &self.journals else {
            let job = self.write(move |txn| Box::pin(async move { Ok(fold(txn.db(), &batch).await?) }));
            return Ok(job.await?.0);
        };
        let taken = tokio::time::timeout(PATIENCE, take_alone(database, &batch)).await;
        Ok(taken.unwrap_or(Err(StoreError::Stuck))?)
    }
}

async fn take_alone(database: &DatabaseConnection, batch: &Batch) -> Result<Taken, StoreError> {
    let txn = begun(database).await?;
    let taken = fold(&txn, batch).await?;
    txn.commit().await?;
    Ok(taken)
}

/// Each idle connection may have died: then there is another, and nothing is done yet.
async fn begun(database: &DatabaseConnection) -> Result<DatabaseTransaction, StoreError> {
    let mut again = WRITERS;
    loop {
        match begin(database).await {
            Err(StoreError::Database(error)) if again > 0 && is_broken(&error) => again -= 1,
            begun => return begun,
        }
    }
}

async fn fold(db: &impl ConnectionTrait, batch: &Batch) -> Result<Taken, StoreError> {
    let before = lock(db, batch).await?;
    if batch.first_offset > before + 1 {
        return Err(StoreError::JournalGap);
    }
    let last = batch.last_offset();
    if last <= before {
        return Ok(Taken { offset: before, rejected: Vec::new() });
    }
    let numbered = (batch.first_offset..).zip(&batch.entries);
    let new = numbered.filter(|(offset, _)| *offset > before).filter_map(|(_, entry)| entry.as_ref());
    let counted = reported::first_reports(db, new.collect(), batch.now).await?;
    cells::add(db, &counted).await?;
    let rejected = keys::tell(db, &counted, batch.now).await?;
    set_offset(db, batch, last).await?;
    forget(db, "reported_resolutions", "replica, block", "newest_time", batch.now).await?;
    forget(db, "key_health", "key_id, model", "end_time", batch.now).await?;
    Ok(Taken { offset: last, rejected })
}

/// The last entry that was taken of this journal. Until the end of the transaction nobody else takes of it.
async fn lock(db: &impl ConnectionTrait, batch: &Batch) -> Result<u64, StoreError> {
    const CORRUPT: StoreError = StoreError::Corrupt("journals");
    let columns = [("replica", Kind::Text), ("last_offset", Kind::Long), ("update_time", Kind::Long)];
    let same = "(replica) DO UPDATE SET last_offset = journals.last_offset RETURNING last_offset";
    let row = vec![json!([batch.replica.to_string(), 0, micros(batch.now)])];
    let found = upsert(db, "journals", &columns, same, row).await?.pop().ok_or(CORRUPT)?;
    u64::try_from(found.try_get::<i64>("", "last_offset")?).map_err(|_| CORRUPT)
}

async fn set_offset(db: &impl ConnectionTrait, batch: &Batch, last: u64) -> Result<(), StoreError> {
    use journals::Column;
    let last = i64::try_from(last).map_err(|_| StoreError::Corrupt("journals"))?;
    journals::Entity::update_many()
        .col_expr(Column::LastOffset, Expr::value(last))
        .col_expr(Column::UpdateTime, Expr::value(micros(batch.now)))
        .filter(Column::Replica.eq(batch.replica.to_string()))
        .exec(db)
        .await?;
    Ok(())
}

/// Forgets rows of long ago, but for what others have locked: they would wait for each other.
async fn forget(
    db: &impl ConnectionTrait,
    table: &str,
    key: &str,
    time: &str,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let backend = db.get_database_backend();
    let unlocked = if backend == DbBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!(
        "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {time} < $1 LIMIT $2 {unlocked})"
    );
    let values: [Value; 2] = [micros(now - KNOWN).into(), FORGOTTEN_AT_ONCE.into()];
    db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(())
}
