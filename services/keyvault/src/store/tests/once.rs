//! Requests that are sent again.

use std::time::Duration;

use super::*;
use crate::store::Once;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

both! {
    an_answer_is_recalled_for_a_day_and_for_its_own_body_alone,
    an_answer_is_remembered_only_with_what_it_tells_of,
    expired_answers_are_forgotten_faster_than_new_ones_come,
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
