//! Exactly once.

use tokio::task::JoinSet;

use super::*;

both! {
    a_batch_that_is_sent_again_counts_once_through_any_vault,
    what_overlaps_is_counted_from_where_it_is_new,
    a_gap_is_refused_and_leaves_nothing,
    an_entry_that_is_not_to_be_counted_is_passed_by,
    of_connections_that_send_the_same_journal_at_once_each_entry_counts_once,
    a_resolution_s_report_counts_once_whoever_tells_of_it,
    reports_of_many_processes_by_many_at_once_count_once,
    what_was_reported_is_known_for_two_hours,
    numbers_of_any_size_are_told_apart,
    a_batch_that_fails_leaves_nothing_and_mutations_go_on,
    many_large_batches_at_once_fail_no_mutation,
}

const REPLICA: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

/// A lost acknowledgement is the same to the vault as a crash behind the commit: the batch comes again.
async fn a_batch_that_is_sent_again_counts_once_through_any_vault(place: Place) {
    let opened = place.open().await;
    let (other, _writer) = opened.place.replica().await;
    let of = a_use();
    let batch = batch(REPLICA, 1, vec![resolved(&of), resolved(&of), reported(&of, REPLICA, 1, Outcome::Ok)]);
    for store in [&opened.store, &opened.store, &other, &opened.store] {
        assert_eq!(take(store, &batch).await.offset, 3);
    }
    let counts = all(&other).await;
    assert_eq!((counts.calls, counts.outcomes[0], counts.input_tokens, counts.output_tokens), (2, 1, 10, 1));
    assert_eq!((counts.credits.micros(), counts.unpriced_calls), (1_002, 1));
    assert_eq!(counts.duration, Duration::from_millis(1));
    assert_eq!(opened.store.seq().await.unwrap(), 0, "the audit log is not for this");
}

async fn what_overlaps_is_counted_from_where_it_is_new(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let of = a_use();
    let entries = |count| vec![resolved(&of); count];
    assert_eq!(take(store, &batch(REPLICA, 1, entries(3))).await.offset, 3);
    assert_eq!(take(store, &batch(REPLICA, 2, entries(5))).await.offset, 6);
    assert_eq!(take(store, &batch(REPLICA, 1, entries(2))).await.offset, 6, "how far it was taken before");
    assert_eq!(take(store, &batch(REPLICA, 7, entries(1))).await.offset, 7);
    assert_eq!(take(store, &batch(OTHER, 1, entries(1))).await.offset, 1, "a journal of its own");
    assert_eq!(counted(store).await, (8, 0));
}

async fn a_gap_is_refused_and_leaves_nothing(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let of = a_use();
    let refused = store.take(batch(REPLICA, 2, vec![resolved(&of)])).await.unwrap_err();
    assert_eq!(refused.reason, Reason::JournalGap);
    take(store, &batch(REPLICA, 1, vec![resolved(&of)])).await;
    let refused = store.take(batch(REPLICA, 3, vec![resolved(&of)])).await.unwrap_err();
    assert_eq!(refused.reason, Reason::JournalGap);
    let far = store.take(batch(REPLICA, i64::MAX as u64, vec![resolved(&of)])).await.unwrap_err();
    assert_eq!(far.reason, Reason::JournalGap);
    assert_eq!(counted(store).await, (1, 0));
    assert_eq!(take(store, &batch(REPLICA, 2, vec![resolved(&of)])).await.offset, 2);
}

async fn an_entry_that_is_not_to_be_counted_is_passed_by(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let of = a_use();
    assert_eq!(take(store, &batch(REPLICA, 1, vec![None, resolved(&of), None])).await.offset, 3);
    assert_eq!(take(store, &batch(REPLICA, 4, vec![None])).await.offset, 4);
    assert_eq!(counted(store).await, (1, 0));
}

/// As after a connection that was given up, and of which the vault does not know it yet. Half of them are another vault's.
async fn of_connections_that_send_the_same_journal_at_once_each_entry_counts_once(place: Place) {
    const BATCHES: u64 = 10;
    let opened = place.open().await;
    let (other, _writer) = opened.place.replica().await;
    let mut senders = JoinSet::new();
    for number in 0..6 {
        let store = if number % 2 == 0 { opened.store.clone() } else { other.clone() };
        senders.spawn(async move {
            let of = a_use();
            for first in (0..BATCHES).map(|batch| batch * 2 + 1) {
                let entries = vec![resolved(&of), reported(&of, REPLICA, first, Outcome::Ok)];
                let taken = store.take(batch(REPLICA, first, entries)).await.unwrap();
                assert!(taken.offset > first, "{taken:?}");
            }
        });
    }
    senders.join_all().await;
    assert_eq!(counted(&opened.store).await, (BATCHES, BATCHES));
}

/// Routing takes a report at any replica, and each of them tells of it.
async fn a_resolution_s_report_counts_once_whoever_tells_of_it(place: Place) {
    let opened = place.open().await;
    let (other, _writer) = opened.place.replica().await;
    let of = a_use();
    let twice = vec![reported(&of, REPLICA, 5, Outcome::Ok), reported(&of, REPLICA, 5, Outcome::ServerError)];
    take(&opened.store, &batch(REPLICA, 1, twice)).await;
    take(&opened.store, &batch(REPLICA, 3, vec![reported(&of, REPLICA, 5, Outcome::Ok)])).await;
    take(&other, &batch(OTHER, 1, vec![reported(&of, REPLICA, 5, Outcome::InvalidKey), resolved(&of)])).await;
    let counts = all(&opened.store).await;
    assert_eq!((counts.calls, counts.outcomes), (1, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "the first one");
    take(&other, &batch(OTHER, 3, vec![reported(&of, OTHER, 5, Outcome::Ok)])).await;
    assert_eq!(counted(&other).await, (1, 2), "another process's fifth is another");
}

/// Each of eight processes tells of the same reports, in an order of its own, through two vaults.
async fn reports_of_many_processes_by_many_at_once_count_once(place: Place) {
    const EACH: u64 = 40;
    let opened = place.open().await;
    let (other, _writer) = opened.place.replica().await;
    let mut senders = JoinSet::new();
    for sender in 0..8_u64 {
        let store = if sender % 2 == 0 { opened.store.clone() } else { other.clone() };
        senders.spawn(async move {
            let uses: Vec<_> = (0..4).map(|key| Use { key: KeyId::new(Uuid::from_u128(key)), ..a_use() }).collect();
            let mut entries: Vec<_> = (0..EACH)
                .map(|n| {
                    reported(&uses[n as usize % 4], Uuid::from_u128(100 + u128::from(n % 5)), n * 9_000, Outcome::Ok)
                })
                .collect();
            entries.rotate_left(sender as usize * 5);
            for (index, chunk) in entries.chunks(10).enumerate() {
                let first = index as u64 * 10 + 1;
                store.take(batch(Uuid::from_u128(u128::from(sender)), first, chunk.to_vec())).await.unwrap();
            }
        });
    }
    senders.join_all().await;
    assert_eq!(counted(&opened.store).await, (0, EACH));
}

async fn what_was_reported_is_known_for_two_hours(place: Place) {
    let Opened { store, raw, place: _place, .. } = &place.open().await;
    let of = a_use();
    let told = vec![reported(&of, REPLICA, 5, Outcome::Ok)];
    let at = |first_offset, minutes: u64, entries: &[Option<Priced>]| Batch {
        now: time() + Duration::from_secs(minutes * 60),
        ..batch(REPLICA, first_offset, entries.to_vec())
    };
    take(store, &at(1, 1, &told)).await;
    take(store, &at(2, 120, &told)).await;
    let blocks = "SELECT COUNT(*) FROM reported_resolutions";
    assert_eq!(raw.column::<i64>(blocks).await, [1]);
    assert_eq!(counted(store).await, (0, 1));
    // told of late, as after the vault was away: known from then on
    take(store, &at(3, 239, &[None])).await;
    assert_eq!(raw.column::<i64>(blocks).await, [1]);
    take(store, &at(4, 241, &[None])).await;
    assert_eq!(raw.column::<i64>(blocks).await, [0]);
}

async fn numbers_of_any_size_are_told_apart(place: Place) {
    let Opened { store, raw, place: _place, .. } = &place.open().await;
    let of = a_use();
    let numbers = [1, 65_535, 65_536, 65_537, 131_072, u64::MAX - 65_536, u64::MAX - 1, u64::MAX];
    let told: Vec<_> = numbers.map(|number| reported(&of, REPLICA, number, Outcome::Ok)).to_vec();
    take(store, &batch(REPLICA, 1, told.clone())).await;
    take(store, &batch(OTHER, 1, told)).await;
    assert_eq!(counted(store).await, (0, numbers.len() as u64));
    assert_eq!(raw.column::<i64>("SELECT COUNT(*) FROM reported_resolutions").await, [5]);
}

/// Both are under way at once; on SQLite they share a transaction.
async fn a_batch_that_fails_leaves_nothing_and_mutations_go_on(place: Place) {
    let Opened { store, raw, place: _place, .. } = &place.open().await;
    raw.execute("ALTER TABLE key_health RENAME TO away").await;
    let of = a_use();
    let change = HealthChange {
        tenant: tenant("workspaces/acme"),
        key: of.key,
        secret_version: 1,
        model: None,
        cause: Outcome::RateLimited,
        since: time(),
        until: None,
        failures: 1,
    };
    let entries = vec![resolved(&of), reported(&of, REPLICA, 1, Outcome::Ok), Some(Priced::Health(change))];
    let mut race = JoinSet::new();
    for number in 0..20 {
        let (store, batch) = (store.clone(), batch(Uuid::from_u128(number), 1, entries.clone()));
        race.spawn(async move {
            assert_eq!(store.take(batch).await.unwrap_err().reason, Reason::StorageUnavailable);
            put(&store, &key("workspaces/acme", &format!("k-{number}"))).await.unwrap();
        });
    }
    race.join_all().await;
    raw.execute("ALTER TABLE away RENAME TO key_health").await;
    assert_eq!((counted(store).await, store.seq().await.unwrap()), ((0, 0), 20));
    take(store, &batch(REPLICA, 1, entries)).await;
    assert_eq!(counted(store).await, (1, 1));
}

/// A transaction of the writer's takes no more of them than it has time for, and none waits in vain for a connection.
async fn many_large_batches_at_once_fail_no_mutation(place: Place) {
    let database = place.database().await.unwrap();
    let (store, mut writer) = database.into_store(binding_key());
    writer.patience = Duration::from_secs(3);
    spawn(writer);
    let entry = |n: u64| resolved(&Use { user: UserId::parse(&format!("u{n}")).ok(), ..a_use() });
    let entries: Vec<_> = (0..2_000).map(entry).collect();
    let mut race = JoinSet::new();
    for number in 0..60 {
        let (store, batch) = (store.clone(), batch(Uuid::from_u128(number), 1, entries.clone()));
        race.spawn(async move {
            let beside = key("workspaces/acme", &format!("k-{number}"));
            let (taken, put) = tokio::join!(store.take(batch), put(&store, &beside));
            (taken.map(|taken| taken.offset), put.map(drop))
        });
    }
    for done in race.join_all().await {
        assert_eq!(done, (Ok(2_000), Ok(())));
    }
    assert_eq!(counted(&store).await, (120_000, 0));
}
