//! What the vault logs of its audit log as it goes.

use std::time::Duration;

use claviger_keyvault::audit_file::Head;
use claviger_tests::{Signal, key};

use super::stage::{Stage, offline};

fn heads(log: &str) -> Vec<Head> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let heads = lines.filter(|line| line["message"] == "audit head" && line["level"] == "INFO");
    heads.map(|line| line["fields"]["audit.head"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_is_logged_as_it_moves_and_at_the_end_as_the_verifier_takes_it() {
    let mut stage = Stage::sqlite().await;
    stage.fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    stage.append(1_500).await;
    let end = stage.number("SELECT seq FROM audit_head").await;
    let mut waited = 0;
    while !heads(&stage.fleet.vault.log()).iter().any(|head| head.seq >= 1_000) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        waited += 1;
        assert!(waited < 100, "{}", stage.fleet.vault.log());
    }
    let stored = stage.fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let file = stage.export("workspaces/-", 0, "all.jsonl").await.unwrap();
    stage.fleet.vault.signal(Signal::TERM).unwrap();
    assert!(stage.fleet.vault.wait(Duration::from_secs(10)).unwrap().success());

    let heads = heads(&stage.fleet.vault.log());
    let last = heads.last().unwrap();
    assert!(last.seq > end && heads.is_sorted(), "{heads:?} {}", stored.name);
    assert_eq!(last.seq, stage.number("SELECT seq FROM audit_head").await);
    assert_eq!(offline(&[&file], &heads).unwrap().heads, heads.len());
}
