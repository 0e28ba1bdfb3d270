#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::{CertificateParams, KeyPair, SanType};
use tonic::Code;
use tower::ServiceExt;

use super::*;

/// A self-signed certificate with these URI names.
pub(crate) fn chain(uris: &[&str]) -> Arc<Vec<CertificateDer<'static>>> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    Arc::new(vec![certificate.der().clone()])
}

fn refuse(error: AuthError) -> Status {
    match error {
        AuthError::Unknown(_) => Status::unauthenticated("unknown"),
        AuthError::NotAllowed { .. } => Status::permission_denied("not allowed"),
    }
}

fn certificates(extensions: &Extensions) -> Option<Arc<Vec<CertificateDer<'static>>>> {
    extensions.get().cloned()
}

fn mtls() -> IdentityLayer {
    let routing = "spiffe://example.org/routing".parse().unwrap();
    IdentityLayer::new(Mode::Mtls(TrustDomain::new("example.org").unwrap()), certificates, refuse)
        .with_gates(Gates::new().only("claviger.keyvault.v1.KeyFeed", [routing]))
}

/// The answer's code, and the caller that the handler saw, if it was reached.
async fn call(
    layer: &IdentityLayer,
    path: &str,
    chain: Option<Arc<Vec<CertificateDer<'static>>>>,
) -> (Code, Option<Caller>) {
    let reached = Arc::new(AtomicBool::new(false));
    let seen = reached.clone();
    let handler = tower::service_fn(move |request: Request<Body>| {
        seen.store(true, Ordering::SeqCst);
        let mut response = Status::ok("").into_http::<Body>();
        response.extensions_mut().insert(request.extensions().get::<Caller>().cloned());
        ready(Ok(response))
    });
    let mut request = Request::builder().uri(path).body(Body::empty()).unwrap();
    if let Some(chain) = chain {
        request.extensions_mut().insert(chain);
    }
    let response = layer.layer(handler).oneshot(request).await.unwrap();
    let caller = response.extensions().get::<Option<Caller>>().cloned().flatten();
    assert_eq!(caller.is_some(), reached.load(Ordering::SeqCst));
    (Status::from_header_map(response.headers()).unwrap().code(), caller)
}

const GET: &str = "/claviger.keyvault.v1.KeyVault/GetProviderKey";
const FEED: &str = "/claviger.keyvault.v1.KeyFeed/Subscribe";

#[tokio::test]
async fn a_caller_of_the_trust_domain_is_named() {
    let (code, caller) = call(&mtls(), GET, Some(chain(&["spiffe://example.org/settings"]))).await;
    assert_eq!(code, Code::Ok);
    assert_eq!(caller.unwrap().to_string(), "spiffe://example.org/settings");
}

#[tokio::test]
async fn anyone_else_never_reaches_the_handler() {
    let strangers: [&[&str]; 6] = [
        &[],
        &["spiffe://example.com/settings"],
        &["spiffe://Example.org/settings"],
        &["spiffe://example.org.evil.com/settings"],
        &["https://example.org/settings"],
        &["spiffe://example.org/settings", "spiffe://example.org/routing"],
    ];
    for uris in strangers {
        for path in [GET, FEED, "/grpc.health.v1.Health/Check", "/unknown"] {
            let answer = call(&mtls(), path, Some(chain(uris))).await;
            assert_eq!(answer, (Code::Unauthenticated, None), "{uris:?} {path}");
        }
    }
    assert_eq!(call(&mtls(), GET, None).await, (Code::Unauthenticated, None));
    assert_eq!(call(&mtls(), GET, Some(Arc::default())).await, (Code::Unauthenticated, None));
}

#[tokio::test]
async fn the_feed_admits_routing_alone() {
    assert_eq!(
        call(&mtls(), FEED, Some(chain(&["spiffe://example.org/settings"]))).await,
        (Code::PermissionDenied, None)
    );
    assert_eq!(call(&mtls(), FEED, Some(chain(&["spiffe://example.org/routing"]))).await.0, Code::Ok);
}

#[tokio::test]
async fn development_mode_admits_anyone_as_such() {
    let dev = IdentityLayer::new(Mode::Dev, certificates, refuse)
        .with_gates(Gates::new().only("claviger.keyvault.v1.KeyFeed", []));
    assert_eq!(call(&dev, FEED, None).await, (Code::Ok, Some(Caller::Development)));
}
