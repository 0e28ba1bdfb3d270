//! gRPC calls that no stub would make: any bytes at any path, with any headers.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpStream;
use tonic::Status;
use tonic::codegen::{Bytes, http};

/// Sends one frame of bytes to a method, such as `claviger.keyvault.v1.KeyVault/GetProviderKey`, and waits for the status.
///
/// # Errors
/// When there is no gRPC status.
pub async fn call(address: SocketAddr, method: &str, headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<Status> {
    send(address, method, headers, frame(body)?).await
}

/// Sends bytes that need not be a frame, and waits for the status.
///
/// # Errors
/// When there is no gRPC status.
pub async fn send(address: SocketAddr, method: &str, headers: &[(&str, &str)], body: Bytes) -> anyhow::Result<Status> {
    let (client, connection) = h2::client::handshake(TcpStream::connect(address).await?).await?;
    let connection = tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://{address}/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut client = client.ready().await?;
    let (response, mut sending) = client.send_request(request.body(())?, false)?;
    sending.send_data(body, true)?;
    let status = status(response.await?).await;
    connection.abort();
    status
}

async fn status(response: http::Response<h2::RecvStream>) -> anyhow::Result<Status> {
    if let Some(status) = Status::from_header_map(response.headers()) {
        return Ok(status);
    }
    let mut body = response.into_body();
    while let Some(chunk) = body.data().await {
        body.flow_control().release_capacity(chunk?.len())?;
    }
    let trailers = body.trailers().await?.context("no trailers")?;
    Status::from_header_map(&trailers).context("no gRPC status")
}

/// An uncompressed message as gRPC frames it.
fn frame(message: &[u8]) -> anyhow::Result<Bytes> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len())?.to_be_bytes());
    frame.extend(message);
    Ok(frame.into())
}

/// A length-delimited protobuf field: a text, bytes or a message. Field numbers below 16.
#[must_use]
pub fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = value.len();
    while length >= 0x80 {
        field.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap_or(0));
    field.extend(value);
    field
}
