//! The tasks around the audit log, and their end in good order: what was refused and what was tested live go on record,
//! the writer finishes, the head is logged.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_runtime::shutdown::Supervisor;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::audit_file::Head;
use crate::refusals::{Refusals, Refused};
use crate::store::{Store, Writer};
use crate::usecase::audit::record_refusals;
use crate::usecase::keys::LiveTests;

/// Refusals are drained so often.
const MINUTE: Duration = Duration::from_secs(60);
/// What could not be recorded is tried again after so long.
const RETRY: Duration = Duration::from_secs(5);
/// Refusals in one write.
const AT_ONCE: usize = 256;
/// How long the last refusals may take at shutdown.
const LAST: Duration = Duration::from_secs(2);

/// The head is logged whenever the log passes a multiple of so many events,
const EVENTS: i64 = 1_000;
/// or when it moved, and so much time has passed since the last time.
const PAUSE: Duration = Duration::from_secs(60);
/// It is looked at so often for that, and for what other replicas write.
const LOOK: Duration = Duration::from_secs(1);

/// Starts the writer, and the tasks that write or end with it.
pub(super) fn spawn(supervisor: &Supervisor, store: &Store, writer: Writer, refusals: Arc<Refusals>, live: LiveTests) {
    let (stop_writing, written) = (CancellationToken::new(), CancellationToken::new());
    let refused = record(store.clone(), refusals, MINUTE, supervisor.background());
    let last = async { tokio::join!(refused, live.ended()).0 };
    supervisor.spawn("refused callers", before(stop_writing.clone(), last));
    let (writer, passed) = telling(writer);
    supervisor.spawn("writer", before(written.clone(), writer.run(stop_writing)));
    let heads = Heads { store: store.clone(), passed, logged: None, log };
    supervisor.spawn("audit head", heads.run(supervisor.background(), written));
}

/// Cancels a token when a task has ended, however it did.
async fn before<T>(end: CancellationToken, task: impl Future<Output = T>) -> T {
    let _end = end.drop_guard();
    task.await
}

/// Records refused callers after each pause, and what is left at shutdown. What the database does not take now, waits:
/// meanwhile the counter keeps the rest, in bounded memory.
async fn record(
    store: Store,
    refusals: Arc<Refusals>,
    pause: Duration,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let mut waiting = Vec::new();
    loop {
        let pause = if waiting.is_empty() { pause } else { RETRY };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
        if waiting.is_empty() {
            waiting = refusals.drain(OffsetDateTime::now_utc());
        }
        put(&store, &mut waiting).await;
    }
    waiting.extend(refusals.drain_all());
    let lost = tokio::time::timeout(LAST, put(&store, &mut waiting)).await.is_err() || !waiting.is_empty();
    if lost {
        tracing::error!(count = waiting.len(), "refused callers are lost: the database did not take them");
    }
    Ok(())
}

/// Records from the front; what is left could not be.
async fn put(store: &Store, waiting: &mut Vec<Refused>) {
    while !waiting.is_empty() {
        let some = AT_ONCE.min(waiting.len());
        if let Err(fault) = record_refusals(store, &waiting[..some]).await {
            tracing::warn!(
                reason = fault.reason.as_str(),
                waiting = waiting.len(),
                "refused callers wait to be recorded"
            );
            return;
        }
        waiting.drain(..some);
    }
}

/// A writer that tells of each head with which its log passes a multiple: one in so many events.
fn telling(writer: Writer) -> (Writer, mpsc::UnboundedReceiver<Head>) {
    let (tell, passed) = mpsc::unbounded_channel();
    let writer = writer.telling(move |before, head| {
        if passes(before, head.seq) {
            let _ = tell.send(head); // nobody logs any more
        }
    });
    (writer, passed)
}

/// Logs the head as it moves, and at the end, when nothing is written any more.
struct Heads<L> {
    store: Store,
    passed: mpsc::UnboundedReceiver<Head>,
    /// The newest that was logged, and when.
    logged: Option<(i64, Instant)>,
    log: L,
}

impl<L: Fn(&Head)> Heads<L> {
    async fn run(mut self, stop: CancellationToken, written: CancellationToken) -> Result<(), Infallible> {
        self.look().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(head) = self.passed.recv() => self.offer(&head),
                () = tokio::time::sleep(LOOK) => self.look().await,
            }
        }
        written.cancelled().await;
        self.offer_passed();
        match self.store.audit_head().await {
            Ok(head) if self.logged.is_none_or(|(seq, _)| head.seq > seq) => (self.log)(&head),
            _ => {}
        }
        Ok(())
    }

    async fn look(&mut self) {
        let Ok(head) = self.store.audit_head().await else { return }; // readiness tells of a lost database
        self.offer_passed(); // what the writer told meanwhile is older
        self.offer(&head);
    }

    fn offer_passed(&mut self) {
        while let Ok(head) = self.passed.try_recv() {
            self.offer(&head);
        }
    }

    fn offer(&mut self, head: &Head) {
        let logged = self.logged.map(|(seq, at)| (seq, at.elapsed()));
        if is_due(logged, head.seq) {
            (self.log)(head);
            self.logged = Some((head.seq, Instant::now()));
        }
    }
}

/// Whether a head is logged, after the last one that was and the time since then.
fn is_due(logged: Option<(i64, Duration)>, head: i64) -> bool {
    logged.is_none_or(|(seq, since)| passes(seq, head) || (head > seq && since >= PAUSE))
}

fn passes(before: i64, after: i64) -> bool {
    before / EVENTS < after / EVENTS
}

/// In the form that `claviger-keyvault audit verify --head` takes.
fn log(head: &Head) {
    tracing::info!(audit.seq = head.seq, audit.head = %head, "audit head");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Mutex;

    use claviger_core::reason::Reason;

    use super::*;
    use crate::usecase::audit::tests::{alter, append, open};

    #[tokio::test]
    async fn what_the_database_does_not_take_waits_and_is_recorded_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keyvault.db");
        let (store, writer, _) = open(&file).await;
        tokio::spawn(writer.run(CancellationToken::new()));
        let minute = OffsetDateTime::UNIX_EPOCH;
        let refused = |count| Refused { minute, peer: "127.0.0.1".into(), reason: Reason::CallerUnknown, count };
        let mut waiting: Vec<_> = (1..=600).map(refused).collect();

        alter(&file, "ALTER TABLE audit_events RENAME TO away").await;
        put(&store, &mut waiting).await;
        assert_eq!(waiting.len(), 600);
        alter(&file, "ALTER TABLE away RENAME TO audit_events").await;
        put(&store, &mut waiting).await;
        assert_eq!((waiting.len(), store.audit_head().await.unwrap().seq), (0, 600));
    }

    #[tokio::test]
    async fn what_is_left_is_recorded_before_the_writer_stops() {
        let folder = tempfile::tempdir().unwrap();
        let (store, writer, _) = open(&folder.path().join("keyvault.db")).await;
        let refusals = Arc::new(Refusals::default());
        refusals.count(OffsetDateTime::now_utc(), None, Reason::CallerUnknown);

        let (stop, stop_writing) = (CancellationToken::new(), CancellationToken::new());
        let recording = before(stop_writing.clone(), record(store.clone(), refusals, MINUTE, stop.clone()));
        stop.cancel();
        let (_, writing) = tokio::join!(recording, writer.run(stop_writing));
        writing.unwrap();
        assert_eq!(store.audit_head().await.unwrap().seq, 1);
    }

    #[tokio::test]
    async fn a_minute_that_is_over_is_recorded_while_the_vault_runs() {
        let folder = tempfile::tempdir().unwrap();
        let (store, writer, _) = open(&folder.path().join("keyvault.db")).await;
        tokio::spawn(writer.run(CancellationToken::new()));
        let refusals = Arc::new(Refusals::default());
        refusals.count(OffsetDateTime::now_utc() - MINUTE, None, Reason::CallerUnknown);
        tokio::spawn(record(store.clone(), refusals, Duration::from_millis(20), CancellationToken::new()));
        let recorded = async {
            while store.audit_head().await.unwrap().seq == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), recorded).await.unwrap();
    }

    #[test]
    fn a_head_is_due_at_the_start_each_thousand_and_each_minute_in_which_it_moved() {
        let seconds = Duration::from_secs;
        for (logged, head, due) in [
            (None, 0, true),
            (None, 7, true),
            (Some((0, seconds(3_600))), 0, false),
            (Some((5, seconds(3_600))), 5, false),
            (Some((5, seconds(59))), 6, false),
            (Some((5, seconds(60))), 6, true),
            (Some((0, seconds(0))), 999, false),
            (Some((0, seconds(0))), 1_000, true),
            (Some((999, seconds(0))), 1_000, true),
            (Some((1_000, seconds(0))), 1_001, false),
            (Some((1_000, seconds(0))), 1_999, false),
            (Some((1_001, seconds(0))), 2_000, true),
            (Some((998, seconds(0))), 5_003, true),
            (Some((1_002, seconds(61))), 1_001, false), // a look was faster
        ] {
            assert_eq!(is_due(logged, head), due, "{logged:?} {head}");
        }
    }

    /// Far faster than anyone looks.
    #[tokio::test(flavor = "multi_thread")]
    async fn each_thousand_is_logged_with_the_head_of_the_commit_that_passes_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, writer, _) = open(&folder.path().join("keyvault.db")).await;
        let heads = Arc::new(Mutex::new(Vec::new()));
        let log = {
            let heads = heads.clone();
            move |head: &Head| heads.lock().unwrap().push(*head)
        };
        let (writer, passed) = telling(writer);
        let (stop, stop_writing, written) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        tokio::spawn(before(written.clone(), writer.run(stop_writing.clone())));
        let logging = Heads { store: store.clone(), passed, logged: None, log };
        let logging = tokio::spawn(logging.run(stop.clone(), written));
        for _ in 0..17 {
            append(&store, 300).await;
        }
        stop.cancel();
        stop_writing.cancel();
        logging.await.unwrap().unwrap();

        let heads = heads.lock().unwrap().clone();
        let seqs: Vec<_> = heads.iter().map(|head| head.seq).collect();
        for passing in [1_200, 2_100, 3_000, 4_200, 5_100] {
            assert!(seqs.contains(&passing), "{seqs:?}");
        }
        assert!(seqs.is_sorted() && seqs.last() == Some(&5_100), "{seqs:?}");
        for head in heads.iter().filter(|head| head.seq > 0) {
            assert_eq!(store.event_head(head.seq).await.unwrap(), *head);
        }
    }
}
