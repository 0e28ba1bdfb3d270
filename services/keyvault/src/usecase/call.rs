//! One call of a mutation: who calls, and what is remembered of it should it be sent again.

use std::sync::Arc;

use claviger_core::audit::Origin;
use claviger_core::fault::Fault;
use claviger_core::position::Position;
use futures::future::BoxFuture;

use super::now;
use crate::store::{Access, Once, Store, WriteTxn};

/// A call whose answer is made of a `T`.
pub struct Call<T> {
    /// Who calls, for the record.
    pub origin: Origin,
    memo: Option<Memo<T>>,
}

struct Memo<T> {
    once: Once,
    encode: Encode<T>,
}

type Encode<T> = Arc<dyn Fn(&T, Position) -> Vec<u8> + Send + Sync>;

/// What is answered.
#[derive(Debug)]
pub enum Answer<T> {
    /// The call was done now: what it made, and the point of history that it made.
    New(T, Position),
    /// It was done before: the first answer, as it was remembered.
    Again(Vec<u8>),
}

impl<T: Send + 'static> Call<T> {
    /// A call that is not remembered.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        Self { origin, memo: None }
    }

    /// A call that is remembered with its answer, as `encode` makes it.
    #[must_use]
    pub fn once(origin: Origin, once: Once, encode: impl Fn(&T, Position) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self { origin, memo: Some(Memo { once, encode: Arc::new(encode) }) }
    }

    /// The first answer, if the call was done before. For calls with slow steps before their write.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`; `WORKSPACE_ALTERED` for an altered answer.
    pub async fn recall(&self, store: &Store) -> Result<Option<Answer<T>>, Fault> {
        let Some(memo) = &self.memo else { return Ok(None) };
        Ok(store.recall(&memo.once, now()).await?.map(Answer::Again))
    }

    /// Does the call in one write, unless it was done before.
    ///
    /// # Errors
    /// The job's, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`; `WORKSPACE_ALTERED` for an altered answer.
    pub async fn write<J>(self, store: &Store, job: J) -> Result<Answer<T>, Fault>
    where
        J: for<'t> FnOnce(&'t mut WriteTxn) -> BoxFuture<'t, Result<T, Fault>> + Send + 'static,
    {
        self.write_with(store, |access| Box::pin(async { job(access.hold().await?).await })).await
    }

    /// As [`Call::write`], for a job that asks for its transaction itself, or can do without one.
    ///
    /// # Errors
    /// As [`Call::write`].
    pub async fn write_with<J>(self, store: &Store, job: J) -> Result<Answer<T>, Fault>
    where
        J: for<'a> FnOnce(&'a mut Access) -> BoxFuture<'a, Result<T, Fault>> + Send + 'static,
    {
        let Some(Memo { once, encode }) = self.memo else {
            let (value, at) = store.write_with(job).await?;
            return Ok(Answer::New(value, at));
        };
        let once_only = store.write_with(move |access| {
            Box::pin(async move {
                if let Some(first) = access.hold().await?.recall(&once, now()).await? {
                    return Ok(Err(first));
                }
                let value = job(access).await?;
                let txn = access.hold().await?;
                txn.remember(&once, encode(&value, txn.base()), now()).await?;
                Ok(Ok(value))
            })
        });
        let (done, at) = once_only.await?;
        Ok(match done {
            Ok(value) => Answer::New(value, at),
            Err(first) => Answer::Again(first),
        })
    }
}
