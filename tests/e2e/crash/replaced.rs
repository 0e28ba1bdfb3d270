//! kill -9 while secrets are replaced: each key opens, to the secret that was acknowledged last or to one that was on its
//! way, and all that is said of a key is said of that secret.

mod place;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claviger_proto::keyvault_v1::key_vault_client::KeyVaultClient;
use claviger_proto::keyvault_v1::{ReplaceProviderKeySecretRequest, Secret, Verification, secret};
use claviger_tests::fleet::{create_request, key_vault_of};
use claviger_tests::{Process, key, reason};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use place::{Found, Place};

const ROUNDS: usize = 30;
const CLIENTS: usize = 8;
const KEYS: usize = 4;
const WORKSPACE: &str = "workspaces/acme";

/// What a client knows of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Done, as this version.
    Acknowledged(u32),
    /// Another came first.
    Refused,
    /// The vault was killed: it may be done.
    InFlight,
}

/// A replacement that was asked for.
struct Attempt {
    name: String,
    secret: String,
    verification: Verification,
    outcome: Outcome,
}

/// What a key's secret was when the vault was last dead.
struct Known {
    secret: String,
    version: u32,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kill_9_during_replacements_leaves_whole_secrets_on_sqlite() {
    kill_9_leaves_whole_secrets(&Place::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kill_9_during_replacements_leaves_whole_secrets_on_postgresql() {
    kill_9_leaves_whole_secrets(&Place::postgres().await).await;
}

async fn kill_9_leaves_whole_secrets(place: &Place) {
    let mut keys = fill(&place.vault().await).await;
    let mut sealed = Vec::new();
    for round in 0..ROUNDS {
        let mut vault = place.vault().await;
        place::assert_verifies(&vault).await;
        let attempts = replace_until_killed(&mut vault, round, &keys).await;
        let found = place.found().await;
        assert!(found.keys().eq(keys.keys()), "a row for each key");
        for (name, found) in &found {
            let known = keys.get_mut(name).unwrap();
            let attempts: Vec<_> = attempts.iter().filter(|attempt| attempt.name == *name).collect();
            assert_agrees(found, &found_secret(found, known, &attempts));
            (known.secret, known.version) = (found.secret.clone(), found.version);
        }
        sealed.push(found.into_values().map(|found| found.sealed).collect::<Vec<_>>());
    }
    let vault = place.vault().await;
    place::assert_verifies(&vault).await;
    place.assert_old_are_gone(vault, &sealed).await;
}

/// Keys by name.
async fn fill(vault: &Process) -> BTreeMap<String, Known> {
    let mut keys = BTreeMap::new();
    for _ in 0..KEYS {
        let secret = key("good");
        let mut request = create_request(WORKSPACE, "anthropic", &secret);
        request.set_verification(Verification::Skip);
        let name = key_vault_of(vault).create_provider_key(request).await.unwrap().into_inner().name;
        keys.insert(name, Known { secret, version: 1 });
    }
    keys
}

/// Clients replace the keys' secrets; the vault is killed among them, each round after another number of answers: in every
/// other round at once, in the rest some time later.
async fn replace_until_killed(vault: &mut Process, round: usize, keys: &BTreeMap<String, Known>) -> Vec<Attempt> {
    let killed = Arc::new(AtomicBool::new(false));
    let (done, mut acknowledged) = mpsc::unbounded_channel();
    let names: Vec<_> = keys.keys().cloned().collect();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(replace(key_vault_of(vault), number, names.clone(), killed.clone(), done.clone()));
    }
    for _ in 0..2 + round % 9 {
        acknowledged.recv().await.unwrap();
    }
    if !round.is_multiple_of(2) {
        tokio::time::sleep(Duration::from_micros(round as u64 * 250)).await;
    }
    killed.store(true, Ordering::SeqCst);
    vault.kill().unwrap();
    clients.join_all().await.into_iter().flatten().collect()
}

/// Replaces one key's secret after the other's until the vault is gone. Of four clients one has its secrets tested.
async fn replace(
    mut client: KeyVaultClient<Channel>,
    number: usize,
    names: Vec<String>,
    killed: Arc<AtomicBool>,
    acknowledged: UnboundedSender<()>,
) -> Vec<Attempt> {
    let verification = if number.is_multiple_of(4) { Verification::Require } else { Verification::Skip };
    let mut attempts: Vec<Attempt> = Vec::new();
    for name in names.iter().cycle().skip(number) {
        let secret = key("good");
        let request = ReplaceProviderKeySecretRequest {
            name: name.clone(),
            secret: Some(Secret { kind: Some(secret::Kind::ApiKey(secret.clone())) }),
            verification: verification.into(),
            ..Default::default()
        };
        let outcome = match client.replace_provider_key_secret(request).await {
            Ok(answer) => {
                acknowledged.send(()).unwrap();
                Outcome::Acknowledged(answer.into_inner().secret_version.cast_unsigned())
            }
            Err(status) if reason(&status) == "ETAG_MISMATCH" => Outcome::Refused,
            Err(status) => {
                assert!(killed.load(Ordering::SeqCst), "{status:?}");
                Outcome::InFlight
            }
        };
        attempts.push(Attempt { name: name.clone(), secret, verification, outcome });
        if outcome == Outcome::InFlight {
            break;
        }
    }
    attempts
}

/// The attempt whose secret is there; none if the key is as it was before the round.
fn found_secret<'a>(found: &Found, known: &Known, attempts: &[&'a Attempt]) -> Option<&'a Attempt> {
    let mut acknowledged = BTreeMap::new();
    for attempt in attempts {
        if let Outcome::Acknowledged(version) = attempt.outcome {
            assert!(acknowledged.insert(version, *attempt).is_none(), "version {version} was acknowledged twice");
        }
    }
    let last = acknowledged.last_key_value().map_or(known.version, |(version, _)| *version);
    assert!(found.version >= last, "{}: version {last} was acknowledged and is lost", found.name);
    let in_flight: Vec<_> = attempts.iter().filter(|attempt| attempt.outcome == Outcome::InFlight).collect();
    let unanswered = (known.version + 1..=found.version).filter(|version| !acknowledged.contains_key(version));
    assert!(unanswered.count() <= in_flight.len(), "{}: nobody asked for so many versions", found.name);
    if found.version == known.version {
        assert!(found.secret == known.secret, "{}: another secret of the same version", found.name);
        return None;
    }
    let there = match acknowledged.remove(&found.version) {
        Some(attempt) => (attempt.secret == found.secret).then_some(attempt),
        None => in_flight.into_iter().find(|attempt| attempt.secret == found.secret).copied(),
    };
    assert!(there.is_some(), "{}: version {} is of another secret", found.name, found.version);
    there
}

/// The row and the key's newest event tell of the secret that is there.
fn assert_agrees(found: &Found, attempt: &Option<&Attempt>) {
    let name = &found.name;
    assert_eq!(found.mask, claviger_core::key::Mask::of(&found.secret), "{name}");
    assert_eq!(found.told_versions, Vec::from_iter(2..=found.version), "{name}: an event for each version");
    assert_eq!(found.last_seq, found.newest_seq, "{name}: the row is as its newest event says");
    let Some(attempt) = attempt else { return };
    let result = if attempt.verification == Verification::Skip { "SKIPPED" } else { "VALID" };
    assert_eq!((found.test_result.as_str(), found.told_result.as_str()), (result, result), "{name}");
}
