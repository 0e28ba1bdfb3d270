//! Edits that no single read can find: VerifyAuditLog does.

use claviger_proto::keyvault_v1::DeleteWorkspaceRequest;
use claviger_proto::keyvault_v1::verify_audit_log_response::Kind;

use super::stored::{Stored, store};
use crate::audit::stage::{Stage, problem};

const ACME: &str = "workspaces/acme";

/// The row of an unrevoked key, and its newest event.
async fn kept(stage: &Stage) -> (Stored, u64) {
    let stored = store(&stage.fleet, ACME, "anthropic", "main").await;
    stage.alter("CREATE TABLE kept AS SELECT * FROM provider_keys").await;
    let newest = stage.number("SELECT seq FROM audit_head").await.cast_unsigned();
    (stored, newest)
}

/// A read takes a row's newest event for the newest; that one is missing shows in the chain alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_un_revoked_together_with_its_event() {
    for stage in Stage::both().await {
        let (stored, newest) = kept(&stage).await;
        stage.fleet.revoke(&stored.name()).await.unwrap();
        store(&stage.fleet, ACME, "anthropic", "later").await;
        stage.verified().await.unwrap();
        stage.unguard().await;
        let un_revoke = format!(
            "DELETE FROM audit_events WHERE seq = {newest} + 1; DELETE FROM provider_keys WHERE id = '{0}'; \
             INSERT INTO provider_keys SELECT * FROM kept WHERE id = '{0}'",
            stored.uid
        );
        stage.alter(&un_revoke).await;
        stored.assert_resolves(&stage.fleet).await; // the limit that SECURITY.md tells of
        assert_eq!(stage.verified().await, Err(problem(Kind::EventMissing, newest + 1, "")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_hidden_from_its_workspace_s_deletion() {
    for stage in Stage::both().await {
        let (stored, newest) = kept(&stage).await;
        stage.alter("CREATE TABLE kept_keys AS SELECT * FROM workspace_keys").await;
        let moved = |to: &str| format!("UPDATE provider_keys SET tenant = '{to}' WHERE id = '{}'", stored.uid);
        stage.alter(&moved("workspaces/elsewhere")).await;
        let request = DeleteWorkspaceRequest { name: ACME.to_owned(), ..Default::default() };
        let deleted = stage.fleet.workspaces().delete_workspace(request).await.unwrap().into_inner();
        assert_eq!(deleted.purged_key_count, 0);
        stage.alter(&moved(ACME)).await;
        stage.alter("INSERT INTO workspace_keys SELECT * FROM kept_keys").await; // its secret opens again, too
        assert_eq!(stage.verified().await, Err(problem(Kind::RowAltered, newest, &stored.name())));
    }
}
