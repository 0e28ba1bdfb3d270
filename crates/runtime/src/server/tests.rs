#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tonic::Code;

use super::*;
use crate::testing::{call, config, connect, start};

#[tokio::test]
async fn a_drain_lets_calls_finish_and_refuses_new_ones() {
    let server = start(config(Transport::Plaintext)).await;
    let channel = connect(server.address).await;
    let slow = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel, "Slow", &[("x-millis", "700")]).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(200)).await;

    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "new connections are refused");
    assert!(call(&channel, "Ok", &[]).await.is_err(), "new calls on the old connection too");
    slow.await.unwrap().unwrap();
    assert_eq!(server.served.await.unwrap().unwrap(), Drain::Finished);
}

#[tokio::test]
async fn a_drain_cuts_what_outlasts_the_grace_time() {
    let server = start(config(Transport::Plaintext).with_grace(Duration::from_millis(300))).await;
    let channel = connect(server.address).await;
    let slow = tokio::spawn(async move { call(&channel, "Stream", &[("x-millis", "60000")]).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    server.shutdown.cancel();
    assert_eq!(server.served.await.unwrap().unwrap(), Drain::Cut(1));
    assert!(slow.await.unwrap().is_err());
    assert!((300..5_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_a_drain_up() {
    let server = start(config(Transport::Plaintext)).await;
    let channel = connect(server.address).await;
    call(&channel, "Ok", &[]).await.unwrap();
    let _silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.shutdown.cancel();
    let drained = tokio::time::timeout(Duration::from_secs(2), server.served).await.unwrap();
    assert_eq!(drained.unwrap().unwrap(), Drain::Finished);
}

#[tokio::test]
async fn a_peer_that_never_speaks_is_cut() {
    let mut config = config(Transport::Plaintext);
    config.limits.handshake_timeout = Duration::from_millis(300);
    let server = start(config).await;
    let speaking = connect(server.address).await;
    let mut silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(2), async {
        while silent.read(&mut [0; 64]).await.is_ok_and(|n| n > 0) {}
    });
    ended.await.unwrap();
    call(&speaking, "Ok", &[]).await.unwrap();
}

#[tokio::test]
async fn an_old_connection_gets_goaway_and_the_client_reconnects() {
    let mut config = config(Transport::Plaintext);
    config.limits.max_connection_age = Some(Duration::from_millis(300));
    config.limits.max_connection_age_grace = Duration::from_millis(300);
    let server = start(config).await;
    let channel = connect(server.address).await;
    call(&channel, "Slow", &[("x-millis", "450")]).await.unwrap(); // outlives the age, within its grace
    let error = call(&channel, "Slow", &[("x-millis", "5000")]).await.unwrap_err(); // outlives both
    assert!(matches!(error.code(), Code::Unknown | Code::Unavailable | Code::Cancelled | Code::Internal), "{error:?}");
    call(&channel, "Ok", &[]).await.unwrap();
}

#[tokio::test]
async fn connections_past_the_limit_are_closed() {
    let mut config = config(Transport::Plaintext);
    config.limits.max_connections = 1;
    let server = start(config).await;
    let first = connect(server.address).await;
    let mut second = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(2), second.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    call(&first, "Ok", &[]).await.unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = Server::bind(Config::new("grpc", address, Transport::Plaintext)).await.err().unwrap();
    assert!(error.to_string().contains(&address.to_string()));
}
