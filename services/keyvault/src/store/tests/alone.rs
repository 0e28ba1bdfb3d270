//! A job that is alone and adds a key without a transaction, on PostgreSQL.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::batches::{slugs, store_and};
use super::*;
use crate::audit_file::Head;
use crate::store::Beside;

/// Adds the key of a slug without a transaction, if that can be: whether it was done, and the point of history then.
pub(super) async fn alone(store: &Store, slug: &str) -> Result<(bool, u64), Fault> {
    alone_after(store, slug, async {}).await
}

/// Adds a key once it has looked and something else has happened.
async fn alone_after(
    store: &Store,
    slug: &str,
    happens: impl Future<Output = ()> + Send + 'static,
) -> Result<(bool, u64), Fault> {
    let mut stored = key("workspaces/acme", slug);
    let job = store.write_with(move |access| {
        Box::pin(async move {
            let owner = stored.key.name.owner.clone();
            let Some(Beside { head, .. }) = access.look(&owner, &stored.fingerprint).await? else { return Ok(false) };
            happens.await;
            let created = of_key(&stored, Action::KeyCreated);
            Ok(access.insert_key(head, &mut stored, &created).await?)
        })
    });
    job.await.map(|(done, at)| (done, at.seq))
}

/// So many events without a gap, the head at the last, and each key as its own left it.
async fn assert_whole(opened: &Opened, events: i64) {
    let keys = opened.store.tenant(&tenant("workspaces/acme").into()).await.unwrap().keys;
    assert!(keys.iter().all(|stored| stored.intact));
    let seqs = opened.raw.column::<i64>("SELECT seq FROM audit_events ORDER BY seq").await;
    assert_eq!(seqs, (1..=events).collect::<Vec<_>>());
    let ends = "SELECT e.seq FROM audit_events e JOIN audit_head h ON h.seq = e.seq AND h.hash = e.hash";
    assert_eq!(opened.raw.column::<i64>(ends).await, [events]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_done_with_its_event_and_the_next_goes_on_from_there() {
    let opened = Place::postgres().await.open().await;
    let store = &opened.store;
    assert_eq!(alone(store, "one").await.unwrap(), (true, 1));
    assert_eq!(store_and(store, "two", || Ok(())).await.unwrap().unwrap(), 2);
    assert_eq!(alone(store, "three").await.unwrap(), (true, 3));
    assert_eq!(slugs(store).await, ["one", "three", "two"]);
    assert_whole(&opened, 3).await;
}

#[tokio::test]
async fn sqlite_has_no_gain_from_it() {
    let opened = Place::sqlite().open().await;
    assert_eq!(alone(&opened.store, "one").await.unwrap(), (false, 0));
    assert_eq!(opened.raw.column::<i64>("SELECT count(*) FROM audit_events").await, [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_another_replica_did_meanwhile_is_not_passed_over() {
    let opened = Place::postgres().await.open().await;
    let (store, (other, _other)) = (&opened.store, opened.place.replica().await);
    alone(store, "one").await.unwrap();
    let meanwhile = async move { assert_eq!(alone(&other, "two").await.unwrap(), (true, 2)) };
    assert!(!alone_after(store, "three", meanwhile).await.unwrap().0);
    assert_eq!(slugs(store).await, ["one", "two"]);
    assert_whole(&opened, 2).await;
    assert_eq!(alone(store, "three").await.unwrap(), (true, 3), "having looked again");
}

/// Even where no event's number is in the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_head_that_moved_is_not_moved_back() {
    let opened = Place::postgres().await.open().await;
    let raw = Raw(connected(&opened.place.location()).await.unwrap());
    let moves = async move { raw.change("UPDATE audit_head SET seq = 7").await };
    assert!(!alone_after(&opened.store, "one", moves).await.unwrap().0);
    assert_eq!(opened.raw.column::<i64>("SELECT seq FROM audit_head").await, [7]);
    assert_eq!(slugs(&opened.store).await.len(), 0);
}

/// It stands behind the lock, and is no longer first when it gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_transaction_that_holds_the_head_is_waited_for() {
    let opened = Place::postgres().await.open().await;
    let (store, (other, _other)) = (&opened.store, opened.place.replica().await);
    let (looked, held, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (looks, holds) = (looked.clone(), held.clone());
    let waits = async move {
        looks.notify_one();
        holds.notified().await;
    };
    let first = {
        let store = store.clone();
        tokio::spawn(async move { alone_after(&store, "late", waits).await })
    };
    looked.notified().await;
    let goes = go.clone();
    let holder = tokio::spawn(async move {
        let mut stored = key("workspaces/acme", "early");
        let job = other.write(move |txn| {
            Box::pin(async move {
                held.notify_one();
                goes.notified().await;
                let created = of_key(&stored, Action::KeyCreated);
                Ok(txn.insert_key(&mut stored, &created).await?)
            })
        });
        job.await
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'WITH part0%' \
                   AND datname = current_database()";
    while opened.raw.column::<i64>(waiting).await == [0] {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    holder.await.unwrap().unwrap();
    assert!(!first.await.unwrap().unwrap().0);
    assert_eq!(slugs(store).await, ["early"]);
    assert_whole(&opened, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_taken_slug_leaves_no_event() {
    let opened = Place::postgres().await.open().await;
    assert_eq!(alone(&opened.store, "one").await.unwrap(), (true, 1));
    assert!(is_taken(&alone(&opened.store, "one").await));
    assert_whole(&opened, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_was_put_back_is_not_looked_at_further() {
    let opened = Place::postgres().await.open().await;
    for slug in ["one", "two"] {
        alone(&opened.store, slug).await.unwrap();
    }
    for back in [
        "UPDATE audit_head SET seq = 1, hash = (SELECT hash FROM audit_events WHERE seq = 1)",
        "DELETE FROM audit_events WHERE seq = 2",
        "DELETE FROM provider_keys WHERE last_seq = 2",
    ] {
        opened.raw.change(back).await;
    }
    assert_eq!(alone(&opened.store, "three").await.unwrap_err().reason, Reason::StorageUnavailable);
    assert_eq!(slugs(&opened.store).await, ["one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_the_server_refuses_is_not_done() {
    let opened = Place::postgres().await.open().await;
    opened.raw.execute("ALTER TABLE provider_keys ADD CONSTRAINT refuse CHECK (key_slug <> 'refused')").await;
    assert!(!alone(&opened.store, "refused").await.unwrap().0);
    assert_eq!(alone(&opened.store, "one").await.unwrap(), (true, 1));
    assert_whole(&opened, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_told_of_commits_is_told_of_it() {
    let place = Place::postgres().await;
    let (store, writer) = place.database().await.unwrap().into_store(binding_key());
    let told = Arc::<Mutex<Vec<(i64, i64)>>>::default();
    let tells = told.clone();
    let _writer = spawn(writer.telling(move |before, head: Head| tells.lock().unwrap().push((before, head.seq))));
    alone(&store, "one").await.unwrap();
    store_and(&store, "two", || Ok(())).await.unwrap().unwrap();
    alone(&store, "three").await.unwrap();
    assert!(is_taken(&alone(&store, "three").await));
    assert_eq!(*told.lock().unwrap(), [(0, 1), (1, 2), (2, 3)]);
}
