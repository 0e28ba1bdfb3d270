//! The one write path: one history, whoever writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use claviger_crypto::{GENESIS, event_hash};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;
use crate::store::entity::audit_events;

const WRITERS: usize = 8;

both! {
    a_slug_is_unique_among_its_owners_unrevoked_keys,
    of_concurrent_writers_of_one_slug_one_wins,
    commit_order_is_seq_order_and_the_chain_has_no_gap,
    no_update_is_lost_between_replicas,
    a_row_is_written_with_an_event_of_its_own_alone,
}

async fn a_slug_is_unique_among_its_owners_unrevoked_keys(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let first = put(store, &key("workspaces/acme", "main")).await.unwrap();
    let second = key("workspaces/acme", "main");
    assert!(is_taken(&put(store, &second).await));
    for other in ["workspaces/acme/users/ann", "workspaces/acme/users/bob", "workspaces/other", "platform"] {
        put(store, &key(other, "main")).await.unwrap();
        assert!(is_taken(&put(store, &key(other, "main")).await), "{other}");
    }
    revoke(store, first).await;
    put(store, &second).await.unwrap();
    assert!(is_taken(&put(store, &key("workspaces/acme", "main")).await));
}

/// None of the racers looks at the slugs first: the index alone decides. Half of them are another replica's.
async fn of_concurrent_writers_of_one_slug_one_wins(place: Place) {
    let opened = place.open().await;
    let (other, _writer) = opened.place.replica().await;
    let barrier = Arc::new(Barrier::new(WRITERS));
    let mut race = JoinSet::new();
    for number in 0..WRITERS {
        let store = if number % 2 == 0 { opened.store.clone() } else { other.clone() };
        let barrier = barrier.clone();
        race.spawn(async move {
            barrier.wait().await;
            put(&store, &key("workspaces/acme", "main")).await
        });
    }
    let results = race.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert_eq!(results.iter().filter(|result| is_taken(result)).count(), WRITERS - 1, "{results:?}");
    assert_eq!(opened.store.seq().await.unwrap(), 1, "a loser leaves no event");
}

/// Through two replicas at once.
async fn commit_order_is_seq_order_and_the_chain_has_no_gap(place: Place) {
    const EACH: usize = 10;
    let opened = place.open().await;
    let (other, _writer) = opened.place.replica().await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = if writer % 2 == 0 { opened.store.clone() } else { other.clone() };
        writers.spawn(async move {
            let mut seqs = Vec::new();
            for n in 0..EACH {
                seqs.push(put(&store, &key("workspaces/acme", &format!("k-{writer}-{n}"))).await.unwrap().seq);
            }
            seqs
        });
    }
    let each = writers.join_all().await;
    assert!(each.iter().all(|seqs| seqs.is_sorted()), "a writer's later write has a later seq: {each:?}");
    let all: BTreeSet<u64> = each.into_iter().flatten().collect();
    let expected: Vec<u64> = (1..=(WRITERS * EACH) as u64).collect();
    assert_eq!(Vec::from_iter(all), expected, "each write has a seq of its own, without gaps");
    assert_chain(&opened).await;
}

/// Every event has the hash of its content behind the one before, and the head is the last.
async fn assert_chain(opened: &Opened) {
    let mut last = (0, GENESIS.to_vec());
    for row in opened.raw.rows::<audit_events::Model>("SELECT * FROM audit_events ORDER BY seq").await {
        assert_eq!(row.seq, last.0 + 1);
        let texts = [
            &row.tenant,
            &row.action,
            &row.target,
            &row.actor,
            &row.on_behalf_of,
            &row.peer,
            &row.request_id,
            &row.trace_id,
            &row.details,
        ];
        let (seq, time) = (row.seq.to_be_bytes(), row.event_time.to_be_bytes());
        let fields: Vec<&[u8]> = [&seq[..], &time[..]].into_iter().chain(texts.map(String::as_bytes)).collect();
        assert_eq!(row.hash, event_hash(&last.1.try_into().unwrap(), &fields), "event {}", row.seq);
        last = (row.seq, row.hash);
    }
    assert_eq!(opened.raw.column::<i64>("SELECT seq FROM audit_head").await, [last.0]);
    assert_eq!(opened.raw.column::<Vec<u8>>("SELECT hash FROM audit_head").await, [last.1]);
}

/// Each writer reads a number and writes the next one, in one job.
async fn no_update_is_lost_between_replicas(place: Place) {
    const EACH: i32 = 10;
    let opened = place.open().await;
    let (other, _writer) = opened.place.replica().await;
    let stored = put(&opened.store, &key("workspaces/acme", "main")).await.unwrap();
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let store = if number % 2 == 0 { opened.store.clone() } else { other.clone() };
        let name = stored.key.name.clone();
        writers.spawn(async move {
            for _ in 0..EACH {
                let name = name.clone();
                let add = store.write(move |txn| {
                    Box::pin(async move {
                        let mut stored = txn.key(&name).await?.unwrap();
                        assert!(stored.intact);
                        stored.key.priority += 1;
                        let stamp = txn.record(&of_key(&stored, Action::KeyUpdated)).await?;
                        Ok(txn.update_key(&mut stored, &stamp).await?)
                    })
                });
                add.await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let stored = opened.store.key(&stored.key.name).await.unwrap().unwrap();
    assert_eq!((stored.key.priority, stored.intact), (EACH * WRITERS as i32, true));
    assert_chain(&opened).await;
}

async fn a_row_is_written_with_an_event_of_its_own_alone(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let (mut one, other) = (key("workspaces/acme", "one"), key("workspaces/acme", "other"));
    let name = one.key.name.clone();
    let job = store.write(move |txn| {
        Box::pin(async move { Ok(txn.insert_key(&mut one, &of_key(&other, Action::KeyCreated)).await?) })
    });
    assert_eq!(job.await.unwrap_err().reason, Reason::Internal);
    assert_eq!((store.key(&name).await.unwrap(), store.seq().await.unwrap()), (None, 0));
}
