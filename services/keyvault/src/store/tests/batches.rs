//! Jobs that share a transaction: each stands alone.

use std::sync::Arc;

use claviger_core::position::Position;
use tokio::sync::Notify;

use super::*;

both! {
    a_failed_job_leaves_nothing_and_its_neighbours_succeed,
    a_job_that_panics_leaves_nothing_and_its_neighbours_succeed,
    a_failed_or_panicking_job_alone_leaves_nothing,
    a_job_goes_on_when_its_caller_waits_no_longer,
    a_job_sees_what_was_written_before_it_in_its_batch,
    of_a_batch_that_cannot_commit_nobody_is_told_success,
    what_waits_at_the_end_is_done_and_then_nothing_is_taken,
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
fn store_and(store: &Store, slug: &'static str, then: fn() -> Result<(), Fault>) -> Answer {
    let store = store.clone();
    tokio::spawn(async move {
        let mut stored = key("workspaces/acme", slug);
        let job = store.write(move |txn| {
            Box::pin(async move {
                let stamp = txn.record(&of_key(&stored, Action::KeyCreated)).await?;
                txn.insert_key(&mut stored, &stamp).await?;
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

async fn slugs(store: &Store) -> Vec<String> {
    let mut slugs: Vec<_> =
        store.neighbours(&tenant("workspaces/acme")).await.unwrap().into_iter().map(|key| key.slug).collect();
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

/// The database refuses to advance the head, which is the last step before the commit.
async fn of_a_batch_that_cannot_commit_nobody_is_told_success(place: Place) {
    let opened = place.open().await;
    let store = &opened.store;
    let (refuse, admit) = match opened.place {
        Place::Sqlite(_) => (
            "CREATE TRIGGER refuse BEFORE UPDATE ON audit_head WHEN NEW.seq <> OLD.seq BEGIN SELECT RAISE(ABORT, 'no'); END",
            "DROP TRIGGER refuse",
        ),
        Place::Postgres(_) => (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; \
             CREATE TRIGGER refuse BEFORE UPDATE ON audit_head FOR EACH ROW WHEN (NEW.seq <> OLD.seq) EXECUTE FUNCTION refuse()",
            "DROP TRIGGER refuse ON audit_head",
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
