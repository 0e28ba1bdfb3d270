//! How long a rotation of 100,000 keys takes, under load. Ignored by default: `make bench-rewrap` runs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use claviger_proto::keyvault_v1::Verification;
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::{Fleet, key};
use tokio::task::JoinSet;

use super::place::{rewrap, until_primary};
use super::{Kind, Place};

const WORKSPACES: u64 = 1_000;
/// Of each kind.
const CLIENTS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make bench-rewrap"]
async fn a_hundred_thousand_keys_on_sqlite() {
    measure(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make bench-rewrap"]
async fn a_hundred_thousand_keys_on_postgres() {
    measure(Kind::Postgres).await;
}

struct Load {
    fleet: Fleet,
    over: AtomicBool,
    created: AtomicU64,
    resolved: AtomicU64,
    failed: AtomicU64,
    slowest: AtomicU64,
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
async fn measure(kind: Kind) {
    let keys = std::env::var("CLAVIGER_BENCH_KEYS").map_or(100_000, |keys| keys.parse().unwrap());
    let place = Place::new(kind).await;
    let (over, none) = (AtomicBool::new(false), AtomicU64::default);
    let load =
        Load { fleet: place.fleet().await, over, created: none(), resolved: none(), failed: none(), slowest: none() };
    let load = Arc::new(load);
    load.clone().fill(keys).await;
    let filled = load.fleet.vault.peak_memory().unwrap();
    let (new, old) = place.rotate_file();
    until_primary(&load.fleet.vault, &new).await;

    let mut tasks = JoinSet::new();
    for client in 0..CLIENTS {
        tasks.spawn(load.clone().create(client));
        tasks.spawn(load.clone().resolve(client));
    }
    let begun = Instant::now();
    let done = rewrap(&load.fleet.vault, true).await.unwrap();
    let took = begun.elapsed();
    load.over.store(true, Ordering::Relaxed);
    tasks.join_all().await;

    let rows = done.rewrapped_keys + done.resealed_records;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{kind:?}: {rows} rows in {took:.1?} ({:.0} a second); meanwhile {} creates, {} resolves, slowest {:?}, \
         {} failed; peak memory of the vault {} MiB ({} MiB before)",
        f64::from(i32::try_from(rows).unwrap()) / took.as_secs_f64(),
        count(&load.created),
        count(&load.resolved),
        Duration::from_micros(count(&load.slowest)),
        count(&load.failed),
        load.fleet.vault.peak_memory().unwrap() / 1024,
        filled / 1024,
    );
    assert_eq!((count(&load.failed), done.unreadable_records, place.rows_under(&old).await), (0, 0, 0));
    place.assert_sound().await;
}

impl Load {
    async fn fill(self: Arc<Self>, keys: u64) {
        const AT_ONCE: u64 = 32;
        let mut tasks = JoinSet::new();
        for first in 0..AT_ONCE {
            let load = self.clone();
            tasks.spawn(async move {
                for number in (first..keys).step_by(usize::try_from(AT_ONCE).unwrap()) {
                    load.store(number % WORKSPACES, number / WORKSPACES).await;
                }
            });
        }
        tasks.join_all().await;
    }

    async fn store(&self, workspace: u64, number: u64) {
        let mut request = create_request(&format!("workspaces/w{workspace}"), "anthropic", &key("good"));
        request.provider_key.as_mut().unwrap().key_slug = format!("k{number}");
        request.set_verification(Verification::Skip);
        self.fleet.store(request).await.unwrap();
    }

    async fn create(self: Arc<Self>, client: u64) {
        let mut number = 0;
        while !self.over.load(Ordering::Relaxed) {
            number += 1;
            self.store(number * CLIENTS % WORKSPACES + client, 1_000 + number).await;
            self.created.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn resolve(self: Arc<Self>, client: u64) {
        let mut number = client * 7;
        while !self.over.load(Ordering::Relaxed) {
            number += 1;
            let mut request = resolve_request(&format!("workspaces/w{}", number % WORKSPACES));
            request.key_slug = "k0".into();
            let begun = Instant::now();
            let resolved = self.fleet.resolve(request).await;
            self.failed.fetch_add(u64::from(resolved.is_err()), Ordering::Relaxed);
            self.resolved.fetch_add(1, Ordering::Relaxed);
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap();
            self.slowest.fetch_max(took, Ordering::Relaxed);
        }
    }
}
