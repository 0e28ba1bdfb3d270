//! What steers a call to its key, and what callers' reports do.

mod health;
mod orders;

use claviger_core::ids::{KeyId, ProviderId, WorkspaceId};
use claviger_core::journal::Use;
use claviger_core::route::Source;
use claviger_crypto::ResolutionSealer;
use claviger_proto::keyvault::use_bytes;
use claviger_proto::keyvault_v1 as kv;
use claviger_proto::routing_v1 as rt;
use claviger_tests::Fleet;
use claviger_tests::fleet::{create_request, resolve_request};
use tonic::Status;

/// Stores a key under a slug of its own.
async fn store(fleet: &Fleet, parent: &str, provider: &str, slug: &str, secret: &str) -> kv::ProviderKey {
    let mut request = create_request(parent, provider, secret);
    crate::flow::edit(&mut request).key_slug = slug.into();
    fleet.store(request).await.unwrap()
}

async fn explain(fleet: &Fleet, ask: rt::ResolveKeyRequest) -> rt::ExplainRouteResponse {
    fleet.routing().explain_route(ask).await.unwrap().into_inner()
}

/// A call that is refused because its only key cools.
pub(crate) async fn all_cooling(fleet: &Fleet) -> Status {
    fleet.create("workspaces/cooling", "mistral", &claviger_tests::key_for("", "good")).await.unwrap();
    let (provider, fallback_consent) = ("mistral".into(), kv::FallbackConsent::Never.into());
    let ask = rt::ResolveKeyRequest { provider, fallback_consent, ..resolve_request("workspaces/cooling") };
    let resolution = fleet.resolve(ask.clone()).await.unwrap();
    report(fleet, &resolution.resolution_id, kv::Outcome::RateLimited).await.unwrap();
    fleet.resolve(ask).await.unwrap_err()
}

/// The id of a resolution that some replica of this vault made so long ago.
pub(crate) async fn resolved_earlier(fleet: &Fleet, ago: time::Duration) -> String {
    let of = Use {
        workspace: WorkspaceId::parse("acme").unwrap(),
        user: None,
        agent: None,
        session: None,
        key: KeyId::new(uuid::Uuid::now_v7()),
        secret_version: 1,
        provider: ProviderId::parse("anthropic").unwrap(),
        model: None,
        payer: Source::Workspace,
        time: time::OffsetDateTime::now_utc() - ago,
    };
    let key = crate::rotation::handed_out(&fleet.vault).await;
    ResolutionSealer::new(0).unwrap().seal(&key, &use_bytes(&of)).unwrap().0
}

/// Reports what came of a call.
pub(crate) async fn report(fleet: &Fleet, id: &str, outcome: kv::Outcome) -> Result<rt::ReportOutcomeResponse, Status> {
    let result = Some(rt::report_outcome_request::Result::Outcome(outcome.into()));
    let request = rt::ReportOutcomeRequest { resolution_id: id.into(), result, usage: None };
    Ok(fleet.routing().report_outcome(request).await?.into_inner())
}
