//! Providers behind a proxy, with certificates of a private CA.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger_core::key::TestResult;
use claviger_core::reason::Reason;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

use super::*;
use crate::verify::{EgressProxy, ExtraRoots};

/// A name that never resolves (RFC 6761): only a proxy can know where it leads.
const NAME: &str = "provider.test";

/// The heads of the requests that a server got.
type Heads = Arc<Mutex<Vec<String>>>;

/// A server of ours: where it listens, and what it was asked.
struct Server {
    port: u16,
    heads: Heads,
}

impl Server {
    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn roots(&self) -> ExtraRoots {
        ExtraRoots::parse(self.0.pem().as_bytes()).unwrap()
    }

    /// A provider with a certificate for [`NAME`], on this machine.
    async fn provider(&self) -> Server {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let _already = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], private).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        serve(move |stream, heads| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let request = head(&mut stream).await;
                let length = request.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                stream.read_exact(&mut vec![0; length.unwrap_or(0)]).await.unwrap();
                heads.lock().unwrap().push(request);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                stream.write_all(answer).await.unwrap();
                let _gone = stream.shutdown().await;
            }
        })
        .await
    }
}

/// A proxy that leads every tunnel to one port, or says no.
async fn proxy(answer: &'static str, target: u16) -> Server {
    serve(move |mut stream, heads| async move {
        let request = head(&mut stream).await;
        heads.lock().unwrap().push(request);
        stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.unwrap();
        if answer.starts_with("200") {
            let mut onward = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            let _end = copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await
}

async fn serve<F: Future<Output = ()> + Send + 'static>(
    handle: impl Fn(TcpStream, Heads) -> F + Send + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, heads) = (listener.local_addr().unwrap().port(), Heads::default());
    let kept = heads.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream, kept.clone()));
        }
    });
    Server { port, heads }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte.into()),
            Err(_) => break,
        }
    }
    head
}

fn by(proxy: &Server, roots: ExtraRoots) -> Outbound {
    let url = format!("http://vault:p%40ss@127.0.0.1:{}", proxy.port).into();
    Outbound { proxy: Some(EgressProxy::parse(&url).unwrap()), roots }
}

async fn test_custom(outbound: &Outbound, secret: &SecretString) -> KeyTest {
    test_at(&verifier_by("", "", outbound), "custom", &format!("https://{NAME}:8443/v1"), Some(secret)).await
}

fn assert_unreachable(test: &KeyTest) {
    assert_eq!((test.result, test.http_status), (TestResult::Inconclusive, None), "{}", test.detail);
    assert_eq!(test.detail, "the provider could not be reached");
}

#[tokio::test]
async fn a_provider_is_reached_through_the_proxy_alone() {
    let authority = Authority::new();
    let provider = authority.provider().await;
    let proxy = proxy("200 OK", provider.port).await;
    let secret = SecretString::from("S3CRET");
    let test = test_custom(&by(&proxy, authority.roots()), &secret).await;
    assert_eq!((test.result, test.http_status), (TestResult::Valid, Some(200)), "{}", test.detail);
    let [tunnel] = proxy.heads().try_into().unwrap();
    assert!(tunnel.starts_with("CONNECT provider.test:8443 HTTP/1.1\r\n"), "{tunnel}");
    assert!(tunnel.contains(&format!("Basic {}\r\n", STANDARD.encode("vault:p@ss"))), "{tunnel}");
    assert!(!tunnel.contains(secret.expose_secret()));
    let [request] = provider.heads().try_into().unwrap();
    assert!(request.starts_with("GET /v1/models HTTP/1.1\r\n") && request.contains("Bearer S3CRET"), "{request}");
    assert!(!request.to_lowercase().contains("proxy-authorization"), "{request}");

    assert_unreachable(&test_custom(&Outbound { roots: authority.roots(), ..Outbound::default() }, &secret).await);
    assert_eq!(provider.heads().len(), 1);
}

#[tokio::test]
async fn tokens_come_through_the_proxy_too() {
    let authority = Authority::new();
    let provider = authority.provider().await;
    let proxy = proxy("200 OK", provider.port).await;
    let verifier = verifier_by(&exchange_at(&format!("https://{NAME}")), "", &by(&proxy, authority.roots()));
    assert_eq!(test_account(&verifier, &account()).await.http_status, Some(200));
    assert!(provider.heads()[0].starts_with("POST /token HTTP/1.1\r\n"));
    assert_eq!(proxy.heads().len(), 1);
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_not_believed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let provider = authority.provider().await;
    let proxy = proxy("200 OK", provider.port).await;
    for roots in [other.roots(), ExtraRoots::default()] {
        assert_unreachable(&test_custom(&by(&proxy, roots), &"S3CRET".into()).await);
    }
    assert_eq!((proxy.heads().len(), provider.heads().len()), (2, 0));
}

#[tokio::test]
async fn a_proxy_that_refuses_proves_nothing() {
    let authority = Authority::new();
    let provider = authority.provider().await;
    for answer in ["401 Unauthorized", "403 Forbidden", "407 Proxy Authentication Required", "502 Bad Gateway"] {
        let proxy = proxy(answer, provider.port).await;
        assert_unreachable(&test_custom(&by(&proxy, authority.roots()), &"S3CRET".into()).await);
        assert_eq!(proxy.heads().len(), 1, "{answer}");
    }
    assert_eq!(provider.heads().len(), 0);
}

#[tokio::test]
async fn nothing_goes_past_a_proxy_that_is_down() {
    let direct = MockServer::start().await;
    Mock::given(matchers::any()).respond_with(ResponseTemplate::new(200)).mount(&direct).await;
    let url = "http://127.0.0.1:1".into(); // nothing listens there
    let outbound = Outbound { proxy: Some(EgressProxy::parse(&url).unwrap()), ..Outbound::default() };
    let secret = SecretString::from("S3CRET");
    let through = verifier_by("", "127.0.0.1", &outbound);
    assert_unreachable(&test_at(&through, "custom", &direct.uri(), Some(&secret)).await);
    assert_eq!(direct.received_requests().await.unwrap().len(), 0);
    let directly = verifier_by("", "127.0.0.1", &Outbound::default());
    assert_eq!(test_at(&directly, "custom", &direct.uri(), Some(&secret)).await.result, TestResult::Valid);
}

#[tokio::test]
async fn a_proxy_is_not_asked_for_what_is_forbidden() {
    let proxy = proxy("200 OK", 1).await;
    let verifier = verifier_by("", "", &by(&proxy, ExtraRoots::default()));
    let provider = provider(&verifier, "custom");
    for url in ["https://169.254.169.254", "https://10.0.0.1/v1", "https://[::1]:8443", "https://localhost"] {
        let subject =
            Subject { provider, auth_type: AuthType::None, secret: None, base_url: Some(url), location: None };
        let refused = verifier.test(&subject).await.unwrap_err();
        assert_eq!(refused.reason, Reason::BaseUrlNotAllowed, "{url}");
    }
    assert_eq!(proxy.heads(), Vec::<String>::new());
}
