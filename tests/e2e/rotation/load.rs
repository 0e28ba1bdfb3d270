//! Rotations while keys are created, tested, revoked and resolved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use claviger_proto::keyvault_v1::Verification;
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::{Fleet, key};
use tokio::task::JoinSet;

use super::place::{rewrap, until_primary};
use super::{Kind, Place};

const WORKSPACES: usize = 4;
/// Few, so that rotations follow each other closely and each call may meet one at any of its steps.
const KEYS: usize = 3;
const PHASE: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_fails_during_rotations_on_sqlite() {
    no_call_fails_during_rotations(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_fails_during_rotations_on_two_replicas_with_postgres() {
    no_call_fails_during_rotations(Kind::Postgres).await;
}

/// What goes on meanwhile.
struct Load {
    fleet: Arc<Fleet>,
    over: AtomicBool,
    resolved: AtomicU64,
    changed: AtomicU64,
}

async fn no_call_fails_during_rotations(kind: Kind) {
    let place = Place::new(kind).await;
    let fleet = Arc::new(place.fleet().await);
    let load = Arc::new(Load {
        fleet: fleet.clone(),
        over: AtomicBool::new(false),
        resolved: AtomicU64::new(0),
        changed: AtomicU64::new(0),
    });
    let mut fixed = Vec::new();
    for number in 0..WORKSPACES {
        fixed.push(load.fill(number).await);
    }
    let mut tasks = JoinSet::new();
    for (number, secret) in fixed.into_iter().enumerate() {
        tasks.spawn(load.clone().resolve(number, secret));
        tasks.spawn(load.clone().change(number));
    }
    let second = if kind == Kind::Postgres { Some(place.vault().await) } else { None };
    let second = second.as_ref().unwrap_or(&fleet.vault);
    let rotate = async || {
        let end = Instant::now() + PHASE;
        while Instant::now() < end {
            let (one, other) = tokio::join!(rewrap(&fleet.vault, true), rewrap(second, true));
            assert_eq!((one.unwrap().unreadable_records, other.unwrap().unreadable_records), (0, 0));
        }
    };
    rotate().await;
    let (new, _) = place.rotate_file();
    until_primary(&fleet.vault, &new).await;
    until_primary(second, &new).await;
    rotate().await;
    load.over.store(true, Ordering::Relaxed);
    tasks.join_all().await;
    let (resolved, changed) = (load.resolved.load(Ordering::Relaxed), load.changed.load(Ordering::Relaxed));
    assert!(resolved > 100 && changed > 50, "{resolved} resolves, {changed} changes");
    let done = rewrap(&fleet.vault, false).await.unwrap();
    assert_eq!((done.remaining_keys, place.rows_under(&place.ids()[1]).await), (0, 0));
    place.assert_sound().await;
}

impl Load {
    /// The secret of the key that will be resolved.
    async fn fill(&self, number: usize) -> String {
        let secret = self.store(number, "fixed").await.1;
        for _ in 1..KEYS {
            self.store(number, "").await;
        }
        secret
    }

    async fn store(&self, number: usize, slug: &str) -> (String, String) {
        let secret = key("good");
        let mut request = create_request(&format!("workspaces/w{number}"), "anthropic", &secret);
        request.provider_key.as_mut().unwrap().key_slug = slug.to_owned();
        request.set_verification(Verification::Skip);
        (self.fleet.store(request).await.unwrap().name, secret)
    }

    async fn resolve(self: Arc<Self>, number: usize, secret: String) {
        while !self.over.load(Ordering::Relaxed) {
            let mut request = resolve_request(&format!("workspaces/w{number}"));
            request.key_slug = "fixed".into();
            let resolved = self.fleet.resolve(request).await.unwrap();
            assert_eq!(resolved.credential.unwrap().secret, secret);
            self.resolved.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each new key opens at once, by a live test, and is revoked.
    async fn change(self: Arc<Self>, number: usize) {
        while !self.over.load(Ordering::Relaxed) {
            let (name, _) = self.store(number, "").await;
            self.fleet.test(&name).await.unwrap();
            self.fleet.revoke(&name).await.unwrap();
            self.changed.fetch_add(1, Ordering::Relaxed);
        }
    }
}
