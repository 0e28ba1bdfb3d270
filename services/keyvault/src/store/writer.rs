//! The one writer of a replica: it takes what is waiting, up to a batch, through one transaction. What waits alone may do
//! without ([`Access`]).
//!
//! The lock on the audit head lets one transaction at a time go on anyway, so waiting for each commit in turn would be the
//! slowest way. Within a batch each job stands alone: what fails is rolled back to its own beginning, and nobody is
//! answered before the commit.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use claviger_core::fault::Fault;
use claviger_core::position::Position;
use claviger_crypto::GENESIS;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::connect::{Location, writer};
use super::error::unavailable;
use super::{Access, Store, StoreError, WriteTxn};
use crate::audit_file::Head;

/// Jobs in one transaction at most. More would hold the lock for longer than another replica should wait.
const BATCH: usize = 128;
/// Jobs that wait at most; who comes then, waits for a place.
pub(super) const QUEUE: usize = 1_024;
/// How long a transaction of the service may take. A server that is gone without a word would hold it for ever.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// The end of an empty chain.
pub(super) const START: Head = Head { seq: 0, hash: GENESIS };

/// A job with its way back to who sent it. Dropped, it tells its sender that the database cannot be used.
pub(super) type Work = Box<dyn for<'a> FnOnce(&'a mut Access) -> BoxFuture<'a, Ran> + Send>;

/// What came of a job.
pub(super) struct Ran {
    keep: bool,
    finish: Box<dyn FnOnce(Result<(), Fault>) + Send>,
}

/// Told of each commit: where the log ended before, and where it ends now.
pub(super) type Told = Box<dyn Fn(i64, Head) + Send + Sync>;

/// Runs jobs, until all stores that could send one are gone.
pub struct Writer {
    pub(super) location: Location,
    pub(super) access: Access,
    pub(super) queue: mpsc::Receiver<Work>,
    /// How long a transaction may take.
    pub(super) patience: Duration,
    pub(super) told: Option<Told>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("access", &self.access).finish_non_exhaustive()
    }
}

impl Store {
    /// Runs a job in a transaction that holds the audit head, and answers once it is committed: with what the job made
    /// and the point of history behind it. A job that fails or panics leaves nothing. It goes on when the caller waits no
    /// longer.
    ///
    /// # Errors
    /// The job's; `INTERNAL` for one that panics; `STORAGE_UNAVAILABLE` when the database fails: then it is not known
    /// whether the job was done.
    pub async fn write<T, J>(&self, job: J) -> Result<(T, Position), Fault>
    where
        T: Send + 'static,
        J: for<'t> FnOnce(&'t mut WriteTxn) -> BoxFuture<'t, Result<T, Fault>> + Send + 'static,
    {
        self.write_with(|access| Box::pin(async { job(access.hold().await?).await })).await
    }

    /// As [`Store::write`], for a job that asks for its transaction itself, or can do without one. What such a job has done
    /// by [`Access::insert_key`] stays.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write_with<T, J>(&self, job: J) -> Result<(T, Position), Fault>
    where
        T: Send + 'static,
        J: for<'a> FnOnce(&'a mut Access) -> BoxFuture<'a, Result<T, Fault>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let span = tracing::Span::current();
        let work: Work = Box::new(move |access| {
            let run = async move {
                let result = caught(job(access)).await.map(|value| (value, access.base()));
                let keep = result.is_ok();
                let finish = move |committed: Result<(), Fault>| {
                    let _ = answer.send(result.and_then(|done| committed.map(|()| done))); // the caller may have gone
                };
                Ran { keep, finish: Box::new(finish) }
            };
            Box::pin(run.instrument(span))
        });
        self.queue.send(work).await.map_err(|_| Fault::from(StoreError::Closed))?;
        answered.await.map_err(|_| unavailable())?
    }
}

async fn caught<T>(job: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    AssertUnwindSafe(job).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a write panicked");
        Err(Fault::internal())
    })
}

impl Writer {
    /// Has someone told of each commit: of the number of the newest event before, and of the head now. It must not block.
    #[must_use]
    pub fn telling(self, told: impl Fn(i64, Head) + Send + Sync + 'static) -> Self {
        Self { told: Some(Box::new(told)), ..self }
    }

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
            self.answer(batch).await;
        }
    }

    /// One transaction for a batch; then everyone is answered.
    async fn answer(&mut self, batch: Vec<Work>) {
        let mut ran = Vec::with_capacity(batch.len());
        let done = tokio::time::timeout(self.patience, self.transact(batch, &mut ran)).await;
        self.access.let_go();
        let done = match done {
            Ok(done) => done,
            Err(_) => {
                self.connect_anew().await;
                Err(StoreError::Stuck)
            }
        };
        let done = done.map_err(Fault::from);
        for ran in ran {
            (ran.finish)(done.clone());
        }
    }

    async fn transact(&mut self, batch: Vec<Work>, ran: &mut Vec<Ran>) -> Result<(), StoreError> {
        let together = batch.len() > 1;
        for work in batch {
            // alone, a job needs no mark: what it leaves is rolled back with the transaction
            let mark = if together { Some(self.access.hold().await?.mark().await?) } else { None };
            let done = work(&mut self.access).await;
            let undo = mark.filter(|_| !done.keep);
            ran.push(done);
            if let Some(mark) = undo {
                self.access.hold().await?.back_to(mark).await?;
            }
        }
        let keep = ran.iter().any(|done| done.keep);
        let moved = self.access.end(keep).await?;
        if let (Some((before, head)), Some(told)) = (moved, &self.told) {
            told(before, head);
        }
        Ok(())
    }

    /// A connection that hangs is left to itself: should it go on, it may be in a transaction that nobody knows of.
    async fn connect_anew(&mut self) {
        match writer(&self.location).await {
            Ok(database) => self.access.connect_anew(database),
            Err(error) => tracing::error!(%error, "the writer has no connection"),
        }
    }
}
