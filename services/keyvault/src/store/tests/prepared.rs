//! Opening: which schema, which role, and several at once for the first time.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;
use crate::store::role::GRANTS;
use crate::store::{FreshKeys, ServiceKeyRow, migrate, migrations};

both! {
    of_replicas_that_start_at_once_one_makes_what_all_then_have,
    another_master_key_of_one_id_comes_too_late,
    keys_are_made_for_a_new_database_alone,
    migrations_that_run_at_once_run_once,
    a_database_of_the_next_release_serves_this_one,
    a_database_of_an_unknown_release_is_refused_and_not_touched,
}

const REPLICAS: usize = 6;

fn master_key(check: u8) -> MasterKeyRow {
    MasterKeyRow { id: "root-1".into(), check_value: vec![check; 16] }
}

/// Takes up keys that nobody else would make; answers what is then there.
async fn start(database: &Database, mark: u8, check: u8) -> Result<Vec<ServiceKeyRow>, StoreError> {
    let fresh =
        |purpose: &str| ServiceKeyRow { purpose: purpose.into(), master_key: "root-1".into(), wrapped: vec![mark] };
    let kept = ["one", "two", "three"].map(fresh);
    let wanted = FreshKeys { kept: &kept, remade: &[fresh("zero")] };
    let take_up = |known: &[MasterKeyRow], rows: &[ServiceKeyRow]| {
        if known != [master_key(check)] {
            return Err(StoreError::Corrupt("test"));
        }
        Ok(rows.to_vec())
    };
    database.service_keys(&master_key(check), wanted, time(), take_up).await
}

async fn of_replicas_that_start_at_once_one_makes_what_all_then_have(place: Place) {
    migrate(&place.location(), None).await.unwrap();
    let place = Arc::new(place);
    let barrier = Arc::new(Barrier::new(REPLICAS));
    let mut replicas = JoinSet::new();
    for mark in 0..REPLICAS {
        let (place, barrier) = (place.clone(), barrier.clone());
        replicas.spawn(async move {
            barrier.wait().await;
            let database = place.database().await.unwrap();
            let keys = start(&database, mark as u8, 1).await.unwrap();
            (database.into_store(binding_key()).0.epoch(), keys)
        });
    }
    let all = replicas.join_all().await;
    assert!(all.iter().all(|replica| replica == &all[0]), "{all:?}");
    assert_eq!(all[0].1.len(), 4);
}

async fn another_master_key_of_one_id_comes_too_late(place: Place) {
    let database = place.database().await.unwrap();
    start(&database, 1, 1).await.unwrap();
    assert!(matches!(start(&database, 2, 2).await, Err(StoreError::Corrupt("test"))));
    assert_eq!(start(&database, 3, 1).await.unwrap()[0].wrapped, [1]);
}

/// One that was made anew would find nothing that was made with the one before, unless its work is worth nothing so soon.
async fn keys_are_made_for_a_new_database_alone(place: Place) {
    let opened = place.open().await;
    let database = opened.place.database().await.unwrap();
    let marks = async |mark| {
        let mut marks: Vec<_> = start(&database, mark, 1).await.unwrap().iter().map(|key| key.wrapped[0]).collect();
        marks.sort_unstable();
        marks
    };
    assert_eq!(marks(1).await, [1, 1, 1, 1]);
    opened.raw.execute("DELETE FROM service_keys").await;
    assert_eq!(marks(2).await, [2, 2, 2, 2], "nothing was done with those before");
    opened.raw.change("UPDATE service_keys SET purpose = 'four' WHERE purpose = 'two'").await;
    assert_eq!(marks(3).await, [2, 2, 2, 2], "renamed");
    opened.raw.change("DELETE FROM service_keys WHERE purpose = 'four'").await;
    assert_eq!(marks(4).await, [2, 2, 2], "deleted");
    opened.raw.change("DELETE FROM service_keys WHERE purpose = 'zero'").await;
    assert_eq!(marks(5).await, [2, 2, 5], "one that may be another");
    assert_eq!(marks(6).await, [2, 2, 5]);
    put(&opened.store, &key("workspaces/acme", "main")).await.unwrap();
    opened.raw.execute("DELETE FROM service_keys").await;
    assert_eq!(marks(7).await, [7], "there are events: it is not new");
}

async fn migrations_that_run_at_once_run_once(place: Place) {
    let location = place.location();
    assert!(migrations(&location).await.unwrap().iter().all(|migration| !migration.applied));
    let mut runs = JoinSet::new();
    for _ in 0..REPLICAS {
        let location = location.clone();
        runs.spawn(async move { migrate(&location, None).await.unwrap().len() });
    }
    let mut ran = runs.join_all().await;
    ran.sort_unstable();
    let all = migrations(&location).await.unwrap();
    assert!(all.iter().all(|migration| migration.applied) && !all.is_empty());
    assert_eq!((ran[..REPLICAS - 1].iter().sum::<usize>(), ran[REPLICAS - 1]), (0, all.len()));
}

/// While replicas are upgraded one by one, those of the release before start again on the schema of the next.
async fn a_database_of_the_next_release_serves_this_one(place: Place) {
    let Opened { raw, place, .. } = place.open().await;
    raw.execute("INSERT INTO seaql_migrations VALUES ('m29990101_000001_future', 0)").await;
    assert_eq!(migrate(&place.location(), None).await.unwrap(), []);
    place.database().await.unwrap();
}

async fn a_database_of_an_unknown_release_is_refused_and_not_touched(place: Place) {
    let Opened { raw, place, .. } = place.open().await;
    raw.execute("INSERT INTO seaql_migrations VALUES ('m20260101_000001_past', 0)").await;
    raw.execute("DROP TABLE request_ids").await;
    let refused = place.database().await.map(drop);
    assert!(matches!(refused, Err(StoreError::ForeignSchema)), "{refused:?}");
    let refused = migrate(&place.location(), None).await;
    assert!(matches!(refused, Err(StoreError::ForeignSchema)), "{refused:?}");
    assert!(raw.0.execute_unprepared("SELECT 1 FROM request_ids").await.is_err(), "nothing was made");
}

/// The embedded database is for one process: it migrates itself.
#[tokio::test]
async fn a_server_that_was_not_migrated_is_refused_and_not_touched() {
    let place = Place::postgres().await;
    let admit = |_: &[MasterKeyRow]| Ok(());
    let refused = Database::open(&place.location(), Prepared::Before, admit).await.map(drop);
    assert!(matches!(refused, Err::<(), StoreError>(StoreError::Schema)), "{refused:?}");
    assert!(migrations(&place.location()).await.unwrap().iter().all(|migration| !migration.applied));
    migrate(&place.location(), None).await.unwrap();
    let mighty = Database::open(&place.location(), Prepared::Before, admit).await.map(drop);
    assert!(matches!(mighty, Err::<(), StoreError>(StoreError::TooMightyRole)), "{mighty:?}");

    let place = Place::sqlite();
    Database::open::<StoreError>(&place.location(), Prepared::Before, admit).await.unwrap();
}

/// Whoever adds a table says what the service does to it.
#[tokio::test]
async fn every_table_has_its_grants() {
    let opened = Place::postgres().await.open().await;
    let mut tables: Vec<String> =
        opened.raw.column("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()").await;
    let mut granted = GRANTS.map(|(table, _)| table.to_owned()).to_vec();
    tables.sort();
    granted.sort();
    assert_eq!(granted, tables);
}
