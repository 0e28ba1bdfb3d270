//! Retention: `audit seal` moves the oldest events into a file, and the log stays one chain.

use std::path::Path;
use std::time::Duration;

use claviger_proto::keyvault_v1::ProviderKey;
use claviger_proto::keyvault_v1::verify_audit_log_response::Kind;
use claviger_tests::{Signal, key, reason};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::stage::{Stage, offline, problem};
use crate::workspaces::{bind, binding, bound, unbind};

#[tokio::test(flavor = "multi_thread")]
async fn sealed_files_and_a_later_export_are_one_chain_and_rows_stay_bound() {
    for stage in Stage::both().await {
        let (active, revoked) = before(&stage).await;
        let (one, two) = (stage.path("one.jsonl"), stage.path("two.jsonl"));
        let (done, said) = stage.seal("0h", &one);
        assert!(done, "{said}");
        stage.fleet.test(&active.name).await.unwrap();
        let (done, said) = stage.seal("0h", &two);
        assert!(done, "{said}");
        stage.append(10).await;

        let head = stage.verified().await.unwrap();
        let rest = stage.export("workspaces/-", 0, "rest.jsonl").await.unwrap();
        let report = offline(&[&one, &two, &rest], &[head]).unwrap();
        assert_eq!((report.first_seq, report.last), (Some(1), Some(head)));
        assert!(offline(&[&one, &rest], &[]).is_err(), "the rest begins behind the second segment");
        assert_eq!(reason(&stage.export("workspaces/-", 1, "gone.jsonl").await.unwrap_err()), "INVALID_FIELD");
        let own = stage.export("workspaces/even", 0, "own.jsonl").await.unwrap();
        assert_eq!(offline(&[&own], &[]).unwrap().events, 5);

        let left = stage.number("SELECT COUNT(*) FROM audit_events").await;
        assert!(left < 30, "of more than 2000 events: {left}");
        stage.fleet.test(&active.name).await.unwrap(); // its row is still bound to its newest event
        assert_eq!(reason(&stage.fleet.test(&revoked.name).await.unwrap_err()), "KEY_REVOKED");
        assert_eq!(stage.number("SELECT COUNT(*) FROM audit_segments").await, 2);
        assert_eq!(stage.number("SELECT COUNT(*) FROM audit_events WHERE action = 'audit.sealed'").await, 2);
        assert_digest(&one, &stage).await;

        let second = stage.number("SELECT MAX(first_seq) FROM audit_segments").await;
        let found = Err(problem(Kind::SegmentAltered, second.cast_unsigned(), ""));
        stage.alter("CREATE TABLE kept_segments AS SELECT * FROM audit_segments").await;
        stage.alter("DELETE FROM audit_segments WHERE first_seq = 1").await;
        assert_eq!(stage.verified().await, found, "nothing leads up to the second");
        stage.alter("INSERT INTO audit_segments SELECT * FROM kept_segments WHERE first_seq = 1").await;
        stage.alter("DELETE FROM audit_segments WHERE first_seq > 1").await;
        assert_eq!(stage.verified().await, found);
    }
}

/// An active key and a revoked one, among many events.
async fn before(stage: &Stage) -> (ProviderKey, ProviderKey) {
    let active = stage.fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let revoked = stage.fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    stage.append(2_000).await;
    stage.fleet.test(&active.name).await.unwrap();
    stage.fleet.revoke(&revoked.name).await.unwrap();
    (active, revoked)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tells_of_ended_sessions_is_sealed_and_the_rest_verifies() {
    for stage in Stage::both().await {
        let fleet = &stage.fleet;
        fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
        for session in ["ended", "living", "later"] {
            bind(fleet, binding("acme", session, "anthropic")).await.unwrap();
        }
        unbind(fleet, "acme", "ended").await.unwrap();
        let (done, said) = stage.seal("0h", &stage.path("one.jsonl"));
        assert!(done, "{said}");
        assert_eq!(stage.number(SESSIONS).await, 2);
        stage.verified().await.unwrap();

        unbind(fleet, "acme", "later").await.unwrap();
        let (done, said) = stage.seal("0h", &stage.path("two.jsonl"));
        assert!(done, "{said}");
        assert_eq!(stage.number(SESSIONS).await, 3, "what ends the later one stays with its beginning");
        let head = stage.verified().await.unwrap();
        let rest = stage.export("workspaces/-", 0, "rest.jsonl").await.unwrap();
        offline(&[&stage.path("one.jsonl"), &stage.path("two.jsonl"), &rest], &[head]).unwrap();
        bound(fleet, "acme", "living").await.unwrap();
        for ended in ["ended", "later"] {
            assert_eq!(reason(&bound(fleet, "acme", ended).await.unwrap_err()), "BINDING_NOT_FOUND");
        }
    }
}

const SESSIONS: &str = "SELECT COUNT(*) FROM audit_events WHERE action LIKE 'session.%'";

/// The segment's row names the file by what `sha256sum` says.
async fn assert_digest(file: &Path, stage: &Stage) {
    let digest = claviger_crypto::sha256(&std::fs::read(file).unwrap());
    let hex = crate::database::hex(&digest);
    let sql = format!("SELECT COUNT(*) FROM audit_events WHERE action = 'audit.sealed' AND details LIKE '%{hex}%'");
    assert_eq!(stage.number(&sql).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_older_events_are_sealed_and_no_file_is_overwritten() {
    let stage = Stage::sqlite().await;
    stage.append(10).await;
    let file = stage.path("one.jsonl");
    let (done, said) = stage.seal("1h", &file);
    assert!(done && said.contains("nothing was moved out") && !file.exists(), "{said}");

    std::fs::write(&file, "kept").unwrap();
    let (done, said) = stage.seal("0h", &file);
    assert!(!done && said.contains("cannot be made") && std::fs::read(&file).unwrap() == b"kept", "{said}");
    assert_eq!(stage.number("SELECT COUNT(*) FROM audit_events").await, 10);

    let time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    stage.append(4).await;
    let (done, said) = stage.seal(&time, &stage.path("half.jsonl"));
    assert!(done && said.contains("last seq   10\n") && said.contains("kept       0,"), "{said}");
    assert!(said.contains("left       none\n"), "{said}");
    assert_eq!(stage.number("SELECT COUNT(*) FROM audit_events").await, 4 + 1);
    assert!(!stage.seal("2999-01-01T00:00:00Z", &stage.path("future.jsonl")).0);
    stage.verified().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_is_not_sealed() {
    for stage in Stage::both().await {
        stage.append(10).await;
        stage.unguard().await;
        stage.alter("DELETE FROM audit_events WHERE seq = 4").await;
        let file = stage.path("damaged.jsonl");
        let (done, said) = stage.seal("0h", &file);
        assert!(!done && said.contains("event 4 is missing") && !file.exists(), "{said}");
        assert_eq!(stage.number("SELECT COUNT(*) FROM audit_events").await, 9);
        assert_eq!(stage.verified().await, Err(problem(Kind::EventMissing, 4, "")));
    }
}

/// Between the file and the transaction, or anywhere: killed at growing distances from the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_seal_loses_nothing() {
    let stage = Stage::sqlite().await;
    stage.append(3_000).await;
    let whole = stage.number("SELECT COUNT(*) FROM audit_events").await;
    let mut sealed = None;
    for round in 0..200_u64 {
        let file = stage.path(&format!("{round}.jsonl"));
        let mut process = stage.sealing("0h", &file);
        tokio::time::sleep(Duration::from_millis(8 * round)).await;
        let _ = process.signal(Signal::KILL); // it may have ended
        process.wait(Duration::from_secs(10)).unwrap();
        let segments = stage.number("SELECT COUNT(*) FROM audit_segments").await;
        if segments == 1 {
            sealed = Some(file);
            break;
        }
        assert_eq!((segments, stage.number("SELECT COUNT(*) FROM audit_events").await), (0, whole), "round {round}");
    }
    stage.verified().await.unwrap();
    let rest = stage.export("workspaces/-", 0, "rest.jsonl").await.unwrap();
    let report = offline(&[&sealed.unwrap(), &rest], &[]).unwrap();
    assert_eq!((report.first_seq, report.last.unwrap().seq), (Some(1), whole + 1));
}

/// Several seals at once, while changes go on: one of them wins each time, and the chain is one.
#[tokio::test(flavor = "multi_thread")]
async fn seals_at_once_beside_a_service_that_writes_are_one_after_another() {
    for stage in Stage::both().await {
        let (mut files, mut round) = (Vec::new(), 0);
        while files.len() < 3 {
            stage.append(500).await;
            let paths = [0, 1].map(|n| stage.path(&format!("{round}-{n}.jsonl")));
            let mut at_once = paths.each_ref().map(|path| stage.sealing("0h", path));
            for _ in 0..5 {
                stage.fleet.create(&format!("workspaces/r{round}"), "anthropic", &key("good")).await.unwrap();
            }
            for (process, path) in at_once.iter_mut().zip(&paths) {
                let status = process.wait(Duration::from_secs(30)).unwrap();
                let said = process.log();
                assert!(status.success() || said.contains("another segment was sealed meanwhile"), "{said}");
                assert_eq!(status.success() && !said.contains("nothing was moved"), path.exists(), "{said}");
                files.extend(path.exists().then(|| path.clone()));
            }
            stage.verified().await.unwrap();
            round += 1;
        }
        let rest = stage.export("workspaces/-", 0, "rest.jsonl").await.unwrap();
        files.sort_by_key(|file| std::fs::read_to_string(file).unwrap().lines().nth(1).map(seq_of));
        files.push(rest);
        let files: Vec<_> = files.iter().map(|file| file.as_path()).collect();
        assert_eq!(offline(&files, &[]).unwrap().first_seq, Some(1));
    }
}

fn seq_of(line: &str) -> i64 {
    serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_i64().unwrap()
}
