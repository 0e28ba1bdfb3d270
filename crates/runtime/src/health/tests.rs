#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};

use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::*;
use crate::{
    server::{Server, Transport},
    testing::{config, connect},
};

async fn probe(client: &mut HealthClient<tonic::transport::Channel>, service: &str) -> i32 {
    client.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner().status
}

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

#[tokio::test]
async fn readiness_follows_the_check_and_draining_is_final() {
    let health = Health::new(&["a.v1.A"]).await;
    let server = Server::bind(config(Transport::Plaintext)).await.unwrap();
    let mut client = {
        let address = server.local_addr();
        tokio::spawn(server.serve(health.routes(CancellationToken::new()), CancellationToken::new()));
        HealthClient::new(connect(address).await)
    };
    assert_eq!(probe(&mut client, "a.v1.A").await, NOT_SERVING, "before the first check");
    assert_eq!(probe(&mut client, LIVENESS).await, SERVING);

    let ready = Arc::new(AtomicBool::new(true));
    let answer = ready.clone();
    let check = move || {
        let ready = answer.load(Ordering::SeqCst);
        async move { if ready { Ok(()) } else { Err("the lease has run out") } }
    };
    tokio::spawn(health.clone().watch(check, CancellationToken::new()));
    for (state, expected) in [(true, SERVING), (false, NOT_SERVING), (true, SERVING)] {
        ready.store(state, Ordering::SeqCst);
        tokio::time::sleep(POLL_INTERVAL + Duration::from_millis(300)).await;
        assert_eq!(probe(&mut client, "").await, expected);
        assert_eq!(probe(&mut client, "a.v1.A").await, expected);
    }

    health.drain().await;
    tokio::time::sleep(POLL_INTERVAL + Duration::from_millis(300)).await;
    assert_eq!(probe(&mut client, "").await, NOT_SERVING, "although the check says ready");
    assert_eq!(probe(&mut client, LIVENESS).await, SERVING);
}
