//! What the services say of themselves, losing the database or the vault, and ending.

mod database;
mod deadlines;
mod reflection;
mod shutdown;

use std::time::{Duration, Instant};

use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::{environment, resolve_request, serving, vault_environment};
use claviger_tests::{Fleet, Process, key, reason, wire};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

const KEY_VAULT: &str = "claviger.keyvault.v1.KeyVault";
const ROUTING: &str = "claviger.routing.v1.Routing";

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_by_service_name_on_both_ports() {
    let fleet = Fleet::start().await.unwrap();
    for (process, own, other) in [(&fleet.vault, KEY_VAULT, ROUTING), (&fleet.routing, ROUTING, KEY_VAULT)] {
        for listener in ["grpc", "health"] {
            for service in ["", "liveness", own] {
                assert_eq!(health(process, listener, service).await, Ok(ServingStatus::Serving), "{service}");
            }
            assert_eq!(health(process, listener, other).await, Err(Code::NotFound), "{listener} {other}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_command_tells_by_its_exit_code() {
    let mut fleet = Fleet::start().await.unwrap();
    let (vault, routing) = (fleet.vault.address("health"), fleet.routing.address("health"));
    assert_eq!(health_command(&["--address", &vault.to_string()]), Some(0));
    assert_eq!(health_command(&["--address", &vault.to_string(), "--service", KEY_VAULT]), Some(0));
    assert_eq!(health_command(&["--address", &fleet.vault.address("grpc").to_string()]), Some(0));
    assert_eq!(health_command(&["--address", &routing.to_string(), "--service", ROUTING]), Some(0));
    assert_eq!(health_command(&["--address", &routing.to_string(), "--service", KEY_VAULT]), Some(1));

    fleet.vault.kill().unwrap();
    until("routing is not ready", async || !serving(&fleet.routing, "").await).await;
    assert_eq!(health_command(&["--address", &vault.to_string()]), Some(1), "nobody listens");
    assert_eq!(health_command(&["--address", &routing.to_string()]), Some(1), "not ready");
    assert_eq!(health_command(&["--address", &routing.to_string(), "--service", "liveness"]), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn routing_loses_the_vault_says_so_and_finds_it_again_by_itself() {
    let mut fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap();
    assert_eq!(resolve(&fleet).await.unwrap(), secret);

    let address = fleet.vault.address("grpc");
    fleet.vault.kill().unwrap();
    until("routing is not ready", async || !serving(&fleet.routing, ROUTING).await).await;
    assert!(!serving(&fleet.routing, "").await && serving(&fleet.routing, "liveness").await);
    let error = resolve(&fleet).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "VAULT_UNAVAILABLE"));
    assert!(error.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);

    let same_port = environment(&[("CLAVIGER_KEYVAULT_LISTEN", &address.to_string())]);
    let environment = [vault_environment(fleet.folder.path()), same_port].concat();
    fleet.vault = Process::start("claviger-keyvault", &["serve"], &environment).unwrap();
    until("routing is ready", async || serving(&fleet.routing, ROUTING).await).await;
    assert_eq!(resolve(&fleet).await.unwrap(), secret);
}

/// The vault pauses without closing anything, as a partition looks; then goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_falls_silent_costs_readiness_too() {
    use claviger_tests::Signal;
    let fleet = Fleet::start().await.unwrap();
    fleet.vault.signal(Signal::STOP).unwrap();
    until("routing is not ready", async || !serving(&fleet.routing, ROUTING).await).await;
    let error = resolve(&fleet).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "VAULT_UNAVAILABLE"));
    fleet.vault.signal(Signal::CONT).unwrap();
    until("routing is ready", async || serving(&fleet.routing, ROUTING).await).await;
}

/// The secret that routing hands out, or why none.
async fn resolve(fleet: &Fleet) -> Result<String, tonic::Status> {
    let request = ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/acme") };
    Ok(fleet.routing().resolve_key(request).await?.into_inner().credential.unwrap().secret)
}

async fn health(process: &Process, listener: &str, service: &str) -> Result<ServingStatus, Code> {
    let mut client = HealthClient::new(wire::channel(process, listener));
    let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

fn health_command(arguments: &[&str]) -> Option<i32> {
    let mut command = Process::spawn("claviger-keyvault", &[&["health"], arguments].concat(), &[]).unwrap();
    command.wait(Duration::from_secs(10)).unwrap().code()
}

/// Waits for something that takes seconds: readiness is looked at each second, links have keep-alives of 15 s.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(25), "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
