//! Signals: calls in flight finish, new ones are refused, and the process ends whatever hangs.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use claviger_proto::keyvault_v1::ProviderKey;
use claviger_tests::fleet::{create_request, environment, serving};
use claviger_tests::{Fleet, Options, Process, Signal, database, key, wire};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{KEY_VAULT, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_finishes_after_the_signal_and_new_connections_are_refused() {
    tokio::join!(a_call_finishes_after(Signal::TERM), a_call_finishes_after(Signal::INT));
}

async fn a_call_finishes_after(signal: Signal) {
    let mut fleet = Fleet::start().await.unwrap();
    let call = create_in_flight(&fleet, "pause").await;
    fleet.vault.signal(signal).unwrap();
    until("connections are refused", async || refused(&fleet.vault).await).await;
    assert!(!call.is_finished(), "the live test takes three seconds");
    assert!(!serving(&fleet.vault, KEY_VAULT).await && serving(&fleet.vault, "liveness").await);

    let stored = call.await.unwrap().unwrap();
    let status = fleet.vault.wait(Duration::from_secs(5)).unwrap();
    assert_eq!(status.code(), Some(0), "{}", fleet.vault.log());
    let active = format!("SELECT COUNT(*) FROM provider_keys WHERE id = '{}'", stored.uid);
    assert_eq!(database::number(&fleet.database(), &active).await.unwrap(), 1);
    fleet.routing.signal(signal).unwrap();
    assert_eq!(fleet.routing.wait(Duration::from_secs(5)).unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_outlasts_the_grace_is_cut() {
    let vault = environment(&[("CLAVIGER_SHUTDOWN_GRACE", "1")]);
    let mut fleet = Fleet::start_with(Options { vault, ..Default::default() }).await.unwrap();
    let call = create_in_flight(&fleet, "slow").await;
    let start = Instant::now();
    fleet.vault.signal(Signal::TERM).unwrap();
    let status = fleet.vault.wait(Duration::from_secs(5)).unwrap();
    assert!(start.elapsed() > Duration::from_millis(900), "it had a second: {:?}", start.elapsed());
    assert_eq!(status.code(), Some(0), "{}", fleet.vault.log());
    call.await.unwrap().unwrap_err();
    assert_eq!(database::number(&fleet.database(), "SELECT COUNT(*) FROM provider_keys").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    tokio::join!(ends_at_once(Signal::TERM, Signal::TERM), ends_at_once(Signal::TERM, Signal::INT));
}

async fn ends_at_once(first: Signal, second: Signal) {
    let mut fleet = Fleet::start().await.unwrap();
    let call = create_in_flight(&fleet, "slow").await;
    fleet.vault.signal(first).unwrap();
    until("connections are refused", async || refused(&fleet.vault).await).await;
    let start = Instant::now();
    fleet.vault.signal(second).unwrap();
    let status = fleet.vault.wait(Duration::from_secs(5)).unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(status.code(), Some(0), "{}", fleet.vault.log());
    call.await.unwrap().unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_watch_does_not_hold_up_the_end() {
    let mut fleet = Fleet::start().await.unwrap();
    let mut watches = Vec::new();
    for (process, listener) in [(&fleet.vault, "grpc"), (&fleet.vault, "health"), (&fleet.routing, "grpc")] {
        let mut client = HealthClient::new(wire::channel(process, listener));
        let mut watch = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        watch.message().await.unwrap().unwrap();
        watches.push(watch);
    }
    let start = Instant::now();
    for process in [&mut fleet.vault, &mut fleet.routing] {
        process.signal(Signal::TERM).unwrap();
        assert_eq!(process.wait(Duration::from_secs(15)).unwrap().code(), Some(0));
        assert!(!process.log().contains("cut"), "{}", process.log());
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

/// A create whose live test has reached the provider.
async fn create_in_flight(fleet: &Fleet, kind: &str) -> JoinHandle<Result<ProviderKey, Status>> {
    let (mut client, request) = (fleet.key_vault(), create_request("workspaces/acme", "anthropic", &key(kind)));
    let call = tokio::spawn(async move { Ok(client.create_provider_key(request).await?.into_inner()) });
    until("the provider is asked", async || !fleet.provider.received_requests().await.unwrap().is_empty()).await;
    call
}

async fn refused(process: &Process) -> bool {
    let refusal = TcpStream::connect(process.address("grpc")).await.err();
    refusal.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}
