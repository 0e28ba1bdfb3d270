#![expect(clippy::unwrap_used, reason = "tests")]

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

async fn get(address: SocketAddr, request: &str) -> String {
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    tcp.write_all(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn metrics_are_served_and_nothing_else() {
    let metrics = install().unwrap();
    install().unwrap();
    metrics::counter!("served_in_a_test_total").increment(1);
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), metrics).await.unwrap();
    let (address, shutdown) = (server.local_addr(), CancellationToken::new());
    let served = tokio::spawn(server.serve(shutdown.clone()));

    let found = get(address, "GET /metrics").await;
    assert!(found.starts_with("HTTP/1.1 200") && found.contains("served_in_a_test_total 1"), "{found}");
    for other in ["GET /", "GET /metrics/x", "POST /metrics", "GET /healthz"] {
        assert!(get(address, other).await.starts_with("HTTP/1.1 404"), "{other}");
    }

    let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), served).await.unwrap().unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
