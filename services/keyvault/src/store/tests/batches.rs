//! Jobs that share a transaction: each stands alone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_core::position::Position;
use tokio::sync::Notify;

use super::alone::alone;
use super::*;
use crate::store::connect::{WRITERS, begin};

both! {
    a_failed_job_leaves_nothing_and_its_neighbours_succeed,
    a_job_that_panics_leaves_nothing_and_its_neighbours_succeed,
    a_failed_or_panicking_job_alone_leaves_nothing,
    a_job_goes_on_when_its_caller_waits_no_longer,
    a_job_sees_what_was_written_before_it_in_its_batch,
    of_a_batch_that_cannot_commit_nobody_is_told_success,
    what_waits_at_the_end_is_done_and_then_nothing_is_taken,
    a_transaction_that_hangs_is_given_up,
    a_database_that_was_put_back_is_not_written_to,
    a_lock_is_waited_for_once,
}

type Answer = JoinHandle<Result<u64, Fault>>;

/// Jobs, in their order, that run in one transaction: they queue up behind one that waits for them.
async fn batch<const N: usize>(store: &Store, jobs: [fn(&Store) -> Answer; N]) -> [Answer; N] {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (first, begins, goes) = (store.clone(), begun.clone(), go.clone());
    let first = tokio::spawn(async move {
        let job = first.write(move |_| {
            Box::pin(async move {
                begins.notify_one();
                goes.notified().await;
                Ok(())
            })
        });
        job.await
    });
    begun.notified().await;
    let mut answers = Vec::new();
    for (number, job) in jobs.into_iter().enumerate() {
        answers.push(job(store));
        while store.queue.max_capacity() - store.queue.capacity() <= number {
            tokio::task::yield_now().await;
        }
    }
    go.notify_one();
    first.await.unwrap().unwrap();
    answers.try_into().unwrap()
}

/// Stores the key of a slug and then does what a test wants.
pub(super) fn store_and(store: &Store, slug: &str, then: fn() -> Result<(), Fault>) -> Answer {
    let (store, mut stored) = (store.clone(), key("workspaces/acme", slug));
    tokio::spawn(async move {
        let job = store.write(move |txn| {
            Box::pin(async move {
                let created = of_key(&stored, Action::KeyCreated);
                txn.insert_key(&mut stored, &created).await?;
                then()?;
                Ok(stored.seq)
            })
        });
        job.await.map(|(seq, Position { seq: at, .. })| {
            assert_eq!(seq, at);
            seq
        })
    })
}

fn refuse() -> Result<(), Fault> {
    Err(Fault::new(Reason::PlanRequired, "a test's"))
}

#[expect(clippy::panic, reason = "that is what is tested")]
fn panics() -> Result<(), Fault> {
    panic!("a job of a test")
}

pub(super) async fn slugs(store: &Store) -> Vec<String> {
    let owner = Owner { tenant: tenant("workspaces/acme"), user: None };
    let mut slugs: Vec<_> = store.neighbours(&owner, b"").await.unwrap().slugs.into_iter().collect();
    slugs.sort();
    slugs
}

async fn a_failed_job_leaves_nothing_and_its_neighbours_succeed(place: Place) {
    let opened = place.open().await;
    let store = &opened.store;
    let jobs: [fn(&Store) -> Answer; 5] = [
        |store| store_and(store, "one", || Ok(())),
        |store| store_and(store, "refused", refuse),
        |store| store_and(store, "one", || Ok(())), // a statement that fails breaks a transaction on PostgreSQL
        |store| store_and(store, "two", || Ok(())),
        |store| store_and(store, "refused", || Ok(())),
    ];
    let [one, refused, taken, two, three] = batch(store, jobs).await;
    assert_eq!(one.await.unwrap().unwrap(), 1);
    assert_eq!(refused.await.unwrap().unwrap_err().reason, Reason::PlanRequired);
    assert!(is_taken(&taken.await.unwrap()));
    assert_eq!((two.await.unwrap().unwrap(), three.await.unwrap().unwrap()), (2, 3));
    assert_eq!(
        (slugs(store).await, store.seq().await.unwrap()),
        (vec!["one".into(), "refused".into(), "two".into()], 3)
    );
    assert_eq!(opened.raw.column::<i64>("SELECT seq FROM audit_events ORDER BY seq").await, [1, 2, 3]);
}

async fn a_job_that_panics_leaves_nothing_and_its_neighbours_succeed(place: Place) {
    let opened = place.open().await;
    let store = &opened.store;
    let jobs: [fn(&Store) -> Answer; 3] = [
        |store| store_and(store, "one", || Ok(())),
        |store| store_and(store, "panics", panics),
        |store| store_and(store, "two", || Ok(())),
    ];
    let [one, panicked, two] = batch(store, jobs).await;
    assert_eq!(panicked.await.unwrap().unwrap_err().reason, Reason::Internal);
    assert_eq!((one.await.unwrap().unwrap(), two.await.unwrap().unwrap()), (1, 2));
    assert_eq!((slugs(store).await, store.seq().await.unwrap()), (vec!["one".into(), "two".into()], 2));
}

async fn a_failed_or_panicking_job_alone_leaves_nothing(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    assert_eq!(store_and(store, "one", refuse).await.unwrap().unwrap_err().reason, Reason::PlanRequired);
    assert_eq!(store_and(store, "one", panics).await.unwrap().unwrap_err().reason, Reason::Internal);
    assert_eq!((slugs(store).await.len(), store.seq().await.unwrap()), (0, 0));
    assert_eq!(store_and(store, "one", || Ok(())).await.unwrap().unwrap(), 1);
}

async fn a_job_goes_on_when_its_caller_waits_no_longer(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let [gone, waits] =
        batch(store, [|store| store_and(store, "gone", || Ok(())), |store| store_and(store, "waits", || Ok(()))]).await;
    gone.abort();
    assert_eq!(waits.await.unwrap().unwrap(), 2);
    assert_eq!(slugs(store).await, ["gone", "waits"]);
}

async fn a_job_sees_what_was_written_before_it_in_its_batch(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let [one, seen] = batch(
        store,
        [
            |store| store_and(store, "one", || Ok(())),
            |store| {
                let store = store.clone();
                tokio::spawn(async move {
                    let job = store.write(|txn| {
                        Box::pin(async move {
                            let keys = txn.keys_of_tenant(&tenant("workspaces/acme")).await?;
                            assert!(keys.iter().all(|stored| stored.intact), "its event is seen too");
                            Ok(keys.len() as u64)
                        })
                    });
                    job.await.map(|(keys, at)| keys * 100 + at.seq)
                })
            },
        ],
    )
    .await;
    assert_eq!((one.await.unwrap().unwrap(), seen.await.unwrap().unwrap()), (1, 101));
}

/// The database refuses the commit itself.
async fn of_a_batch_that_cannot_commit_nobody_is_told_success(place: Place) {
    let opened = place.open().await;
    let store = &opened.store;
    let (refuse, admit) = match opened.place {
        Place::Sqlite(_) => (
            "CREATE TABLE parents (id INTEGER PRIMARY KEY); \
             CREATE TABLE orphans (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED); \
             CREATE TRIGGER refuse AFTER INSERT ON audit_events BEGIN INSERT INTO orphans VALUES (NEW.seq); END",
            "DROP TRIGGER refuse",
        ),
        Place::Postgres(_) => (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; \
             CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON audit_events DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION refuse()",
            "DROP TRIGGER refuse ON audit_events",
        ),
    };
    opened.raw.execute(refuse).await;
    let jobs: [fn(&Store) -> Answer; 2] =
        [|store| store_and(store, "one", || Ok(())), |store| store_and(store, "two", || Ok(()))];
    for job in batch(store, jobs).await {
        assert_eq!(job.await.unwrap().unwrap_err().reason, Reason::StorageUnavailable);
    }
    opened.raw.execute(admit).await;
    assert_eq!((slugs(store).await.len(), store.seq().await.unwrap()), (0, 0));
    assert_eq!(store_and(store, "one", || Ok(())).await.unwrap().unwrap(), 1, "and it goes on by itself");
}

async fn what_waits_at_the_end_is_done_and_then_nothing_is_taken(place: Place) {
    let (store, writer) = place.database().await.unwrap().into_store(binding_key());
    let waiting = ["one", "two"].map(|slug| store_and(&store, slug, || Ok(())));
    while store.queue.max_capacity() - store.queue.capacity() < waiting.len() {
        tokio::task::yield_now().await;
    }
    let stop = CancellationToken::new();
    stop.cancel();
    writer.run(stop).await.unwrap();
    for job in waiting {
        job.await.unwrap().unwrap();
    }
    let late = store_and(&store, "late", || Ok(())).await.unwrap();
    assert_eq!(late.unwrap_err().reason, Reason::StorageUnavailable);
    assert_eq!(slugs(&store).await, ["one", "two"]);
}

async fn a_transaction_that_hangs_is_given_up(place: Place) {
    let (store, mut writer) = place.database().await.unwrap().into_store(binding_key());
    writer.patience = Duration::from_millis(200);
    let _writer = spawn(writer);
    assert_eq!(store_and(&store, "one", || Ok(())).await.unwrap().unwrap(), 1);
    let hangs = store.write(|txn| {
        Box::pin(async move {
            let mut stored = key("workspaces/acme", "lost");
            let created = of_key(&stored, Action::KeyCreated);
            txn.insert_key(&mut stored, &created).await?;
            std::future::pending::<Result<(), Fault>>().await
        })
    });
    assert_eq!(hangs.await.unwrap_err().reason, Reason::StorageUnavailable);
    assert_eq!(store_and(&store, "two", || Ok(())).await.unwrap().unwrap(), 2, "by another connection");
    assert_eq!(slugs(&store).await, ["one", "two"]);
}

/// Someone restores an older copy under a running vault.
async fn a_database_that_was_put_back_is_not_written_to(place: Place) {
    let opened = place.open().await;
    let store = &opened.store;
    for (slug, seq) in [("one", 1), ("two", 2)] {
        assert_eq!(store_and(store, slug, || Ok(())).await.unwrap().unwrap(), seq);
    }
    let back = "UPDATE audit_head SET seq = 1, hash = (SELECT hash FROM audit_events WHERE seq = 1)";
    opened.raw.execute(back).await;
    let refused = store_and(store, "three", || Ok(())).await.unwrap();
    assert_eq!(refused.unwrap_err().reason, Reason::StorageUnavailable);
    let forward = "UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit_events WHERE seq = 2)";
    opened.raw.execute(&forward.replace("seq = 2)", "seq = 1)")).await;
    let refused = store_and(store, "three", || Ok(())).await.unwrap();
    assert_eq!(refused.unwrap_err().reason, Reason::StorageUnavailable, "another history of the same length");
    opened.raw.execute(forward).await;
    assert_eq!(store_and(store, "three", || Ok(())).await.unwrap().unwrap(), 3);
}

/// The longest wait that is promised, and not twice that.
async fn a_lock_is_waited_for_once(place: Place) {
    let Opened { store, raw, place: _place, .. } = &place.open().await;
    assert_eq!(store_and(store, "one", || Ok(())).await.unwrap().unwrap(), 1);
    let held = begin(&raw.0).await.unwrap();
    held.execute_unprepared("UPDATE audit_head SET seq = seq").await.unwrap();
    let waits = Instant::now();
    let refused = store_and(store, "two", || Ok(())).await.unwrap();
    assert_eq!(refused.unwrap_err().reason, Reason::StorageUnavailable);
    let waited = waits.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(9)).contains(&waited), "{waited:?}");
    held.rollback().await.unwrap();
    assert_eq!(store_and(store, "two", || Ok(())).await.unwrap().unwrap(), 2);
}

/// A server restarts, or something between ends what was idle for long: the next caller does not notice.
#[tokio::test]
async fn connections_that_died_while_they_were_idle_cost_nobody_an_answer() {
    let Opened { store, raw, place: _place, .. } = &Place::postgres().await.open().await;
    assert!(alone(store, "lane").await.unwrap().0);
    for (slug, is_alone) in [("one", false), ("two", true)] {
        for pid in own_connections(store).await {
            assert_eq!(raw.column::<bool>(&format!("SELECT pg_terminate_backend({pid}, 5000)")).await, [true]);
        }
        if is_alone {
            assert!(alone(store, slug).await.unwrap().0);
        } else {
            store_and(store, slug, || Ok(())).await.unwrap().unwrap();
            assert!(alone(store, "another-lane").await.unwrap().0);
        }
    }
}

/// All connections that the writer has, by the server's number for each.
async fn own_connections(store: &Store) -> HashSet<i32> {
    let mut found = HashSet::new();
    while found.len() < WRITERS as usize {
        let job = store.write_with(|access| {
            Box::pin(async move {
                let mut pids = Vec::new();
                if let Some(lane) = &access.lane {
                    pids.push(pid(lane.db()).await);
                }
                pids.push(pid(access.hold().await?.db()).await);
                Ok(pids)
            })
        });
        found.extend(job.await.unwrap().0);
    }
    found
}

async fn pid(db: &impl ConnectionTrait) -> i32 {
    let own = Statement::from_string(db.get_database_backend(), "SELECT pg_backend_pid()");
    db.query_one_raw(own).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}
