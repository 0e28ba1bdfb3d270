#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
async fn each_refusal_is_told_once_with_its_connection_and_no_admission_is() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let tell = heard.clone();
    let layer = mtls().on_refusal(move |extensions, error| {
        tell.lock().unwrap().push((certificates(extensions), error.clone()));
    });
    let (routing, settings) = (chain(&["spiffe://example.org/routing"]), chain(&["spiffe://example.org/settings"]));
    let stranger = chain(&["spiffe://example.com/routing"]);
    call(&layer, FEED, Some(routing)).await;
    call(&layer, GET, Some(settings.clone())).await;
    assert_eq!(*heard.lock().unwrap(), []);

    call(&layer, FEED, Some(settings.clone())).await;
    call(&layer, GET, Some(stranger.clone())).await;
    call(&layer, GET, None).await;
    let caller = "spiffe://example.org/settings".parse().unwrap();
    let expected = [
        (Some(settings), AuthError::NotAllowed { caller, service: "claviger.keyvault.v1.KeyFeed" }),
        (Some(stranger), AuthError::Unknown(IdentityError::ForeignTrustDomain)),
        (None, AuthError::Unknown(IdentityError::NoCertificate)),
    ];
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[tokio::test]
async fn gates_and_what_hears_of_refusals_are_kept_whichever_comes_first() {
    let count = Arc::new(AtomicUsize::new(0));
    let (one, two) = (count.clone(), count.clone());
    let gates = || Gates::new().only("claviger.keyvault.v1.KeyFeed", []);
    let new = || IdentityLayer::new(Mode::Mtls(TrustDomain::new("example.org").unwrap()), certificates, refuse);
    let hear = |count: Arc<AtomicUsize>| {
        move |_: &Extensions, _: &AuthError| {
            count.fetch_add(1, Ordering::SeqCst);
        }
    };
    for layer in [new().with_gates(gates()).on_refusal(hear(one)), new().on_refusal(hear(two)).with_gates(gates())] {
        let answer = call(&layer, FEED, Some(chain(&["spiffe://example.org/routing"]))).await;
        assert_eq!(answer, (Code::PermissionDenied, None));
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn development_mode_admits_anyone_as_such() {
    let dev = IdentityLayer::new(Mode::Dev, certificates, refuse)
        .with_gates(Gates::new().only("claviger.keyvault.v1.KeyFeed", []));
    assert_eq!(call(&dev, FEED, None).await, (Code::Ok, Some(Caller::Development)));
}
