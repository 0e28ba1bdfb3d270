//! The calls of routing.

use claviger_proto::routing_v1::{
    Header, HttpFacts, ReportOutcomeRequest, Resolution, ResolveKeyRequest, report_outcome_request,
};
use claviger_tests::fleet::resolve_request;
use tonic::{Response, Status};

use super::{Calls, WORKSPACE, with};

/// Puts the secret into a field.
type Change = fn(&mut ResolveKeyRequest, String);

impl Calls<'_> {
    /// The secret is handed out; what is kept of the answer is its `Debug`.
    pub(super) async fn resolve(&mut self) {
        let mut exclude = Vec::new();
        for _ in 0..4 {
            let request = ResolveKeyRequest { exclude_key_ids: exclude.clone(), ..narrowed() };
            let explained = self.fleet.routing().explain_route(self.with_id(request.clone())).await;
            self.keep(explained);
            let resolved = self.fleet.routing().resolve_key(self.with_id(request)).await;
            let resolution = self.keep(resolved).unwrap();
            assert!(resolution.credential.unwrap().secret.contains(self.canaries.api_key.text()));
            exclude.push(resolution.key.unwrap().uid);
        }
        let mut pinned = resolve_request(WORKSPACE);
        pinned.key_slug = "vertex".to_owned();
        let refused = self.fleet.routing().resolve_key(pinned).await;
        self.refused("a service account", refused);
        let nothing = self.fleet.routing().resolve_key(resolve_request(WORKSPACE)).await;
        self.refused("a request that nothing narrows", nothing);
    }

    /// The secret in each field that is not for it.
    pub(super) async fn misplace_in_routing(&mut self) {
        let changes: [Change; 12] = [
            |request, secret| request.workspace = secret,
            |request, secret| request.workspace = format!("workspaces/{secret}"),
            |request, secret| request.user = secret,
            |request, secret| request.agent = secret,
            |request, secret| request.session = secret,
            |request, secret| request.key_slug = secret,
            |request, secret| request.provider = secret,
            |request, secret| request.category = secret,
            |request, secret| request.model = secret,
            |request, secret| request.model = format!("a {secret}"),
            |request, secret| request.exclude_key_ids = vec![secret],
            |request, secret| request.consistency_token = secret,
        ];
        for change in changes {
            for mut request in [narrowed(), resolve_request(WORKSPACE)] {
                change(&mut request, self.secret("good"));
                let resolved = self.fleet.routing().resolve_key(request.clone()).await;
                self.keep_refusal(resolved);
                let explained = self.fleet.routing().explain_route(request).await;
                self.keep_refusal(explained);
            }
        }
    }

    /// Reports whose texts hold the secret, as providers' errors do, and ones that hold it where it is not for.
    pub(super) async fn report(&mut self) {
        use report_outcome_request::Result::{Http, Outcome};
        let secret = self.secret("good");
        let header = Header { name: "x-ratelimit-reset-requests".into(), value: secret.clone() };
        let echoing = HttpFacts {
            status: 401,
            error_type: secret.clone(),
            error_code: secret.clone(),
            error_message: format!("Incorrect API key provided: {secret}"),
            retry_after: secret.clone(),
            headers: vec![header, Header { name: secret.clone(), value: "1".into() }],
        };
        let id = self.fleet.routing().resolve_key(narrowed()).await.unwrap().into_inner().resolution_id;
        for (id, result) in [
            (id.clone(), Http(echoing.clone())),
            (id, Http(HttpFacts { status: 700, ..echoing.clone() })),
            (secret.clone(), Http(echoing)),
            (secret, Outcome(1)),
        ] {
            let request = ReportOutcomeRequest { resolution_id: id, result: Some(result), usage: None };
            let reported = self.fleet.routing().report_outcome(request.clone()).await;
            self.keep(reported);
            let streamed = self.fleet.routing().report_outcomes(tokio_stream::iter([request])).await;
            self.keep(streamed);
        }
    }

    /// A resolve that is all right but for its metadata.
    pub(super) async fn call_routing(
        &self,
        metadata: &[(&'static str, String)],
    ) -> Result<Response<Resolution>, Status> {
        self.fleet.routing().resolve_key(with(narrowed(), metadata)).await
    }
}

fn narrowed() -> ResolveKeyRequest {
    ResolveKeyRequest { provider: "claude".to_owned(), ..resolve_request(WORKSPACE) }
}
