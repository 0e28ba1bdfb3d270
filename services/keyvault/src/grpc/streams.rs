//! Streams of answers that shutdown breaks off.

use std::pin::Pin;
use std::time::Duration;

use claviger_core::fault::Fault;
use claviger_core::reason::Reason;
use claviger_proto::status;
use futures::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// A stream of answers.
pub(super) type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Ends a stream at shutdown with `UNAVAILABLE`, so that nobody takes what came so far for all of it. One whose last message
/// is out ends well.
pub(super) fn until<T: Send + 'static>(
    shutdown: CancellationToken,
    answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    is_last: fn(&T) -> bool,
) -> Streamed<T> {
    let open = Some((Box::pin(answers), shutdown));
    Box::pin(stream::unfold(open, move |open| async move {
        let (mut answers, shutdown) = open?;
        let next = tokio::select! {
            biased; // what is ready is told, the end too
            next = answers.next() => next?,
            () = shutdown.cancelled() => return Some((Err(stopping()), None)),
        };
        let is_over = next.as_ref().map_or(true, is_last);
        Some((next, (!is_over).then_some((answers, shutdown))))
    }))
}

fn stopping() -> Status {
    let fault = Fault::new(Reason::StorageUnavailable, "the vault is shutting down: call again");
    status::of(&fault.retry_after(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests;
