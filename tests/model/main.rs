//! The vault against a plain model of it: random sequences of calls, on both databases. Whatever the vault answers, keeps and
//! hands to routing, the model says first.
//!
//! `CLAVIGER_MODEL_CASES` is how many sequences each database gets; `make test-model` runs 100,000.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod apply;
mod expect;
mod ops;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use claviger_keyvault::store::Location;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use expect::Model;
use world::World;

const CASES: u32 = 2_000;
/// Sequences under way at once, each in a workspace of its own: the vault's writer meets them in one transaction.
const AT_ONCE: u32 = 8;

#[test]
fn sqlite_does_as_the_model_says() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let world = runtime.block_on(World::open(&Location::Sqlite(folder.path().join("keyvault.db"))));
    run(&runtime, world);
}

#[test]
fn postgres_does_as_the_model_says() {
    let runtime = runtime();
    let world = runtime.block_on(async {
        let schema = claviger_tests::postgres::schema().await.unwrap();
        World::open(&Location::parse(&schema.url, true).unwrap()).await
    });
    run(&runtime, world);
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn run(runtime: &Runtime, world: World) {
    let cases = std::env::var("CLAVIGER_MODEL_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let (world, workspaces) = (Arc::new(world), Arc::new(AtomicU32::new(0)));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| sequences(runtime, &world, &workspaces, cases.div_ceil(AT_ONCE)));
        }
    });
    runtime.block_on(world.assert_sound());
}

/// Runs some sequences one after the other; one that fails is shrunk to the calls that matter.
fn sequences(runtime: &Runtime, world: &World, workspaces: &AtomicU32, cases: u32) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let outcome = TestRunner::new(config).run(&ops::sequence(), |ops| {
        let workspace = format!("w{}", workspaces.fetch_add(1, Ordering::Relaxed));
        runtime.block_on(async {
            let mut model = Model::new(&workspace);
            for (number, op) in ops.iter().enumerate() {
                apply::apply(world, &mut model, op, number).await?;
            }
            apply::compare(world, &model).await
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
