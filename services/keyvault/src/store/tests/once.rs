//! Requests that are sent again.

use std::time::Duration;

use super::*;
use crate::store::Once;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

both! {
    an_answer_is_recalled_for_a_day_and_for_its_own_body_alone,
    an_answer_is_remembered_only_with_what_it_tells_of,
    expired_answers_are_forgotten_faster_than_new_ones_come,
    an_answer_that_was_altered_is_neither_given_nor_taken_for_none,
}

fn once(number: u8) -> Once {
    Once { id: [number; 32], body: [number; 32] }
}

async fn remember(store: &Store, number: u8, answer: &'static [u8], now: OffsetDateTime) -> Result<(), Fault> {
    let job =
        store.write(move |txn| Box::pin(async move { Ok(txn.remember(&once(number), answer.to_vec(), now).await?) }));
    job.await.map(drop)
}

async fn an_answer_is_recalled_for_a_day_and_for_its_own_body_alone(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    assert_eq!(store.recall(&once(1), time()).await.unwrap(), None);
    remember(store, 1, b"first", time()).await.unwrap();
    let last = time() + DAY - Duration::from_micros(1);
    for now in [time(), last] {
        assert_eq!(store.recall(&once(1), now).await.unwrap().as_deref(), Some(&b"first"[..]));
        let other = Once { body: [9; 32], ..once(1) };
        assert!(matches!(store.recall(&other, now).await, Err(StoreError::RequestIdReused)));
        assert_eq!(store.recall(&once(2), now).await.unwrap(), None);
    }
    assert_eq!(store.recall(&once(1), time() + DAY).await.unwrap(), None, "of whatever body");
    assert!(remember(store, 1, b"again", last).await.is_ok(), "whoever recalled within the write knows better");
    remember(store, 1, b"second", time() + DAY).await.unwrap();
    assert_eq!(store.recall(&once(1), time() + DAY).await.unwrap().as_deref(), Some(&b"second"[..]));
}

async fn an_answer_is_remembered_only_with_what_it_tells_of(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let job = store.write(|txn| {
        Box::pin(async move {
            txn.remember(&once(1), Vec::new(), time()).await?;
            assert!(txn.recall(&once(1), time()).await?.is_some());
            Err::<(), _>(Fault::new(Reason::PlanRequired, "a test's"))
        })
    });
    assert_eq!(job.await.unwrap_err().reason, Reason::PlanRequired);
    assert_eq!(store.recall(&once(1), time()).await.unwrap(), None);
}

async fn expired_answers_are_forgotten_faster_than_new_ones_come(place: Place) {
    let opened = place.open().await;
    for number in 0..8 {
        remember(&opened.store, number, b"old", time()).await.unwrap();
    }
    for (number, left) in [(8, 5), (9, 2), (10, 3)] {
        remember(&opened.store, number, b"new", time() + DAY).await.unwrap();
        assert_eq!(opened.raw.column::<i64>("SELECT COUNT(*) FROM request_ids").await, [left]);
    }
}

async fn an_answer_that_was_altered_is_neither_given_nor_taken_for_none(place: Place) {
    let opened = place.open().await;
    let Opened { store, raw, .. } = &opened;
    remember(store, 1, b"first", time()).await.unwrap();
    remember(store, 2, b"second", time() + Duration::from_secs(1)).await.unwrap();
    raw.execute("CREATE TABLE kept AS SELECT * FROM request_ids").await;
    let (mine, other) =
        ("expire_time = (SELECT MIN(expire_time) FROM kept)", "expire_time = (SELECT MAX(expire_time) FROM kept)");
    for set in [
        format!("answer = (SELECT answer FROM kept WHERE {other})"),
        format!("body_tag = (SELECT body_tag FROM kept WHERE {other})"),
        format!("mac = (SELECT mac FROM kept WHERE {other})"),
        "mac = substr(mac, 1, 31)".to_owned(),
        "expire_time = expire_time + 1".to_owned(),
        "expire_time = 0".to_owned(),
    ] {
        raw.change(&format!("UPDATE request_ids SET {set} WHERE {mine}")).await;
        assert_altered(store, 1, &set).await;
        raw.execute("DELETE FROM request_ids; INSERT INTO request_ids SELECT * FROM kept").await;
    }
    raw.execute(&format!(
        "DELETE FROM request_ids; INSERT INTO request_ids SELECT a.id_tag, b.body_tag, b.answer, b.expire_time, b.mac \
         FROM kept a JOIN kept b ON a.id_tag <> b.id_tag WHERE a.{mine}"
    ))
    .await;
    assert_altered(store, 1, "the whole of another's").await;
}

/// In a read and within a write, at any time.
async fn assert_altered(store: &Store, number: u8, what: &str) {
    for now in [time(), time() + DAY] {
        let recalled = store.recall(&once(number), now).await;
        assert!(matches!(recalled, Err(StoreError::Altered("request_ids", _))), "{what}: {recalled:?}");
    }
    let within = store.write(move |txn| Box::pin(async move { Ok(txn.recall(&once(number), time()).await?) })).await;
    let fault = within.unwrap_err();
    assert_eq!(fault.reason, Reason::WorkspaceAltered, "{what}");
    assert!(fault.message.contains("remembered answer"), "{what}: {}", fault.message);
}
