#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tonic::transport::Channel;

use super::*;
use crate::{
    client::{self, Security},
    server::{Server, Transport},
    testing::{Authority, Running, call, config, start},
};

async fn mtls(authority: &Authority) -> Running {
    let mut config = config(Transport::Mtls(authority.issue("server")));
    config.tls_reload = Duration::from_millis(50);
    config.limits.handshake_timeout = Duration::from_millis(1500);
    start(config).await
}

fn channel(server: &Running, trusted: &Authority, files: Files) -> Channel {
    let security = Security::Mtls { files, server_ca: trusted.path("ca.pem"), server_name: "localhost".to_owned() };
    client::channel(&client::Config { target: format!("https://{}", server.address), security }).unwrap()
}

#[tokio::test]
async fn a_certificate_of_the_ca_is_served() {
    let authority = Authority::new();
    let server = mtls(&authority).await;
    let channel = channel(&server, &authority, authority.issue("client"));
    call(&channel, "Ok", &[]).await.unwrap();
}

#[tokio::test]
async fn a_wrong_ca_and_an_expired_certificate_are_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = mtls(&authority).await;
    let wrong_ca = channel(&server, &authority, stranger.issue("client"));
    // In TLS 1.3 the refusal may come before or after the client's first words: the code differs.
    assert!(call(&wrong_ca, "Ok", &[]).await.is_err());
    let expired = authority.issue_with("old", |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let expired = channel(&server, &authority, expired);
    assert!(call(&expired, "Ok", &[]).await.is_err());
}

#[tokio::test]
async fn no_certificate_and_no_tls_are_refused() {
    let authority = Authority::new();
    let server = mtls(&authority).await;
    let plain = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect_lazy();
    assert!(call(&plain, "Ok", &[]).await.is_err());

    let pem = Pem::read(&authority.issue("client")).unwrap();
    let roots = Parsed::new(&authority.issue("client"), &pem).unwrap().roots;
    let anonymous = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tcp = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    // In TLS 1.3 the client is done first: the refusal comes with the first read.
    let mut tls = tokio_rustls::TlsConnector::from(Arc::new(anonymous)).connect(name, tcp).await.unwrap();
    let refusal = tls.read(&mut [0; 64]).await.unwrap_err();
    assert!(refusal.to_string().contains("CertificateRequired"), "{refusal}");
}

#[tokio::test]
async fn the_peers_certificates_are_in_the_request() {
    let authority = Authority::new();
    let files = authority.issue("client");
    let server = Server::bind(config(Transport::Mtls(authority.issue("server")))).await.unwrap();
    let address = server.local_addr();
    let expected = certificates(&std::fs::read(&files.cert).unwrap()).unwrap();
    let service = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        let same = peer_certificates(request.extensions()).is_some_and(|chain| *chain == expected);
        let known = peer_address(request.extensions()).is_some_and(|address| address.ip().is_loopback());
        let status = tonic::Status::not_found(format!("{same} {known}"));
        std::future::ready(Ok(status.into_http()))
    });
    let shutdown = tokio_util::sync::CancellationToken::new();
    let running =
        Running { address, shutdown: shutdown.clone(), served: tokio::spawn(server.serve(service, shutdown)) };
    let error = call(&channel(&running, &authority, files), "Any", &[]).await.unwrap_err();
    assert_eq!(error.message(), "true true");
}

/// The certificate that the server shows to a new connection.
async fn shown(server: &Running, authority: &Authority) -> Vec<u8> {
    let files = authority.issue("probe");
    let parsed = Parsed::new(&files, &Pem::read(&files).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(parsed.roots)
        .with_client_auth_cert(parsed.chain, parsed.key)
        .unwrap();
    let tcp = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    tls.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn changed_files_serve_new_connections_and_bad_ones_change_nothing() {
    let authority = Authority::new();
    let server = mtls(&authority).await;
    let old_connection = channel(&server, &authority, authority.issue("client"));
    call(&old_connection, "Ok", &[]).await.unwrap();
    let first = shown(&server, &authority).await;

    let files = authority.issue("server");
    let mut second = first.clone();
    for _ in 0..100 {
        second = shown(&server, &authority).await;
        if second != first {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_ne!(second, first, "reloaded");
    call(&old_connection, "Ok", &[]).await.unwrap();

    let other_key = authority.issue("other").key;
    let good_key = std::fs::read(&files.key).unwrap();
    std::fs::copy(other_key, &files.key).unwrap(); // not this certificate's
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(shown(&server, &authority).await, second, "a key that does not fit");
    std::fs::write(&files.key, good_key).unwrap();
    std::fs::write(&files.cert, "nonsense").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(shown(&server, &authority).await, second, "a broken file");
    std::fs::remove_file(&files.client_ca).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    call(&old_connection, "Ok", &[]).await.unwrap();
}

#[tokio::test]
async fn a_client_reads_its_renewed_certificate_when_it_connects_again() {
    let authority = Authority::new();
    let server = mtls(&authority).await;
    let files = authority.issue_with("client", |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let channel = channel(&server, &authority, files);
    assert!(call(&channel, "Ok", &[]).await.is_err(), "expired");
    authority.issue("client");
    call(&channel, "Ok", &[]).await.unwrap();
}

#[tokio::test]
async fn stalled_handshakes_do_not_hold_others_up_and_end() {
    let authority = Authority::new();
    let server = mtls(&authority).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(tokio::net::TcpStream::connect(server.address).await.unwrap());
    }
    let channel = channel(&server, &authority, authority.issue("client"));
    let prompt = tokio::time::timeout(Duration::from_secs(1), call(&channel, "Ok", &[]));
    prompt.await.unwrap().unwrap();
    for tcp in &mut stalled {
        let closed = tokio::time::timeout(Duration::from_secs(5), tcp.read(&mut [0; 1])).await.unwrap();
        assert!(matches!(closed, Ok(0) | Err(_)), "cut at the timeout");
    }
}

#[tokio::test]
async fn handshakes_are_bounded() {
    let authority = Authority::new();
    let mut config = config(Transport::Mtls(authority.issue("server")));
    config.limits.max_handshakes = 2;
    let server = start(config).await;
    let _stalled = [
        tokio::net::TcpStream::connect(server.address).await.unwrap(),
        tokio::net::TcpStream::connect(server.address).await.unwrap(),
    ];
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut third = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(2), third.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
}

#[tokio::test]
async fn bad_files_stop_the_start_and_are_named() {
    let authority = Authority::new();
    let files = authority.issue("server");
    std::fs::write(&files.key, "-----BEGIN PRIVATE KEY-----\nhunter22\n-----END PRIVATE KEY-----").unwrap();
    assert!(!format!("{:?}", Certificates::load(files.clone()).err().unwrap()).contains("hunter2"));
    std::fs::write(&files.key, "hunter2").unwrap();
    let error = Certificates::load(files.clone()).err().unwrap();
    assert!(error.to_string().contains("server.key") && !format!("{error:?}").contains("hunter2"), "{error:?}");
    let missing = Files { client_ca: "/nowhere".into(), ..files };
    assert!(Certificates::load(missing).err().unwrap().to_string().contains("/nowhere"));
}
