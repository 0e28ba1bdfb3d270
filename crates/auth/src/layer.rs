//! The tower layer that names the caller of each RPC, or refuses it before anything else looks at it.

mod known;

use std::{
    convert::Infallible,
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, Request, Response};
use rustls_pki_types::CertificateDer;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{AuthError, Gates, IdentityError, SpiffeId, TrustDomain};
use known::Known;

/// How to find the verified certificates of a request's connection, the caller's own first. All requests of one
/// connection should give the same `Arc`: its identity is then read once.
pub type Certificates = fn(&Extensions) -> Option<Arc<Vec<CertificateDer<'static>>>>;

/// What hears of each refused call: the request's extensions, and why.
type OnRefusal = dyn Fn(&Extensions, &AuthError) + Send + Sync;

/// Who is calling; in request extensions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Development mode: whoever reaches the loopback port.
    Development,
    /// A caller of the trust domain, by its certificate.
    Peer(SpiffeId),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Development => f.write_str("development"),
            Self::Peer(id) => id.fmt(f),
        }
    }
}

/// How callers are known.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Not at all: development mode, on loopback.
    Dev,
    /// By client certificates with an identity of this trust domain.
    Mtls(TrustDomain),
}

/// Puts the [`Caller`] into each request's extensions, or answers with the service's own status.
#[derive(Clone)]
pub struct IdentityLayer {
    shared: Arc<Shared>,
}

struct Shared {
    mode: Mode,
    certificates: Certificates,
    refuse: fn(AuthError) -> Status,
    gates: Gates,
    on_refusal: Option<Arc<OnRefusal>>,
    known: Known,
}

impl IdentityLayer {
    /// Without gates: every caller of the trust domain reaches every service.
    pub fn new(mode: Mode, certificates: Certificates, refuse: fn(AuthError) -> Status) -> Self {
        let (gates, known) = (Gates::new(), Known::default());
        Self { shared: Arc::new(Shared { mode, certificates, refuse, gates, on_refusal: None, known }) }
    }

    /// The same with these gates in place of those before.
    #[must_use]
    pub fn with_gates(self, gates: Gates) -> Self {
        Self { shared: Arc::new(Shared { gates, ..self.shared.anew() }) }
    }

    /// The same, telling `heard` of each call that it refuses. The refusal waits for it: it must neither block nor take
    /// long.
    #[must_use]
    pub fn on_refusal(self, heard: impl Fn(&Extensions, &AuthError) + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(Shared { on_refusal: Some(Arc::new(heard)), ..self.shared.anew() }) }
    }
}

impl Shared {
    /// The same rules, and no connection known yet.
    fn anew(&self) -> Self {
        Self {
            mode: self.mode.clone(),
            certificates: self.certificates,
            refuse: self.refuse,
            gates: self.gates.clone(),
            on_refusal: self.on_refusal.clone(),
            known: Known::default(),
        }
    }

    fn admit<B>(&self, request: &Request<B>) -> Result<Caller, AuthError> {
        let caller = self.caller(request.extensions()).map_err(AuthError::Unknown)?;
        self.gates.check(&caller, request.uri().path())?;
        Ok(caller)
    }

    fn caller(&self, extensions: &Extensions) -> Result<Caller, IdentityError> {
        let Mode::Mtls(trust_domain) = &self.mode else {
            return Ok(Caller::Development);
        };
        let chain = (self.certificates)(extensions).ok_or(IdentityError::NoCertificate)?;
        self.known.identify(&chain, trust_domain).map(Caller::Peer)
    }
}

impl<S> Layer<S> for IdentityLayer {
    type Service = IdentityService<S>;

    fn layer(&self, inner: S) -> IdentityService<S> {
        IdentityService { inner, shared: self.shared.clone() }
    }
}

/// A service behind an [`IdentityLayer`].
#[derive(Clone)]
pub struct IdentityService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request<Body>> for IdentityService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Admitted<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.shared.admit(&request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Admitted::Yes(Box::pin(self.inner.call(request)))
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "call refused");
                if let Some(heard) = &self.shared.on_refusal {
                    heard(request.extensions(), &error);
                }
                Admitted::No(ready(Ok((self.shared.refuse)(error).into_http())))
            }
        }
    }
}

/// The answer: the inner service's, or the refusal.
pub enum Admitted<F> {
    /// The call goes on.
    Yes(Pin<Box<F>>),
    /// The call is refused.
    No(Ready<Result<Response<Body>, Infallible>>),
}

impl<F: Future<Output = Result<Response<Body>, Infallible>>> Future for Admitted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.get_mut() {
            Self::Yes(call) => call.as_mut().poll(cx),
            Self::No(refusal) => Pin::new(refusal).poll(cx),
        }
    }
}

#[cfg(test)]
mod tests;
