//! The writer's access to the database: a transaction from the moment that a job asks for one and, for a job that is alone
//! and only adds a key, a way without one.
//!
//! On PostgreSQL a transaction that adds a key is five exchanges with the server. Two are enough: a look that sees all that
//! the key is put beside together with the head of the chain, and one statement that moves the head if it is still the
//! one seen, and adds the event and the key if it did. Every write moves the head, so while it stays nothing has changed.

use std::fmt;
use std::mem;
use std::sync::Arc;

use claviger_core::audit::Event;
use claviger_core::ids::Owner;
use claviger_core::position::Position;
use sea_orm::sea_query::{Expr, InsertStatement, Query, UpdateStatement};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, Iterable, QueryFilter, QueryTrait,
};
use uuid::Uuid;

use super::bound::{Binder, whole};
use super::connect::{FIRST, WRITERS, is_busy, together};
use super::entity::{audit_events, provider_keys};
use super::lane::Lane;
use super::read::{self, Beside};
use super::write::{Next, bound_key, position};
use super::{StoreError, StoredKey, WriteTxn};
use crate::audit_file::Head;

/// What a job writes through.
pub struct Access {
    database: DatabaseConnection,
    binder: Arc<Binder>,
    epoch: Uuid,
    /// The end of the chain as it was seen last. The database is never older, unless someone put it back.
    seen: Head,
    txn: Option<WriteTxn>,
    /// The end of the chain that was reached without a transaction.
    reached: Option<Head>,
    /// What is done without a transaction is done here, until something goes wrong there.
    pub(super) lane: Option<Lane>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("epoch", &self.epoch).field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Access {
    pub(super) fn new(database: DatabaseConnection, binder: Arc<Binder>, epoch: Uuid, seen: Head) -> Self {
        Self { database, binder, epoch, seen, txn: None, reached: None, lane: None }
    }

    /// The transaction, begun if it is not yet.
    ///
    /// # Errors
    /// [`StoreError::Rewound`]; or when the database fails.
    pub async fn hold(&mut self) -> Result<&mut WriteTxn, StoreError> {
        let txn = match self.txn.take() {
            Some(txn) => txn,
            None => self.begin().await?,
        };
        Ok(self.txn.insert(txn))
    }

    /// The point of history that was reached.
    #[must_use]
    pub fn base(&self) -> Position {
        position(self.epoch, self.txn.as_ref().map(WriteTxn::head).or(self.reached).unwrap_or(self.seen))
    }

    /// What a new key of an owner, with a secret of this fingerprint, is put beside, seen without a transaction. None where
    /// that is no gain: when there is one already, and on SQLite.
    ///
    /// # Errors
    /// [`StoreError::Altered`] for the workspace's record; [`StoreError::Rewound`]; or when the database fails.
    pub async fn look(&mut self, owner: &Owner, fingerprint: &[u8]) -> Result<Option<Beside>, StoreError> {
        if self.txn.is_some() || self.database.get_database_backend() != DbBackend::Postgres {
            return Ok(None);
        }
        let mut again = WRITERS;
        let beside = loop {
            match self.look_once(owner, fingerprint).await {
                Err(StoreError::Database(error)) if again > 0 && is_broken(&error) => again -= 1,
                looked => break looked?,
            }
        };
        self.see(beside.head)?;
        Ok(Some(beside))
    }

    async fn look_once(&mut self, owner: &Owner, fingerprint: &[u8]) -> Result<Beside, StoreError> {
        let lane = match self.lane.take() {
            Some(lane) => lane,
            None => Lane::open(&self.database).await?,
        };
        let beside = read::beside(lane.db(), &self.binder, owner, fingerprint).await?;
        self.lane = Some(lane);
        Ok(beside)
    }

    /// Adds a key with the event that tells of it, at once and for good: a job's last step. If the chain no longer ends
    /// where it was seen to, or the database refuses, nothing is done and the answer is no. Whatever else goes wrong, the
    /// log tells whether it was done.
    ///
    /// # Errors
    /// [`StoreError::SlugTaken`]; or when the database fails.
    pub async fn insert_key(&mut self, seen: Head, key: &mut StoredKey, event: &Event) -> Result<bool, StoreError> {
        let backend = self.database.get_database_backend();
        let next = Next::after(seen, event)?;
        let row = bound_key(&self.binder, key, &next.stamp)?;
        let parts = [
            backend.build(&moved_from(seen, &next)),
            backend.build(&added_with_it(next.event)?),
            backend.build(&added_with_it(whole::<_, provider_keys::ActiveModel>(row))?),
        ];
        let Some(lane) = self.lane.take() else { return Ok(false) };
        let added = together(lane.db(), parts).await;
        if let Err(StoreError::Database(error)) = &added
            && !is_busy(error)
        {
            return self.has(next.head).await;
        }
        self.lane = Some(lane);
        self.reached = (added? > 0).then_some(next.head);
        Ok(self.reached.is_some())
    }

    /// Whether an event is on record. With the transaction that asks, what may still be under way comes too late.
    async fn has(&mut self, event: Head) -> Result<bool, StoreError> {
        let before = self.seen;
        let found = audit_events::Entity::find_by_id(event.seq).one(self.hold().await?.db()).await?;
        let is_there = found.is_some_and(|found| found.hash == event.hash);
        if is_there {
            self.seen = before; // the log ended there before
        }
        Ok(is_there)
    }

    /// Makes what was done last, or takes it back: the end of the chain before and now, if anything was done.
    pub(super) async fn end(&mut self, keep: bool) -> Result<Option<(i64, Head)>, StoreError> {
        let reached = self.reached.take();
        let reached = match self.txn.take() {
            Some(txn) if keep => Some(txn.commit().await?),
            Some(txn) => {
                txn.roll_back().await?;
                reached
            }
            None => reached,
        };
        Ok(reached.map(|head| (mem::replace(&mut self.seen, head).seq, head)))
    }

    /// Leaves what is not at its end: it is rolled back.
    pub(super) fn let_go(&mut self) {
        (self.txn, self.reached) = (None, None);
    }

    /// Gives up all connections, and whatever is under way on them.
    pub(super) fn connect_anew(&mut self, database: DatabaseConnection) {
        (self.database, self.lane) = (database, None);
    }

    async fn begin(&mut self) -> Result<WriteTxn, StoreError> {
        let mut again = WRITERS;
        let txn = loop {
            match WriteTxn::begin(&self.database, self.binder.clone(), self.epoch).await {
                Err(StoreError::Database(error)) if again > 0 && is_broken(&error) => again -= 1,
                begun => break begun?,
            }
        };
        self.see(txn.head())?;
        Ok(txn)
    }

    fn see(&mut self, head: Head) -> Result<(), StoreError> {
        if head.seq < self.seen.seq || (head.seq == self.seen.seq && head.hash != self.seen.hash) {
            return Err(StoreError::Rewound);
        }
        self.seen = head;
        Ok(())
    }
}

/// Whether a connection is of no use. Each idle one may have died: then there is another, and nothing is done yet.
pub(super) fn is_broken(error: &DbErr) -> bool {
    !is_busy(error) && !matches!(error, DbErr::ConnectionAcquire(_))
}

/// Moves the head from where it was seen, or does nothing.
fn moved_from(seen: Head, next: &Next) -> UpdateStatement {
    use super::entity::audit_head::Column;
    let still = next.move_head().filter(Column::Seq.eq(seen.seq)).filter(Column::Hash.eq(seen.hash.to_vec()));
    let mut update = still.into_query();
    update.returning_col(Column::Seq).to_owned()
}

/// Adds a row if the first part of the statement did something.
fn added_with_it<A: ActiveModelTrait>(row: A) -> Result<InsertStatement, StoreError> {
    const UNSET: StoreError = StoreError::Corrupt("a column is not set");
    let columns: Vec<_> = <A::Entity as EntityTrait>::Column::iter().collect();
    let values: Option<Vec<_>> = columns.iter().map(|column| row.get(*column).into_value().map(Expr::value)).collect();
    let select = Query::select().exprs(values.ok_or(UNSET)?).from(FIRST).to_owned();
    let mut insert = Query::insert();
    insert.into_table(A::Entity::default()).columns(columns).select_from(select).map_err(|_| UNSET)?;
    Ok(insert)
}
