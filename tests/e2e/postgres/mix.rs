//! Clients of two vaults change the keys of one workspace in every way at once. What they were answered makes one history,
//! event by event.

mod caller;
mod calls;
mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use claviger_proto::keyvault_v1::ProviderKey;
use claviger_proto::keyvault_v1::provider_key::State;
use claviger_tests::fleet::key_vault_of;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::load::{WORKSPACE, assert_whole};
use crate::audit::stage::Stage;
use crate::crash::chain;
use caller::Caller;
use calls::{Kind, Log};
use history::{History, lasting};

const CLIENTS: usize = 16;
const STEPS: usize = 30;
/// Keys that nobody revokes.
const LASTING: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_vaults_make_one_history_of_every_kind_of_change() {
    let stage = Stage::postgres().await;
    let logs = work(&stage).await;
    let database = stage.database().await;
    let history = History::of(&chain::verified(&database).await.unwrap(), &logs);
    assert_whole(&database, &[]).await;
    stage.verified().await.unwrap();
    let shown = stage.fleet.keys(WORKSPACE, true).await.unwrap();
    assert_last(&stage, &history, &shown).await;
    assert_counted(&logs, &shown);
    assert_ordered(&logs, &shown);
    assert_refused(&logs, &history);
}

/// All clients at once, half of them at each vault. At last each asks for an order of its own of the same keys.
async fn work(stage: &Stage) -> Vec<Log> {
    let second = stage.fleet.second_vault().await.unwrap();
    let vaults = [key_vault_of(&stage.fleet.vault), key_vault_of(&second)];
    let (names, together) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Barrier::new(CLIENTS)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (mut caller, together) = (Caller::new(number, &vaults, names.clone()), together.clone());
        if number < LASTING {
            caller.create().await;
        }
        clients.spawn(async move {
            together.wait().await;
            caller.work().await;
            together.wait().await;
            caller.reorder_at_last().await;
            caller.log
        });
    }
    clients.join_all().await
}

/// Each key is as its last acknowledged change left it, and opens to the secret acknowledged last.
async fn assert_last(stage: &Stage, history: &History, shown: &[ProviderKey]) {
    let now = shown.iter().map(|key| (key.name.clone(), lasting(key)));
    assert_eq!(now.collect::<BTreeMap<_, _>>(), history.keys);
    let living = shown.iter().filter(|key| key.state() != State::Revoked);
    let names: BTreeSet<_> = living.clone().map(|key| key.name.clone()).collect();
    let slugs: BTreeSet<_> = living.map(|key| key.key_slug.as_str()).collect();
    assert_eq!(slugs.len(), names.len(), "each slug once");
    let opened = stage.inside().await.opened(WORKSPACE).await;
    assert!(opened.iter().map(|(key, _)| key.name.to_string()).collect::<BTreeSet<_>>() == names);
    for (key, secret) in opened {
        let name = key.name.to_string();
        assert!(secret.as_ref() == Some(&history.secrets[&name]), "{name} opens to another secret");
    }
}

/// Labels are counters: each acknowledged increment is in one.
fn assert_counted(logs: &[Log], shown: &[ProviderKey]) {
    let mut counters: BTreeMap<_, usize> = shown.iter().map(|key| (key.name.as_str(), 0)).collect();
    let changes = logs.iter().flat_map(|log| &log.changes);
    for change in changes.filter(|change| matches!(change.kind, Kind::Counted)) {
        *counters.get_mut(change.after.name.as_str()).unwrap() += 1;
    }
    let labels: BTreeMap<_, usize> = shown.iter().map(|key| (key.name.as_str(), key.label.parse().unwrap())).collect();
    assert_eq!(labels, counters);
    assert!(counters.into_values().sum::<usize>() > LASTING, "there was something to lose");
}

/// The order is the one that was asked for last.
fn assert_ordered(logs: &[Log], shown: &[ProviderKey]) {
    let last = logs.iter().flat_map(|log| &log.orders).max_by_key(|order| order.seq).unwrap();
    let active = shown.iter().filter(|key| key.state() == State::Active);
    assert_eq!(active.map(|key| key.name.clone()).collect::<Vec<_>>(), last.names);
}

/// Who was refused, came too late. Other reasons than these have failed the test before.
fn assert_refused(logs: &[Log], history: &History) {
    let mut told = BTreeSet::new();
    for refusal in logs.iter().flat_map(|log| &log.refusals) {
        told.insert((refusal.call, refusal.reason.as_str()));
        let Some(asked) = &refusal.asked else { continue };
        let now = &history.keys[&asked.name];
        match refusal.reason.as_str() {
            "KEY_REVOKED" => assert_eq!(now.state(), State::Revoked, "{}", asked.name),
            _ => assert!(asked.etag != now.etag, "{}: its present etag was refused", asked.name),
        }
    }
    for call in ["count", "replace", "reorder"] {
        assert!(told.contains(&(call, "ETAG_MISMATCH")), "{call}: {told:?}");
    }
    assert!(told.iter().any(|(_, reason)| *reason == "KEY_REVOKED"), "{told:?}");
}
