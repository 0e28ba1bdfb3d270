//! Journals over the wire.

use claviger_proto::keyvault_v1::{JournalEntry, Outcome, ResolvedUse};
use claviger_tests::{Fleet, Options, key, postgres, reason};
use uuid::Uuid;

use super::feed::{FakeRouting, reported, resolved, use_of};
use super::sum;

const WORKSPACE: &str = "workspaces/acme";

fn both(of: &ResolvedUse, replica: Uuid, number: u64) -> Vec<JournalEntry> {
    vec![resolved(of), reported(of, replica, number, Outcome::Ok)]
}

/// The vault dies, sometimes behind its commit and before its acknowledgement; the journal goes on where it was taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_counts_once_through_killed_vaults_and_lost_acknowledgements() {
    let mut fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(WORKSPACE, "anthropic", &key("good")).await.unwrap();
    let (replica, of) = (Uuid::now_v7(), use_of(&stored));
    let mut routing = FakeRouting::subscribe(&fleet.vault, replica).await;
    assert_eq!(routing.tell(1, both(&of, replica, 1)).await.unwrap(), 2);
    drop(routing);

    let again = FakeRouting::subscribe(&fleet.vault, replica).await;
    again.send(1, both(&of, replica, 1)).await;
    again.send(3, both(&of, replica, 2)).await;
    drop(again); // nobody hears the answer
    for round in 0..3 {
        let routing = FakeRouting::subscribe(&fleet.vault, replica).await;
        routing.send(3, [both(&of, replica, 2), both(&of, replica, 3)].concat()).await;
        tokio::time::sleep(std::time::Duration::from_millis(round * 3)).await;
        fleet.restart().await.unwrap();
    }
    let mut routing = FakeRouting::subscribe(&fleet.vault, replica).await;
    let entries = [both(&of, replica, 2), both(&of, replica, 3), both(&of, replica, 4)].concat();
    assert_eq!(routing.tell(3, entries).await.unwrap(), 8);
    let row = sum(&fleet, WORKSPACE).await;
    assert_eq!((row.calls, row.outcomes[0].count, row.outcomes.len()), (4, 4, 1), "{row:?}");
}

/// With loads in between, none of which waits.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_are_sent_without_waiting_are_taken_in_order() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(WORKSPACE, "anthropic", &key("good")).await.unwrap();
    let (replica, of) = (Uuid::now_v7(), use_of(&stored));
    let mut routing = FakeRouting::subscribe(&fleet.vault, replica).await;
    for number in 0..50 {
        routing.send(number * 2 + 1, both(&of, replica, number + 1)).await;
        routing.load(number).await;
    }
    for number in 0..50 {
        assert_eq!(routing.acknowledged().await.unwrap(), number * 2 + 2);
    }
    assert_eq!(sum(&fleet, WORKSPACE).await.calls, 50);
}

/// The largest batch, of the longest names.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_entries_of_the_longest_names_are_taken_and_not_one_more() {
    let fleet = Fleet::start().await.unwrap();
    let replica = Uuid::now_v7();
    let of = ResolvedUse {
        workspace: "w".repeat(63),
        user: "u".repeat(128),
        agent: "a".repeat(128),
        session: "s".repeat(128),
        key_uid: Uuid::now_v7().to_string(),
        secret_version: i32::MAX,
        provider: "p".repeat(63),
        model: "m".repeat(256),
        ..use_of(&Default::default())
    };
    let entries: Vec<_> = (0..2_000).map(|n| reported(&of, replica, u64::MAX - n, Outcome::Ok)).collect();
    let mut routing = FakeRouting::subscribe(&fleet.vault, replica).await;
    assert_eq!(routing.tell(1, entries.clone()).await.unwrap(), 2_000);
    let row = sum(&fleet, &format!("workspaces/{}", of.workspace)).await;
    assert_eq!((row.outcomes[0].count, row.input_tokens), (2_000, 4_000_000));
    let refused = routing.tell(2_001, vec![resolved(&use_of(&Default::default())); 2_001]).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_FIELD");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_this_version_does_not_know_is_passed_by_and_told_of() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(WORKSPACE, "anthropic", &key("good")).await.unwrap();
    let (replica, of) = (Uuid::now_v7(), use_of(&stored));
    let mut routing = FakeRouting::subscribe(&fleet.vault, replica).await;
    let foreign = ResolvedUse { workspace: "Canary!".into(), ..of.clone() };
    let entries = vec![resolved(&of), JournalEntry::default(), resolved(&foreign), resolved(&of)];
    assert_eq!(routing.tell(1, entries).await.unwrap(), 4);
    assert_eq!(sum(&fleet, "platform").await.calls, 2);
    assert!(fleet.vault.log().contains("speaks of something that this version does not know"));
    assert!(!fleet.vault.log().contains("Canary"));
}

/// What a gap's stream sent before it stays taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_ends_the_stream_and_nothing_else() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(WORKSPACE, "anthropic", &key("good")).await.unwrap();
    let (replica, of) = (Uuid::now_v7(), use_of(&stored));
    let mut routing = FakeRouting::subscribe(&fleet.vault, replica).await;
    assert_eq!(routing.tell(1, both(&of, replica, 1)).await.unwrap(), 2);
    assert_eq!(reason(&routing.tell(4, both(&of, replica, 2)).await.unwrap_err()), "JOURNAL_GAP");
    assert!(routing.acknowledged().await.is_err(), "it has ended");
    let mut routing = FakeRouting::subscribe(&fleet.vault, replica).await;
    assert_eq!(routing.tell(3, both(&of, replica, 2)).await.unwrap(), 4);
    assert_eq!(sum(&fleet, WORKSPACE).await.calls, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_vaults_on_one_server_take_one_journal_once() {
    let schema = postgres::schema().await.unwrap();
    let fleet = Fleet::start_with(Options { database: Some(schema.url.clone()), ..Default::default() }).await.unwrap();
    let other = fleet.second_vault().await.unwrap();
    let stored = fleet.create(WORKSPACE, "anthropic", &key("good")).await.unwrap();
    let (replica, second, of) = (Uuid::now_v7(), Uuid::now_v7(), use_of(&stored));
    let mut links =
        [FakeRouting::subscribe(&fleet.vault, replica).await, FakeRouting::subscribe(&other, replica).await];
    for first in [1, 3, 5] {
        for link in &links {
            link.send(first, both(&of, replica, first)).await;
        }
        for link in &mut links {
            assert!(link.acknowledged().await.unwrap() > first);
        }
    }
    // another replica took the same report
    let mut link = FakeRouting::subscribe(&other, second).await;
    assert_eq!(link.tell(1, both(&of, replica, 5)).await.unwrap(), 2);
    let row = sum(&fleet, WORKSPACE).await;
    assert_eq!((row.calls, row.outcomes[0].count), (4, 3), "{row:?}");
}
