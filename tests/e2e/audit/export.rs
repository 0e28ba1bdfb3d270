//! ExportAuditEvents, read by the offline verifier.

use claviger_tests::{key, reason};

use super::stage::{Stage, offline};

#[tokio::test(flavor = "multi_thread")]
async fn exports_of_all_of_a_part_and_of_one_tenant_verify_offline() {
    for stage in Stage::both().await {
        stage.fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
        stage.append(2_500).await; // several parts
        let head = stage.verified().await.unwrap();

        let all = stage.export("workspaces/-", 0, "all.jsonl").await.unwrap();
        let report = offline(&[&all], &[head]).unwrap();
        assert_eq!((report.first_seq, report.events, report.last), (Some(1), head.seq.cast_unsigned(), Some(head)));
        assert!(std::fs::metadata(&all).unwrap().len() > 3 * (64 << 10), "several parts");

        let part = stage.export("workspaces/-", 1_000, "part.jsonl").await.unwrap();
        let report = offline(&[&part], &[head]).unwrap();
        assert_eq!((report.first_seq, report.last), (Some(1_000), Some(head)));

        for (tenant, events) in [("workspaces/even", 1_250), ("workspaces/odd", 1_250), ("workspaces/nobody", 0)] {
            let own = stage.export(tenant, 0, "own.jsonl").await.unwrap();
            assert_eq!(offline(&[&own], &[]).unwrap().events, events, "{tenant}");
        }
        let next = head.seq.cast_unsigned() + 1;
        let none = stage.export("workspaces/-", next, "none.jsonl").await.unwrap();
        assert_eq!(offline(&[&all, &none], &[head]).unwrap().files, 2, "nothing follows all");
        for (parent, first) in [("workspaces/-", next + 1), ("workspaces/acme", u64::MAX), ("acme", 0)] {
            let refused = stage.export(parent, first, "refused.jsonl").await.unwrap_err();
            assert_eq!(reason(&refused), "INVALID_FIELD", "{parent} {first}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stretches_are_one_log_for_the_offline_verifier() {
    for stage in Stage::both().await {
        stage.append(500).await;
        let (done, said) = stage.seal("0h", &stage.path("sealed.jsonl"));
        assert!(done, "{said}");
        stage.append(1_600).await;
        let head = stage.verified().await.unwrap();
        let end = head.seq.cast_unsigned();
        for (parent, events) in [("workspaces/-", end - 500), ("workspaces/odd", 800)] {
            let (mut files, mut first) = (Vec::new(), 501);
            while first <= end {
                let name = format!("{first}.jsonl");
                files.push(stage.export_to(parent, first, first + 699, &name).await.unwrap());
                first += 700;
            }
            let files: Vec<_> = files.iter().map(|file| file.as_path()).collect();
            let report = offline(&files, &[]).unwrap();
            assert_eq!((report.files, report.events), (3, events), "{parent}");
            if parent == "workspaces/-" {
                let sealed = stage.path("sealed.jsonl");
                let whole = [&[sealed.as_path()], &files[..]].concat();
                let report = offline(&whole, &[head]).unwrap();
                assert_eq!((report.first_seq, report.last), (Some(1), Some(head)));
                assert!(offline(&[files[0], files[2]], &[]).is_err(), "a stretch is missing");
            }
        }
        let refused = stage.export_to("workspaces/-", 700, 699, "refused.jsonl").await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD");
    }
}

/// The end is fixed at the start: what comes meanwhile is for the next export.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_ends_although_events_keep_coming() {
    use claviger_proto::keyvault_v1::ExportAuditEventsRequest;
    let stage = Stage::sqlite().await;
    stage.append(5_000).await;
    let end = stage.number("SELECT seq FROM audit_head").await;
    let request = ExportAuditEventsRequest { parent: "workspaces/-".into(), ..Default::default() };
    let mut parts = stage.fleet.audit_log().export_audit_events(request).await.unwrap().into_inner();
    let mut text = parts.message().await.unwrap().unwrap().lines;
    stage.append(1_000).await;
    while let Some(part) = parts.message().await.unwrap() {
        text.push_str(&part.lines);
    }
    let file = stage.path("fixed.jsonl");
    std::fs::write(&file, text).unwrap();
    assert_eq!(offline(&[&file], &[]).unwrap().last.unwrap().seq, end);
}
