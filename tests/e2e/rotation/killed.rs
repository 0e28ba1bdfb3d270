//! kill -9 in the middle of a rotation: whatever was done is whole, and the next call goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use claviger_proto::keyvault_v1::Verification;
use claviger_proto::keyvault_v1::key_vault_client::KeyVaultClient;
use claviger_tests::fleet::create_request;
use claviger_tests::{Process, key};
use tokio::task::JoinSet;

use super::place::{channel, client, rewrap, rewrap_request};
use super::{Kind, Place};

const ROUNDS: u64 = 30;
const WORKSPACES: usize = 8;
const KEYS: usize = 75;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_during_a_rotation_loses_nothing_on_sqlite() {
    kill_9_during_a_rotation_loses_nothing(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_during_a_rotation_loses_nothing_on_postgres() {
    kill_9_during_a_rotation_loses_nothing(Kind::Postgres).await;
}

async fn kill_9_during_a_rotation_loses_nothing(kind: Kind) {
    let place = Place::new(kind).await;
    let mut vault = place.vault().await;
    let secrets = fill(&vault).await;
    vault.kill().unwrap();
    let mut interrupted = 0;
    for round in 0..ROUNDS {
        if round % 3 == 0 {
            place.rotate_file();
        }
        let mut vault = place.vault().await;
        interrupted += u64::from(!rewrap_until_killed(&mut vault, round).await);
        place.assert_sound().await;
    }
    assert!(interrupted >= ROUNDS / 2, "only {interrupted} rotations were killed in the middle");

    let vault = place.vault().await;
    let done = rewrap(&vault, true).await.unwrap();
    assert_eq!((done.remaining_keys, done.remaining_records, done.unreadable_records), (0, 0, 0));
    let ids = place.ids();
    for old in &ids[1..] {
        assert_eq!(place.rows_under(old).await, 0);
        place.keyring_and_database("retire", &["--id", old]).assert_success();
    }
    assert_eq!(place.number("SELECT count(*) FROM workspace_keys").await, i64::try_from(WORKSPACES).unwrap());
    drop(vault);
    place.vault().await.kill().unwrap();
    assert_all_open(&place, &secrets).await;
}

/// Keys by name, with their secrets.
async fn fill(vault: &Process) -> BTreeMap<String, String> {
    let mut clients = JoinSet::new();
    for number in 0..WORKSPACES {
        let mut client = KeyVaultClient::new(channel(vault));
        clients.spawn(async move {
            let mut secrets = Vec::new();
            for _ in 0..KEYS {
                let secret = key("good");
                let mut request = create_request(&format!("workspaces/w{number}"), "anthropic", &secret);
                request.set_verification(Verification::Skip);
                secrets.push((client.create_provider_key(request).await.unwrap().into_inner().name, secret));
            }
            secrets
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// Kills the vault after some messages, or after some time. Whether the rotation had come to its end.
async fn rewrap_until_killed(vault: &mut Process, round: u64) -> bool {
    let mut stream = client(vault).rewrap_keys(rewrap_request(true)).await.unwrap().into_inner();
    let read = async {
        let enough = if round.is_multiple_of(2) { round / 2 % 8 } else { u64::MAX };
        for _ in 0..enough {
            match stream.message().await.unwrap() {
                Some(message) if message.done => return true,
                Some(_) => {}
                None => return true,
            }
        }
        false
    };
    let most = Duration::from_millis(if round.is_multiple_of(2) { 10_000 } else { 1 + round * 3 / 2 });
    let ended = tokio::time::timeout(most, read).await.unwrap_or(false);
    vault.kill().unwrap();
    ended
}

async fn assert_all_open(place: &Place, secrets: &BTreeMap<String, String>) {
    let inside = place.inside().await;
    let mut opened = BTreeMap::new();
    for number in 0..WORKSPACES {
        for (key, secret) in inside.opened(&format!("workspaces/w{number}")).await {
            opened.insert(key.name.to_string(), secret.unwrap());
        }
    }
    assert!(opened == *secrets, "each key opens to its own secret");
}
