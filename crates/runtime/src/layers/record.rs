//! What remains of a call: one histogram sample, one log line, and the span's outcome.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tonic::{Code, Status, body::Body};
use tracing::Span;

use super::{
    RequestId,
    methods::{Method, code_name, is_server_fault},
};
use crate::tls;

/// A call in progress. Dropped before its end (the caller left, the connection was cut), it records CANCELLED.
pub(super) struct Record {
    method: Arc<Method>,
    span: Span,
    id: RequestId,
    peer: Option<SocketAddr>,
    start: Instant,
    done: bool,
}

impl Record {
    pub(super) fn start(request: &Request<Body>, method: Arc<Method>, span: Span, id: RequestId) -> Self {
        let peer = tls::peer_address(request.extensions());
        Self { method, span, id, peer, start: Instant::now(), done: false }
    }

    /// Waits for the response and, where it has a body, follows it to its trailers.
    pub(super) async fn until_end(mut self, inner: impl Future<Output = Response<Body>>) -> Response<Body> {
        let response = inner.await;
        if let Some(code) = code_in(response.headers()) {
            self.end(code);
            return response;
        }
        response.map(|body| Body::new(Recorded { body, record: self }))
    }

    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let elapsed = self.start.elapsed();
        self.method.duration(code).record(elapsed);
        self.span.record("rpc.response.status_code", code_name(code));
        if code != Code::Ok {
            self.span.record("error.type", code_name(code));
        }
        if is_server_fault(code) {
            self.span.record("otel.status_code", "ERROR");
        }
        let _within = self.span.enter();
        self.log(code, elapsed.as_secs_f64() * 1000.0);
    }

    fn log(&self, code: Code, duration_ms: f64) {
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    target: "claviger::access",
                    $level,
                    rpc.method = %self.method.name,
                    rpc.response.status_code = code_name(code),
                    duration_ms,
                    peer = self.peer.map(tracing::field::display),
                    request.id = %self.id,
                    "call"
                )
            };
        }
        match (is_server_fault(code), self.method.quiet) {
            (true, false) => line!(tracing::Level::WARN),
            (false, false) => line!(tracing::Level::INFO),
            (_, true) => line!(tracing::Level::DEBUG),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // A panic past the response's head (in a stream) unwinds through here.
        self.end(if std::thread::panicking() { Code::Internal } else { Code::Cancelled });
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// A body that ends its record.
struct Recorded {
    body: Body,
    record: Record,
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        // A handler's stream runs in here: its events and spans belong to the call.
        let span = this.record.span.clone();
        let frame = ready!(span.in_scope(|| Pin::new(&mut this.body).poll_frame(cx)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.record.end(code_in(trailers).unwrap_or(Code::Unknown));
                }
            }
            Some(Err(status)) => this.record.end(status.code()),
            None => this.record.end(Code::Unknown), // gRPC ends with a status, always
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
