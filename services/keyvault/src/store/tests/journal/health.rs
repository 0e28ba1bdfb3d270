//! What journals tell of keys.

use claviger_core::ids::ModelId;
use claviger_core::key_health::{Cooldown, KeyHealth};

use super::*;

both! {
    a_key_tells_when_it_was_used_and_what_came_of_it,
    the_newest_change_of_each_scope_stays,
    what_was_said_of_another_secret_is_no_more,
    only_rejections_in_a_row_count,
    nothing_is_kept_of_keys_that_the_vault_does_not_have,
    what_is_over_for_long_is_forgotten,
}

const REPLICA: Uuid = Uuid::from_u128(1);

async fn health(store: &Store, stored: &StoredKey) -> Option<KeyHealth> {
    let keys = std::slice::from_ref(stored);
    store.health(keys, time()).await.unwrap().remove(&stored.key.name.id)
}

/// Entries of one process, one batch each.
struct Journal<'s> {
    store: &'s Store,
    offset: u64,
}

impl<'s> Journal<'s> {
    fn new(store: &'s Store) -> Self {
        Self { store, offset: 0 }
    }

    async fn tell(&mut self, entry: Option<Priced>) -> Taken {
        self.offset += 1;
        take(self.store, &batch(REPLICA, self.offset, vec![entry])).await
    }

    async fn report(&mut self, of: &Use, outcome: Outcome) -> Taken {
        let number = self.offset + 1;
        self.tell(reported(of, REPLICA, number, outcome)).await
    }
}

fn seconds(seconds: i64) -> OffsetDateTime {
    time() + time::Duration::seconds(seconds)
}

fn change(stored: &StoredKey, model: Option<&str>, cause: Outcome, since: i64) -> HealthChange {
    HealthChange {
        tenant: stored.key.name.owner.tenant.clone(),
        key: stored.key.name.id,
        secret_version: stored.key.secret_version,
        model: model.map(|model| ModelId::parse(model).unwrap()),
        cause,
        since: seconds(since),
        until: (cause != Outcome::Ok).then(|| seconds(since + 100)),
        failures: 1,
    }
}

async fn a_key_tells_when_it_was_used_and_what_came_of_it(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let stored = put(store, &key("workspaces/acme", "main")).await.unwrap();
    assert_eq!(health(store, &stored).await, None);
    let (of, mut journal) = (use_of(&stored), Journal::new(store));
    journal.tell(resolved(&of)).await;
    let used = health(store, &stored).await.unwrap();
    assert_eq!((used.last_use, used.last_outcome), (Some(of.time), None));

    let later = Use { time: seconds(5), ..of.clone() };
    journal.report(&later, Outcome::ServerError).await;
    journal.report(&of, Outcome::Ok).await;
    journal.tell(resolved(&later)).await;
    journal.tell(resolved(&of)).await;
    let used = health(store, &stored).await.unwrap();
    assert_eq!(used.last_use, Some(later.time));
    assert_eq!(used.last_outcome, Some((Outcome::ServerError, seconds(6))), "the newest");

    journal.tell(resolved(&Use { time: seconds(10_000), ..of.clone() })).await;
    assert_eq!(health(store, &stored).await.unwrap().last_use, Some(seconds(60)), "a clock that is fast");
}

async fn the_newest_change_of_each_scope_stays(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let stored = put(store, &key("workspaces/acme", "main")).await.unwrap();
    let mut journal = Journal::new(store);
    let cooling = async || {
        let found = health(store, &stored).await.unwrap_or_default().cooldowns;
        found
            .into_iter()
            .map(|cooldown| (cooldown.model.map(|model| model.to_string()), cooldown.cause))
            .collect::<Vec<_>>()
    };
    for (model, cause, since) in [
        (None, Outcome::QuotaExhausted, 10),
        (None, Outcome::Ok, 9),
        (Some("m"), Outcome::RateLimited, 5),
        (Some("m"), Outcome::Forbidden, 4),
    ] {
        journal.tell(Some(Priced::Health(change(&stored, model, cause, since)))).await;
    }
    let m = Some("m".to_owned());
    assert_eq!(cooling().await, [(None, Outcome::QuotaExhausted), (m.clone(), Outcome::RateLimited)]);
    journal.tell(Some(Priced::Health(change(&stored, None, Outcome::Ok, 11)))).await;
    assert_eq!(cooling().await, [(m, Outcome::RateLimited)], "of that scope alone");
    journal.tell(Some(Priced::Health(change(&stored, None, Outcome::Overloaded, 10)))).await;
    journal.tell(Some(Priced::Health(change(&stored, Some("m"), Outcome::Ok, 10_000)))).await;
    assert_eq!(cooling().await, []);

    let in_one = [(Outcome::RateLimited, 40), (Outcome::Ok, 41), (Outcome::ServerError, 42), (Outcome::Ok, 20)];
    let entries = in_one.map(|(cause, since)| Some(Priced::Health(change(&stored, None, cause, since))));
    take(store, &batch(REPLICA, journal.offset + 1, entries.to_vec())).await;
    let expected = Cooldown { model: None, cause: Outcome::ServerError, since: seconds(42), until: seconds(142) };
    assert_eq!(health(store, &stored).await.unwrap().cooldowns, [expected]);
}

async fn what_was_said_of_another_secret_is_no_more(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let stored = put(store, &key("workspaces/acme", "main")).await.unwrap();
    let mut journal = Journal::new(store);
    let of = use_of(&stored);
    journal.tell(resolved(&of)).await;
    journal.report(&of, Outcome::InvalidKey).await;
    journal.tell(Some(Priced::Health(change(&stored, None, Outcome::QuotaExhausted, 10)))).await;
    let mut replaced = stored.clone();
    replaced.key.secret_version = 2;
    let replaced = update(store, &replaced).await.unwrap();
    let expected = KeyHealth { last_use: Some(of.time), ..KeyHealth::default() };
    assert_eq!(health(store, &replaced).await, Some(expected.clone()));

    // on their way since before
    assert_eq!(journal.report(&of, Outcome::InvalidKey).await.rejected, []);
    journal.tell(Some(Priced::Health(change(&stored, None, Outcome::RateLimited, 20)))).await;
    assert_eq!(health(store, &replaced).await, Some(expected));
    let rejected = journal.report(&use_of(&replaced), Outcome::InvalidKey).await.rejected;
    assert_eq!((rejected[0].secret_version, rejected[0].in_a_row), (2, 1), "counted anew");
}

async fn only_rejections_in_a_row_count(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let stored = put(store, &key("workspaces/acme/users/ann", "main")).await.unwrap();
    let (of, mut journal) = (use_of(&stored), Journal::new(store));
    let mut told = Vec::new();
    for outcome in [
        Outcome::InvalidKey,
        Outcome::ServerError,
        Outcome::InvalidKey,
        Outcome::Ok,
        Outcome::InvalidKey,
        Outcome::BadRequest,
        Outcome::InvalidKey,
    ] {
        let rejected = journal.report(&of, outcome).await.rejected;
        assert!(rejected.iter().all(|rejected| rejected.name == stored.key.name));
        told.push(rejected.first().map(|rejected| rejected.in_a_row));
    }
    assert_eq!(told, [Some(1), None, Some(2), None, Some(1), None, Some(2)]);
    let in_one = [(100, Outcome::InvalidKey), (101, Outcome::Ok)];
    let entries = in_one.map(|(number, outcome)| reported(&of, REPLICA, number, outcome));
    let taken = take(store, &batch(REPLICA, journal.offset + 1, entries.to_vec())).await;
    assert_eq!(taken.rejected.iter().map(|rejected| rejected.in_a_row).collect::<Vec<_>>(), [0]);

    let mut disabled = stored.clone();
    disabled.key.state = KeyState::Disabled;
    update(store, &disabled).await.unwrap();
    let last = vec![reported(&of, REPLICA, 200, Outcome::InvalidKey)];
    assert_eq!(take(store, &batch(REPLICA, journal.offset + 3, last)).await.rejected, [], "it is not active");
}

async fn nothing_is_kept_of_keys_that_the_vault_does_not_have(place: Place) {
    let Opened { store, raw, place: _place, .. } = &place.open().await;
    let stored = put(store, &key("workspaces/acme", "main")).await.unwrap();
    let mut purged = put(store, &key("workspaces/acme", "purged")).await.unwrap();
    purged.key.state = KeyState::Purged;
    let purged = update(store, &purged).await.unwrap();
    let foreign = Use { payer: Source::Platform, ..use_of(&stored) };
    let elsewhere = Use { workspace: WorkspaceId::parse("other").unwrap(), ..use_of(&stored) };
    let mut journal = Journal::new(store);
    for of in [a_use(), use_of(&purged), foreign, elsewhere] {
        journal.tell(resolved(&of)).await;
        assert_eq!(journal.report(&of, Outcome::InvalidKey).await.rejected, []);
        let cooling = change(&stored, None, Outcome::RateLimited, 1);
        let cooling = HealthChange { tenant: of.tenant(), key: of.key, ..cooling };
        let is_its = of.key == stored.key.name.id && of.tenant() == stored.key.name.owner.tenant;
        assert!(!is_its);
        journal.tell(Some(Priced::Health(cooling))).await;
    }
    for table in ["key_uses", "key_health"] {
        assert_eq!(raw.column::<i64>(&format!("SELECT COUNT(*) FROM {table}")).await, [0], "{table}");
    }
    assert_eq!(counted(store).await, (4, 4), "what was called is counted all the same");
}

async fn what_is_over_for_long_is_forgotten(place: Place) {
    let Opened { store, raw, place: _place, .. } = &place.open().await;
    let stored = put(store, &key("workspaces/acme", "main")).await.unwrap();
    let entries = [(None, Outcome::RateLimited), (Some("m"), Outcome::Ok)]
        .map(|(model, cause)| Some(Priced::Health(change(&stored, model, cause, 10))));
    take(store, &batch(REPLICA, 1, entries.to_vec())).await;
    let left = async |first_offset, after: i64| {
        let late = Batch { now: seconds(2 * 60 * 60 + after), ..batch(REPLICA, first_offset, vec![None]) };
        take(store, &late).await;
        raw.column::<i64>("SELECT COUNT(*) FROM key_health").await[0]
    };
    assert_eq!([left(3, 10).await, left(4, 11).await, left(5, 110).await, left(6, 111).await], [2, 1, 1, 0]);
}
