//! What happens around every call, in this order, outermost first:
//!
//! 1. **Request id** ([`RequestId`]): taken from `x-request-id` or made; echoed on every response.
//! 2. **Span**: continues the caller's trace (W3C `traceparent`), named by the method.
//! 3. **Record**: one histogram sample and one log line when the call ends, whichever way.
//! 4. **Errors**: those of the framework pass through the service's own function, so that each can carry details.
//! 5. **Deadline** ([`Deadline`]): the caller's `grpc-timeout`, capped; DEADLINE_EXCEEDED when it passes.
//! 6. **Panic**: becomes INTERNAL, without its text.
//! 7. the service: its own layers (who is calling), then its handlers.
//!
//! So a call that times out or panics is still recorded, and its error still carries details and a request id.

mod deadline;
mod errors;
mod methods;
mod panic;
mod record;
mod request_id;
mod span;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Status, body::Body};
use tower::{Layer, Service, ServiceExt};

pub use deadline::{DEFAULT_DEADLINE, Deadline, MAX_DEADLINE};
pub use request_id::{REQUEST_ID_HEADER, RequestId};

use methods::Methods;

/// What the layers need to know of a service.
///
/// Methods are full names, `claviger.keyvault.v1.KeyVault/GetProviderKey`; those of health and reflection are known.
#[derive(Clone, Debug)]
pub struct Calls {
    /// Every method served. All others share one metric label, `_OTHER`: callers cannot make series.
    pub methods: Vec<String>,
    /// Those of them that are streams and have no deadline.
    pub streams: Vec<String>,
    /// Adds details to an error that has none (unimplemented method, message too large, panic, …). It may change the
    /// code; metadata that it drops are put back.
    pub uniform: fn(Status) -> Status,
}

/// The [`tower::Layer`] of all six.
#[derive(Clone)]
pub struct CallLayer {
    methods: Arc<Methods>,
    uniform: fn(Status) -> Status,
}

impl CallLayer {
    /// Layers for a service.
    pub fn new(calls: Calls) -> Self {
        Self { methods: Arc::new(Methods::new(&calls.methods, &calls.streams)), uniform: calls.uniform }
    }

    /// Wraps a service; the same as [`Layer::layer`].
    pub fn wrap<S>(&self, inner: S) -> CallService<S> {
        self.layer(inner)
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = CallService<S>;

    fn layer(&self, inner: S) -> CallService<S> {
        CallService { inner, layer: self.clone() }
    }
}

/// A service within the layers.
#[derive(Clone)]
pub struct CallService<S> {
    inner: S,
    layer: CallLayer,
}

impl<S> Service<Request<Body>> for CallService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // each call waits for its own clone of the service
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (layer, inner) = (self.layer.clone(), self.inner.clone());
        // One box for all six: they are plain futures around each other.
        Box::pin(async move { Ok(layer.around(request, inner).await) })
    }
}

impl CallLayer {
    async fn around<S>(self, mut request: Request<Body>, inner: S) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
    {
        let method = self.methods.find(request.uri().path());
        let id = request_id::take(&mut request);
        let span = span::of(&request, &method, &id);
        let record = record::Record::start(&request, method.clone(), span.clone(), id.clone());
        let deadline = deadline::take(&mut request, &method);
        let inner = panic::caught(async move { inner.oneshot(request).await.unwrap_or_else(|never| match never {}) });
        let inner = errors::uniform(self.uniform, method.stream, deadline::within(deadline, inner));
        let inner = record.until_end(inner);
        let mut response = id.clone().scope(tracing::Instrument::instrument(inner, span)).await;
        request_id::echo(&mut response, &id);
        response
    }
}

/// An error response without a body: everything is in its headers ("trailers-only").
fn refuse(status: Status) -> Response<Body> {
    status.into_http()
}

#[cfg(test)]
mod tests;
