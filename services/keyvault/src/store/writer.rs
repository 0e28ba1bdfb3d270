//! The one writer of a replica: it takes what is waiting, up to a batch, through one transaction.
//!
//! The lock on the audit head lets one transaction at a time go on anyway, so waiting for each commit in turn would be the
//! slowest way. Within a batch each job stands alone: what fails is rolled back to its own beginning, and nobody is
//! answered before the commit.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use claviger_core::fault::Fault;
use claviger_core::position::Position;
use futures::FutureExt;
use futures::future::BoxFuture;
use sea_orm::DatabaseConnection;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::bound::Binder;
use super::{Store, StoreError, WriteTxn};

/// Jobs in one transaction at most. More would hold the lock for longer than another replica should wait.
const BATCH: usize = 128;
/// Jobs that wait at most; who comes then, waits for a place.
pub(super) const QUEUE: usize = 1_024;

/// A job with its way back to who sent it. Without a transaction it only says why there is none.
pub(super) type Work = Box<dyn for<'t> FnOnce(Result<&'t mut WriteTxn, Fault>) -> BoxFuture<'t, Ran> + Send>;

/// What came of a job. Dropped without being finished, its sender is told of a defect.
pub(super) struct Ran {
    keep: bool,
    finish: Box<dyn FnOnce(Result<(), Fault>) + Send>,
}

/// Runs jobs, until all stores that could send one are gone.
#[derive(Debug)]
pub struct Writer {
    pub(super) database: DatabaseConnection,
    pub(super) binder: Arc<Binder>,
    pub(super) epoch: Uuid,
    pub(super) queue: mpsc::Receiver<Work>,
}

impl Store {
    /// Runs a job in a transaction that holds the audit head, and answers once it is committed: with what the job made
    /// and the point of history behind it. A job that fails leaves nothing. It goes on when the caller waits no longer.
    ///
    /// # Errors
    /// The job's; `STORAGE_UNAVAILABLE` when the database fails: then it is not known whether the job was done.
    pub async fn write<T, J>(&self, job: J) -> Result<(T, Position), Fault>
    where
        T: Send + 'static,
        J: for<'t> FnOnce(&'t mut WriteTxn) -> BoxFuture<'t, Result<T, Fault>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let span = tracing::Span::current();
        let work: Work = Box::new(move |txn| {
            let run = async move {
                let result = match txn {
                    Ok(txn) => job(txn).await.map(|value| (value, txn.base())),
                    Err(fault) => Err(fault),
                };
                let keep = result.is_ok();
                let finish = move |committed: Result<(), Fault>| {
                    let _ = answer.send(result.and_then(|done| committed.map(|()| done))); // the caller may have gone
                };
                Ran { keep, finish: Box::new(finish) }
            };
            Box::pin(run.instrument(span))
        });
        self.queue.send(work).await.map_err(|_| Fault::from(StoreError::Closed))?;
        answered.await.map_err(|_| Fault::internal())?
    }
}

impl Writer {
    /// Runs jobs until the stores are gone, or until `stop`; what is waiting then is still done.
    ///
    /// # Errors
    /// Never.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        loop {
            let first = tokio::select! {
                biased;
                first = self.queue.recv() => first,
                () = stop.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            };
            let Some(first) = first else { return Ok(()) };
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = self.queue.try_recv()
            {
                batch.push(next);
            }
            self.transact(batch).await;
        }
    }

    /// One transaction for a batch; then everyone is answered.
    async fn transact(&self, batch: Vec<Work>) {
        let together = batch.len() > 1;
        let mut ran = Vec::with_capacity(batch.len());
        let begun = WriteTxn::begin(&self.database, self.binder.clone(), self.epoch).await;
        let mut txn = begun.map_err(Fault::from);
        for work in batch {
            match &mut txn {
                Ok(open) => {
                    let (done, savepoint) = open.attempt(work, together).await;
                    ran.extend(done);
                    if let Err(fault) = savepoint {
                        txn = Err(fault);
                    }
                }
                Err(fault) => ran.push(work(Err(fault.clone())).await),
            }
        }
        let committed = match txn {
            Ok(txn) if ran.iter().any(|done| done.keep) => txn.commit().await.map_err(Fault::from),
            Ok(txn) => txn.roll_back().await.map_err(Fault::from),
            Err(fault) => Err(fault),
        };
        for done in ran {
            (done.finish)(committed.clone());
        }
    }
}

impl WriteTxn {
    /// Runs a job. Among others it has a savepoint of its own, and what fails goes back to there. Without a savepoint's
    /// end the whole transaction is lost; the job still has its sender to answer.
    async fn attempt(&mut self, work: Work, together: bool) -> (Option<Ran>, Result<(), Fault>) {
        if !together {
            return (caught(work, self).await, Ok(()));
        }
        let mut inner = match self.nested().await {
            Ok(inner) => inner,
            Err(error) => {
                let fault = Fault::from(error);
                return (Some(work(Err(fault.clone())).await), Err(fault));
            }
        };
        let done = caught(work, &mut inner).await;
        let keep = done.as_ref().is_some_and(|done| done.keep);
        let ended = if keep { self.adopt(inner).await } else { inner.roll_back().await };
        (done, ended.map_err(Fault::from))
    }
}

/// None for a job that panicked: its sender is told of a defect when the answer's channel is dropped.
async fn caught(work: Work, txn: &mut WriteTxn) -> Option<Ran> {
    let done = AssertUnwindSafe(work(Ok(txn))).catch_unwind().await;
    done.inspect_err(|_| tracing::error!("a write panicked")).ok()
}
