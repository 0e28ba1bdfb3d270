//! The span of a call.

use http::Request;
use opentelemetry::propagation::Extractor;
use tonic::body::Body;
use tracing::{Span, field::Empty};

use super::{RequestId, methods::Method};
use crate::propagation;

/// A server span by OpenTelemetry's conventions for RPC, child of the caller's.
///
/// Health and reflection get one at DEBUG, which is not exported: probes would drown the calls.
pub(super) fn of(request: &Request<Body>, method: &Method, id: &RequestId) -> Span {
    macro_rules! span {
        ($level:expr) => {
            tracing::span!(
                target: "claviger::rpc",
                $level,
                "rpc",
                otel.name = %method.name,
                otel.kind = "server",
                otel.status_code = Empty,
                rpc.system.name = "grpc",
                rpc.method = %method.name,
                rpc.response.status_code = Empty,
                error.type = Empty,
                request.id = %id,
            )
        };
    }
    let span = if method.quiet { span!(tracing::Level::DEBUG) } else { span!(tracing::Level::INFO) };
    propagation::set_parent_from(&span, &Headers(request.headers()));
    span
}

struct Headers<'a>(&'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
