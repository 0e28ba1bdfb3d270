//! Traces across processes: the `traceparent` of W3C Trace Context only. `tracestate` and baggage are free text of
//! others, which would be exported: they are not read.

use std::collections::HashMap;

use opentelemetry::{
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{MetadataKey, MetadataMap};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::layers::{REQUEST_ID_HEADER, RequestId};

const TRACEPARENT: &str = "traceparent";

/// Puts the current span's `traceparent` and the current call's `x-request-id` into an outgoing call's metadata.
pub fn inject(metadata: &mut MetadataMap) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut Metadata(metadata));
    if let Some(id) = RequestId::current() {
        Metadata(metadata).set(REQUEST_ID_HEADER.as_str(), id.as_str().to_owned());
    }
}

/// The current span as a `traceparent`, for messages on long streams; `None` outside a trace.
pub fn traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// The current trace's id in hexadecimal; `None` outside a trace.
pub fn trace_id() -> Option<String> {
    let context = Span::current().context();
    let id = context.span().span_context().trace_id();
    (id != opentelemetry::TraceId::INVALID).then(|| id.to_string())
}

/// Makes a span that was not entered yet the child of the one in a message. A malformed `traceparent` is ignored.
pub fn set_parent(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract_with_context(&opentelemetry::Context::new(), &carrier);
    if parent.span().span_context().is_valid() {
        // Fails where nothing is exported: then there is no trace to continue.
        let _ = span.set_parent(parent);
    }
}

pub(crate) fn set_parent_from(span: &Span, carrier: &dyn Extractor) {
    if let Some(traceparent) = carrier.get(TRACEPARENT) {
        set_parent(span, traceparent);
    }
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(key.as_bytes()), value.parse()) {
            self.0.insert(key, value);
        }
    }
}
