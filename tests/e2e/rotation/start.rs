//! Keyrings that lack what the database needs: at a start, and in a file that changes under a running vault.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger_crypto::Keyring;
use claviger_tests::{Process, Signal, key};

use super::place::{list, until_primary};
use super::{Kind, Place};

/// A database that was used under three master keys, in the order of their making.
async fn used_under_three() -> (Place, [String; 3]) {
    let place = Place::new(Kind::Sqlite).await;
    let mut ids = vec![place.ids().remove(0)];
    for workspace in ["workspaces/a", "workspaces/b", "workspaces/c"] {
        let mut fleet = place.fleet().await;
        fleet.create(workspace, "anthropic", &key("good")).await.unwrap();
        fleet.vault.kill().unwrap();
        if ids.len() < 3 {
            ids.push(place.rotate_file().0);
        }
    }
    (place, ids.try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_master_key_that_is_missing_or_wrong_is_named_and_nothing_is_touched() {
    let (place, ids) = used_under_three().await;
    let good = fs::read_to_string(place.key_file()).unwrap();
    let before = place.bytes();
    for id in &ids {
        fs::write(place.key_file(), without(&good, id)).unwrap();
        place.refused().assert_line(&format!("master key {id}, which the key file does not hold"));
        fs::write(place.key_file(), with_another_secret(&good, id)).unwrap();
        assert!(Keyring::parse(&fs::read_to_string(place.key_file()).unwrap()).unwrap().get(id).is_some());
        place.refused().assert_line(&format!("master key {id} of the key file is not the one"));
        assert!(place.bytes() == before, "{id}");
    }
    fs::write(place.key_file(), good).unwrap();
    place.vault().await.kill().unwrap();
    place.assert_sound().await;
}

/// The file without a key; another one takes its place where it is the primary.
fn without(file: &str, id: &str) -> String {
    let mut keyring = Keyring::parse(file).unwrap();
    if keyring.primary().id() == id {
        let next = keyring.add_pending("unknown").unwrap();
        keyring.promote(&next).unwrap();
    }
    keyring.retire(id).unwrap();
    keyring.to_text().to_string()
}

/// The file with another secret, in order by itself, under a key's id.
fn with_another_secret(file: &str, id: &str) -> String {
    let secret = b"another secret, thirty-two bytes";
    let check = crate::startup::check_of(secret, id);
    let table = |table: &str| {
        if !table.contains(&format!("id = \"{id}\"")) {
            return table.to_owned();
        }
        let line = |line: &str| match line.split(' ').next() {
            Some("secret") => format!("secret = \"{}\"", STANDARD.encode(secret)),
            Some("check") => format!("check = \"{check}\""),
            _ => line.to_owned(),
        };
        table.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
    };
    file.split("[[key]]").map(table).collect::<Vec<_>>().join("[[key]]")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_key_that_is_needed_is_not_taken_over() {
    let place = Place::new(Kind::Sqlite).await;
    let mut fleet = place.fleet().await;
    let good = fs::read_to_string(place.key_file()).unwrap();
    let id = place.ids().remove(0);
    fs::write(place.key_file(), without(&good, &id)).unwrap();
    until_logged(&fleet.vault, "is not taken over").await;
    assert!(fleet.vault.log().contains(&format!("master key {id}, which the key file does not hold")));
    fleet.create("workspaces/a", "anthropic", &key("good")).await.unwrap();
    assert_eq!(list(&fleet.vault).await[0].id, id, "the last good one stays");

    fs::write(place.key_file(), &good).unwrap();
    let (new, _) = place.rotate_file();
    until_primary(&fleet.vault, &new).await;
    assert_eq!(place.number("SELECT count(*) FROM master_keys").await, 2, "known before anything is under it");
    fleet.vault.signal(Signal::TERM).unwrap();
    assert!(fleet.vault.wait(Duration::from_secs(30)).unwrap().success());
    place.assert_sound().await;
}

async fn until_logged(vault: &Process, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !vault.log().contains(text) {
        assert!(Instant::now() < deadline, "{text}:\n{}", vault.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
