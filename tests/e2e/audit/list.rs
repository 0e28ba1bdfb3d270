//! ListAuditEvents.

use claviger_proto::keyvault_v1::{AuditEvent, ListAuditEventsRequest};
use claviger_tests::{key, reason};
use tonic::Status;

use super::stage::Stage;

async fn list(stage: &Stage, request: &ListAuditEventsRequest) -> Result<(Vec<AuditEvent>, String), Status> {
    let answer = stage.fleet.audit_log().list_audit_events(request.clone()).await?.into_inner();
    Ok((answer.audit_events, answer.next_page_token))
}

fn request(parent: &str, filter: &str) -> ListAuditEventsRequest {
    ListAuditEventsRequest { parent: parent.into(), filter: filter.into(), page_size: 500, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_newest_first_by_tenant_filter_and_page() {
    for stage in Stage::both().await {
        let acme = stage.fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
        let other = stage.fleet.create("workspaces/other", "anthropic", &key("good")).await.unwrap();
        stage.fleet.revoke(&acme.name).await.unwrap();

        let (all, _) = list(&stage, &request("workspaces/-", "")).await.unwrap();
        assert_eq!(all.len() as i64, stage.number("SELECT COUNT(*) FROM audit_events").await);
        assert!(all.is_sorted_by(|newer, older| newer.seq == older.seq + 1), "{all:?}");
        let (own, _) = list(&stage, &request("workspaces/acme", "")).await.unwrap();
        assert!(own.len() < all.len() && own.iter().all(|event| event.tenant == "workspaces/acme"), "{own:?}");
        let newest = &own[0];
        assert_eq!((newest.action.as_str(), newest.target.as_str()), ("key.revoked", acme.name.as_str()));
        assert_eq!((newest.details["state"].as_str(), newest.hash.len()), ("REVOKED", 64));
        assert!(newest.event_time.unwrap().seconds >= acme.create_time.unwrap().seconds);

        let by_target = format!("target = \"{}\"", other.name);
        let seq = format!("action != \"key.created\" AND seq <= {}", newest.seq);
        let time = "event_time > \"2020-01-01T00:00:00Z\" AND action = \"key.revoked\"";
        for (filter, found) in [(by_target.as_str(), 1), (&seq, all.len() - 2), (time, 1), ("actor = \"nobody\"", 0)] {
            assert_eq!(list(&stage, &request("workspaces/-", filter)).await.unwrap().0.len(), found, "{filter}");
        }
        assert_pages(&stage, &all).await;
        assert_origin(&stage, all[0].seq).await;
    }
}

/// Each field of an event's origin finds the event by its own column, and by no other's.
async fn assert_origin(stage: &Stage, seq: u64) {
    let fields = ["actor", "on_behalf_of", "request_id", "trace_id"];
    let set = fields.map(|field| format!("{field} = '{field}-1'")).join(", ");
    stage.unguard().await;
    stage.alter(&format!("UPDATE audit_events SET {set} WHERE seq = {seq}")).await;
    for field in fields {
        for value in fields {
            let filter = format!("{field} = \"{value}-1\"");
            let found = list(stage, &request("workspaces/-", &filter)).await.unwrap().0;
            assert_eq!(found.len(), usize::from(field == value), "{filter}");
        }
    }
}

/// Events that come meanwhile are newer than all pages behind the first.
async fn assert_pages(stage: &Stage, all: &[AuditEvent]) {
    let mut paged = Vec::new();
    let mut next = ListAuditEventsRequest { page_size: 2, ..request("workspaces/-", "") };
    loop {
        let (page, token) = list(stage, &next).await.unwrap();
        stage.append(1).await;
        paged.extend(page);
        if token.is_empty() {
            break;
        }
        let foreign = ListAuditEventsRequest { page_token: token.clone(), ..request("workspaces/acme", "") };
        assert_eq!(reason(&list(stage, &foreign).await.unwrap_err()), "INVALID_FIELD");
        next.page_token = token;
    }
    assert_eq!(paged, all);
}
