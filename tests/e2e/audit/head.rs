//! What the vault logs of its audit log as it goes.

use std::path::Path;
use std::time::Duration;

use claviger_keyvault::audit_file::Head;
use claviger_tests::{Process, Signal, key};

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

/// The command itself, as an auditor runs it: by its exit code and what it says.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_verifies_an_export_against_heads_and_fails_for_what_is_wrong() {
    let stage = Stage::sqlite().await;
    stage.fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let head = stage.verified().await.unwrap();
    let file = stage.export("workspaces/-", 0, "all.jsonl").await.unwrap();
    let verify = |file: &Path, head: &str| {
        let arguments = ["audit", "verify", "--head", head, &*file.to_string_lossy()];
        let mut process = Process::spawn("claviger-keyvault", &arguments, &[]).unwrap();
        let status = process.wait(Duration::from_secs(30)).unwrap();
        (status.code(), process.log())
    };
    let (code, said) = verify(&file, &head.to_string());
    assert!(code == Some(0) && said.contains(&head.seq.to_string()), "{said}");

    let other = Head { hash: [7; 32], ..head };
    assert_eq!(verify(&file, &other.to_string()).0, Some(1), "a head that the log does not have");
    let edited = stage.path("edited.jsonl");
    std::fs::write(&edited, std::fs::read_to_string(&file).unwrap().replacen("key.created", "key.purged ", 1)).unwrap();
    let (code, said) = verify(&edited, &head.to_string());
    let lines = said.lines().filter(|line| line.starts_with("claviger-keyvault: ")).count();
    assert!(code == Some(1) && lines == 1, "{said}");
}
