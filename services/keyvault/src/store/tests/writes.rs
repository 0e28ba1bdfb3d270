//! The one write path.

use std::collections::BTreeSet;
use std::sync::Arc;

use claviger_core::key::Revocation;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;

const WRITERS: usize = 8;

#[tokio::test]
async fn a_slug_is_unique_among_its_owners_unrevoked_keys() {
    let Opened { store, .. } = &Opened::new().await;
    let first = key("workspaces/acme", "main");
    put(store, &first).await.unwrap();
    let second = key("workspaces/acme", "main");
    assert!(matches!(put(store, &second).await, Err(StoreError::SlugTaken)));
    for other in ["workspaces/acme/users/ann", "workspaces/acme/users/bob", "workspaces/other", "platform"] {
        put(store, &key(other, "main")).await.unwrap();
        assert!(matches!(put(store, &key(other, "main")).await, Err(StoreError::SlugTaken)), "{other}");
    }
    revoke(store, first).await;
    put(store, &second).await.unwrap();
    assert!(matches!(put(store, &key("workspaces/acme", "main")).await, Err(StoreError::SlugTaken)));
}

async fn revoke(store: &Store, mut stored: StoredKey) {
    stored.key.state = KeyState::Revoked;
    stored.key.revocation = Some(Revocation { time: time(), actor: "test".into(), reason: String::new() });
    let txn = store.begin().await.unwrap();
    txn.update_key(&stored.key).await.unwrap();
    txn.commit(created(&stored), Vec::new()).await.unwrap();
}

/// None of the racers looks at the slugs first: the index alone decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_writers_of_one_slug_one_wins() {
    let opened = Opened::new().await;
    let barrier = Arc::new(Barrier::new(WRITERS));
    let mut race = JoinSet::new();
    for _ in 0..WRITERS {
        let (store, barrier) = (opened.store.clone(), barrier.clone());
        race.spawn(async move {
            barrier.wait().await;
            put(&store, &key("workspaces/acme", "main")).await
        });
    }
    let results = race.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let lost = |result: &&Result<u64, StoreError>| matches!(result, Err(StoreError::SlugTaken));
    assert_eq!(results.iter().filter(lost).count(), WRITERS - 1, "{results:?}");
    assert_eq!(opened.store.seq().await.unwrap(), 1, "a loser leaves no event");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commit_order_is_seq_order() {
    const EACH: usize = 10;
    let opened = Opened::new().await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = opened.store.clone();
        writers.spawn(async move {
            let mut seqs = Vec::new();
            for n in 0..EACH {
                seqs.push(put(&store, &key("workspaces/acme", &format!("k-{writer}-{n}"))).await.unwrap());
            }
            seqs
        });
    }
    let each = writers.join_all().await;
    assert!(each.iter().all(|seqs| seqs.is_sorted()), "a writer's later write has a later seq: {each:?}");
    let all: BTreeSet<u64> = each.into_iter().flatten().collect();
    let expected: Vec<u64> = (1..=(WRITERS * EACH) as u64).collect();
    assert_eq!(Vec::from_iter(all), expected, "each commit has a seq of its own, without gaps");
    // rowid counts inserts as they become durable
    let stored: Vec<i64> = column(&opened.store.read, "SELECT seq FROM audit_events ORDER BY rowid").await;
    assert_eq!(stored, Vec::from_iter(1..=(WRITERS * EACH) as i64));
    let ends: Vec<Vec<u8>> = column(
        &opened.store.read,
        "SELECT hash FROM audit_head UNION SELECT hash FROM audit_events WHERE seq = (SELECT seq FROM audit_head)",
    )
    .await;
    assert_eq!(ends.len(), 1, "the head is the last event");
}

#[tokio::test]
async fn a_dropped_write_leaves_nothing_and_blocks_no_one() {
    let Opened { store, .. } = &Opened::new().await;
    let dropped = key("workspaces/acme", "main");
    let acme = dropped.key.name.owner.tenant.clone();
    let txn = store.begin().await.unwrap();
    txn.insert_workspace(&workspace("acme")).await.unwrap();
    txn.insert_workspace_key(&acme, &workspace_key(), time()).await.unwrap();
    txn.insert_key(&dropped).await.unwrap();
    drop(txn);

    let rows = store.tenant(&acme).await.unwrap();
    assert_eq!((rows.seq, rows.workspace, rows.keys.len(), rows.workspace_keys.len()), (0, None, 0, 0));
    assert_eq!(put(store, &dropped).await.unwrap(), 1);
}

#[tokio::test]
async fn a_failed_write_among_good_ones_takes_all_of_its_own_back() {
    let Opened { store, .. } = &Opened::new().await;
    put(store, &key("workspaces/acme", "main")).await.unwrap();
    let txn = store.begin().await.unwrap();
    txn.insert_key(&key("workspaces/acme", "second")).await.unwrap();
    assert!(matches!(txn.insert_key(&key("workspaces/acme", "main")).await, Err(StoreError::SlugTaken)));
    drop(txn);
    assert_eq!(store.slugs(&owner("workspaces/acme")).await.unwrap(), ["main"]);
    assert_eq!(store.seq().await.unwrap(), 1);
}
