//! Every RPC of both services, with secrets where they belong and where they do not.

mod routing;
mod vault;

use std::fmt::Debug;
use std::fmt::Write;

use claviger_tests::Fleet;
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use uuid::Uuid;

use super::Canaries;

const WORKSPACE: &str = "workspaces/acme";

/// Makes calls and keeps what they answer.
pub(super) struct Calls<'a> {
    fleet: &'a Fleet,
    canaries: &'a Canaries,
    answers: String,
    refused: usize,
}

impl<'a> Calls<'a> {
    /// Makes all calls, and returns all that was answered.
    pub(super) async fn drive(fleet: &'a Fleet, canaries: &'a Canaries) -> String {
        let mut calls = Self { fleet, canaries, answers: String::new(), refused: 0 };
        calls.store_keys().await;
        calls.misplace_in_the_vault().await;
        calls.open_the_feed().await;
        calls.resolve().await;
        calls.report().await;
        calls.misplace_in_routing().await;
        calls.send_as_metadata().await;
        calls.ask_for_health().await;
        calls.end_keys().await;
        calls.hand_over_elsewhere().await;
        assert!(calls.refused > 40, "only {} calls were refused", calls.refused);
        calls.answers
    }

    /// An API key that its provider answers by its kind; all hold the marker.
    fn secret(&self, kind: &str) -> String {
        format!("sk-ant-api03-{kind}-{}", self.canaries.api_key.text())
    }

    /// Keeps an answer, whatever it is.
    fn keep<T: Debug>(&mut self, answer: Result<Response<T>, Status>) -> Option<T> {
        match answer {
            Ok(response) => {
                let _ = writeln!(self.answers, "{response:?}");
                Some(response.into_inner())
            }
            Err(status) => {
                self.refuse(&status);
                None
            }
        }
    }

    /// Keeps an answer that may repeat what was asked, such as the model: only a refusal is of interest.
    fn keep_refusal<T>(&mut self, answer: Result<T, Status>) {
        if let Err(status) = answer {
            self.refuse(&status);
        }
    }

    /// Keeps a refusal, which there must be.
    fn refused<T: Debug>(&mut self, what: &str, answer: Result<Response<T>, Status>) {
        assert!(answer.is_err(), "{what} is accepted");
        self.keep(answer);
    }

    fn refuse(&mut self, status: &Status) {
        self.refused += 1;
        let details = String::from_utf8_lossy(status.details());
        let _ = writeln!(self.answers, "{status:?} {} {details}", status.message());
    }

    /// Calls with an id that may be logged, so that the search for it can be seen to work.
    fn with_id<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let (half, _) = self.canaries.request_id.text().split_at(32); // an id has at most 40 characters
        let id = format!("job-{half}");
        request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        request
    }

    /// A secret in each place of metadata that is read.
    async fn send_as_metadata(&mut self) {
        let secret = self.secret("good");
        let trace = format!("00-{}-b7ad6b7169203331-01", Uuid::now_v7().simple());
        let sent: [&[(&'static str, String)]; 10] = [
            &[("x-request-id", secret.clone())],
            &[("x-request-id", format!("Bearer {secret}"))],
            &[("x-request-id", format!("{secret};"))],
            &[("x-request-id", "x".repeat(100) + &secret)],
            &[("traceparent", secret.clone())],
            &[("traceparent", format!("00-{secret}-b7ad6b7169203331-01"))],
            &[("traceparent", trace.clone()), ("tracestate", format!("vendor={secret}"))],
            &[("traceparent", trace), ("baggage", format!("key={secret}"))],
            &[("authorization", format!("Bearer {secret}")), ("x-api-key", secret.clone())],
            &[("user-agent", secret.clone()), ("cookie", secret.clone()), ("grpc-timeout", secret)],
        ];
        for metadata in sent {
            let stored = self.call_vault(metadata).await;
            self.keep(stored);
            let resolved = self.call_routing(metadata).await;
            self.keep(resolved);
        }
    }
}

impl Calls<'_> {
    /// Health beside the other services, of a service that is a secret; such calls are logged at DEBUG.
    async fn ask_for_health(&mut self) {
        for process in [&self.fleet.vault, &self.fleet.routing] {
            let endpoint = Endpoint::from_shared(format!("http://{}", process.address("grpc"))).unwrap();
            let mut client = HealthClient::new(endpoint.connect_lazy());
            let check = HealthCheckRequest { service: self.secret("good") };
            self.refused("health", client.check(check).await);
        }
    }
}

/// Puts metadata on a request.
fn with<T>(message: T, metadata: &[(&'static str, String)]) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}
