//! The tasks around the audit log, and their end in good order: what was refused goes on record, the writer finishes, the
//! head is logged.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_runtime::shutdown::Supervisor;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::audit_file::Head;
use crate::refusals::{Refusals, Refused};
use crate::store::{Store, Writer};
use crate::usecase::audit::record_refusals;

/// Refusals are drained so often.
const MINUTE: Duration = Duration::from_secs(60);
/// What could not be recorded is tried again after so long.
const RETRY: Duration = Duration::from_secs(5);
/// Refusals in one write.
const AT_ONCE: usize = 256;
/// How long the last refusals may take at shutdown.
const LAST: Duration = Duration::from_secs(2);

/// The head is looked at so often,
const LOOK: Duration = Duration::from_secs(1);
/// and logged when it is so much farther,
const EVENTS: i64 = 1_000;
/// or when it moved so long ago.
const PAUSE: Duration = Duration::from_secs(60);

/// Starts the writer, and the tasks that write or end with it.
pub(super) fn spawn(supervisor: &Supervisor, store: &Store, writer: Writer, refusals: Arc<Refusals>) {
    let (stop_writing, written) = (CancellationToken::new(), CancellationToken::new());
    supervisor.spawn(
        "refused callers",
        before(stop_writing.clone(), record(store.clone(), refusals, supervisor.background())),
    );
    supervisor.spawn("writer", before(written.clone(), writer.run(stop_writing)));
    supervisor.spawn("audit head", log_head(store.clone(), supervisor.background(), written));
}

/// Cancels a token when a task has ended, however it did.
async fn before<T>(end: CancellationToken, task: impl Future<Output = T>) -> T {
    let _end = end.drop_guard();
    task.await
}

/// Records refused callers once a minute, and what is left at shutdown. What the database does not take now, waits:
/// meanwhile the counter keeps the rest, in bounded memory.
async fn record(store: Store, refusals: Arc<Refusals>, stop: CancellationToken) -> Result<(), Infallible> {
    let mut waiting = Vec::new();
    loop {
        let pause = if waiting.is_empty() { MINUTE } else { RETRY };
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

/// Logs the head as it moves, and at the end, when nothing is written any more.
async fn log_head(store: Store, stop: CancellationToken, written: CancellationToken) -> Result<(), Infallible> {
    let mut logged: Option<i64> = None;
    let mut since = Instant::now();
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let Ok(head) = store.audit_head().await else { continue }; // readiness tells of a lost database
        let ahead = logged.map_or(EVENTS, |logged| head.seq.saturating_sub(logged));
        if ahead >= EVENTS || (ahead != 0 && since.elapsed() >= PAUSE) {
            log(&head);
            logged = Some(head.seq);
            since = Instant::now();
        }
    }
    written.cancelled().await;
    match store.audit_head().await {
        Ok(head) if logged != Some(head.seq) => log(&head),
        _ => {}
    }
    Ok(())
}

/// In the form that `claviger-keyvault audit verify --head` takes.
fn log(head: &Head) {
    tracing::info!(audit.seq = head.seq, audit.head = %head, "audit head");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use claviger_core::reason::Reason;
    use claviger_crypto::Keyring;
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::store::{Database, Location, Prepared};
    use crate::usecase::custody::{Custody, CustodyError};

    async fn open(file: &Path) -> (Store, Writer) {
        let keyring = Keyring::generate("2026-01-01T00:00:00Z").unwrap();
        let database =
            Database::open(&Location::Sqlite(file.to_owned()), Prepared::ByItself, |_| Ok::<_, CustodyError>(()))
                .await
                .unwrap();
        let (_, rows) = Custody::load(keyring, &database, OffsetDateTime::now_utc()).await.unwrap();
        database.into_store(rows)
    }

    #[tokio::test]
    async fn what_the_database_does_not_take_waits_and_is_recorded_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keyvault.db");
        let (store, writer) = open(&file).await;
        tokio::spawn(writer.run(CancellationToken::new()));
        let beside = sea_orm::Database::connect(format!("sqlite://{}", file.display())).await.unwrap();
        let minute = OffsetDateTime::UNIX_EPOCH;
        let refused = |count| Refused { minute, peer: "127.0.0.1".into(), reason: Reason::CallerUnknown, count };
        let mut waiting: Vec<_> = (1..=600).map(refused).collect();

        beside.execute_unprepared("ALTER TABLE audit_events RENAME TO away").await.unwrap();
        put(&store, &mut waiting).await;
        assert_eq!(waiting.len(), 600);
        beside.execute_unprepared("ALTER TABLE away RENAME TO audit_events").await.unwrap();
        put(&store, &mut waiting).await;
        assert_eq!((waiting.len(), store.audit_head().await.unwrap().seq), (0, 600));
    }

    #[tokio::test]
    async fn what_is_left_is_recorded_before_the_writer_stops() {
        let folder = tempfile::tempdir().unwrap();
        let (store, writer) = open(&folder.path().join("keyvault.db")).await;
        let refusals = Arc::new(Refusals::default());
        refusals.count(OffsetDateTime::now_utc(), None, Reason::CallerUnknown);

        let (stop, stop_writing) = (CancellationToken::new(), CancellationToken::new());
        let recording = before(stop_writing.clone(), record(store.clone(), refusals, stop.clone()));
        stop.cancel();
        let (_, writing) = tokio::join!(recording, writer.run(stop_writing));
        writing.unwrap();
        assert_eq!(store.audit_head().await.unwrap().seq, 1);
    }
}
