//! VerifyAuditLog: no false alarm, whatever goes on, and progress. What it finds is in `tamper`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claviger_proto::keyvault_v1::verify_audit_log_response::Kind;
use claviger_proto::keyvault_v1::{Verification, VerifyAuditLogRequest};
use claviger_tests::fleet::create_request;
use claviger_tests::{Signal, key, reason};
use tonic::Code;
use tonic_types::StatusExt;

use super::stage::{Stage, problem};

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_log_verifies_with_progress_and_an_altered_one_does_not() {
    for stage in Stage::both().await {
        let stored = stage.fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
        stage.append(12_000).await;
        let told = stage.verification().await.unwrap();
        assert!(told.len() >= 2, "each 10,000 events: {told:?}");
        assert!(told.is_sorted_by_key(|message| message.verified_events));
        assert!(told.iter().rev().skip(1).all(|message| !message.done && message.head_seq == 0));
        let head = stage.verified().await.unwrap();
        assert_eq!(head.seq, stage.number("SELECT seq FROM audit_head").await);

        stage.alter(&format!("UPDATE provider_keys SET label = 'mine' WHERE id = '{}'", stored.uid)).await;
        let seq = stage.number(&format!("SELECT MAX(seq) FROM audit_events WHERE target = '{}'", stored.name)).await;
        let altered = problem(Kind::RowAltered, seq.cast_unsigned(), &stored.name);
        assert_eq!(stage.verified().await, Err(altered));
    }
}

/// Creates, tests and revokes go on while the log is verified again and again.
#[tokio::test(flavor = "multi_thread")]
async fn changes_meanwhile_raise_no_false_alarm() {
    for stage in Stage::both().await {
        let stage = Arc::new(stage);
        stage.append(3_000).await;
        let done = Arc::new(AtomicBool::new(false));
        let changing: Vec<_> = (0..4).map(|worker| tokio::spawn(change(stage.clone(), worker, done.clone()))).collect();
        let mut verified = 0;
        let two = async |stage: &Stage| tokio::join!(stage.verified(), stage.verified());
        while verified < 10 {
            let (one, other) = two(&stage).await;
            assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
            verified += 1;
        }
        done.store(true, Ordering::Relaxed);
        for worker in changing {
            assert!(worker.await.unwrap() > 0, "changes were made meanwhile");
        }
        stage.verified().await.unwrap();
    }
}

/// One verification runs at a time, so the last of many is far from its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_a_signal_breaks_off_does_not_end_well() {
    let mut stage = Stage::sqlite().await;
    stage.append(20_000).await;
    let mut client = stage.fleet.audit_log();
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(client.verify_audit_log(VerifyAuditLogRequest {}).await.unwrap().into_inner());
    }
    let mut last = streams.pop().unwrap();
    assert!(!last.message().await.unwrap().unwrap().done);
    stage.fleet.vault.signal(Signal::TERM).unwrap();
    let end = loop {
        match last.message().await {
            Ok(Some(message)) => assert!(!message.done),
            Ok(None) => unreachable!("it ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unavailable, "STORAGE_UNAVAILABLE"));
    assert!(end.get_details_retry_info().is_some());
    drop((client, streams, last));
    assert!(stage.fleet.vault.wait(Duration::from_secs(10)).unwrap().success());
}

async fn change(stage: Arc<Stage>, worker: usize, done: Arc<AtomicBool>) -> usize {
    let mut changes = 0;
    while !done.load(Ordering::Relaxed) {
        let parent = format!("workspaces/w{worker}-{}", changes % 5);
        let mut request = create_request(&parent, "anthropic", &key("good"));
        request.set_verification(Verification::Skip);
        let stored = stage.fleet.store(request).await.unwrap();
        stage.fleet.revoke(&stored.name).await.unwrap();
        changes += 1;
    }
    changes
}
