//! A provider with a certificate of a private CA, behind a proxy: as the vault's settings say, and by no other way.

use std::sync::{Arc, Mutex};

use claviger_proto::keyvault_v1::key_test::Result as Tested;
use claviger_tests::fleet::environment;
use claviger_tests::{Fleet, Options, key_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{test_result, with_base_url};

/// A name that never resolves (RFC 6761): only the proxy knows where it leads.
const NAME: &str = "provider.test";

/// The heads of the requests that the proxy and the provider got.
type Heads = Arc<Mutex<Vec<String>>>;

#[tokio::test(flavor = "multi_thread")]
async fn a_live_test_arrives_through_the_proxy_of_the_settings() {
    let (acceptor, ca) = provider();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, ca).unwrap();
    let heads = Heads::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://vault:p%40ss@{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, acceptor, heads.clone()));

    let proxy = ("CLAVIGER_EGRESS_PROXY", url.as_str());
    let roots = ("CLAVIGER_EGRESS_CA_FILE", &*file.to_string_lossy());
    let with = async |settings: &[(&str, &str)]| {
        let fleet = Fleet::start_with(Options { vault: environment(settings), ..Default::default() }).await.unwrap();
        let secret = key_for("sk-", "good");
        let mut request = with_base_url("workspaces/acme", "custom", &secret, &format!("https://{NAME}:8443/v1"));
        request.set_verification(claviger_proto::keyvault_v1::Verification::IfPossible);
        let stored = fleet.store(request).await;
        assert!(!fleet.vault.log().contains("p%40ss") && !fleet.vault.log().contains(&secret));
        (stored, secret)
    };
    let (stored, secret) = with(&[proxy, roots]).await;
    assert_eq!(test_result(&stored.unwrap()), Tested::Valid);
    let [tunnel, asked] = heads.lock().unwrap().split_off(0).try_into().unwrap();
    assert!(tunnel.starts_with(&format!("CONNECT {NAME}:8443 HTTP/1.1\r\n")), "{tunnel}");
    assert!(tunnel.contains("Basic dmF1bHQ6cEBzcw==\r\n") && !tunnel.contains(&secret), "{tunnel}");
    assert!(asked.starts_with("GET /v1/models HTTP/1.1\r\n") && asked.contains(&secret), "{asked}");

    let (stored, _) = with(&[proxy]).await;
    assert_eq!(test_result(&stored.unwrap()), Tested::Inconclusive, "nobody vouches for the certificate");
    assert_eq!(heads.lock().unwrap().split_off(0).len(), 1, "the tunnel alone");
    let (stored, _) = with(&[roots]).await;
    assert_eq!(test_result(&stored.unwrap()), Tested::Inconclusive, "the name leads nowhere");
    assert!(heads.lock().unwrap().is_empty());
}

/// The provider's side of TLS, and the CA that vouches for it.
fn provider() -> (TlsAcceptor, String) {
    let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![NAME.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], private).unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

/// The proxy, and the provider at the end of each of its tunnels.
async fn serve(listener: TcpListener, provider: TlsAcceptor, heads: Heads) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(tunnel(BufStream::new(stream), provider.clone(), heads.clone()));
    }
}

async fn tunnel(mut stream: BufStream<TcpStream>, provider: TlsAcceptor, heads: Heads) {
    let opened = head(&mut stream).await;
    heads.lock().unwrap().push(opened);
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    let Ok(mut inner) = provider.accept(stream).await else { return };
    let asked = head(&mut inner).await;
    heads.lock().unwrap().push(asked);
    inner.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await.unwrap();
    let _gone = inner.shutdown().await;
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
