//! Calls of any method by its path, with an empty message: for rules that hold for every method.

use claviger_proto::methods;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::Process;

/// What every service serves beside its own.
const PLUMBING: [&str; 4] = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// All methods that the service of a package serves, and one that none does.
#[must_use]
pub fn methods_of(package: &str) -> Vec<String> {
    let own = methods::methods(package).all;
    own.into_iter().chain(PLUMBING.map(str::to_owned)).chain(["claviger.none.v1.None/None".to_owned()]).collect()
}

/// A plaintext channel to one of a process's listeners (`grpc`, `health`).
#[must_use]
pub fn channel(process: &Process, listener: &str) -> Channel {
    let address = format!("http://{}", process.address(listener));
    Endpoint::from_shared(address).map(|endpoint| endpoint.connect_lazy()).unwrap_or_else(|_| unreachable!())
}

/// Calls a method (`package.Service/Method`) with an empty message.
///
/// # Errors
/// The service's, or the channel's when there is no service.
pub async fn call(channel: &Channel, method: &str) -> Result<Response<()>, Status> {
    call_with(channel, method, &[]).await
}

/// The same with metadata.
///
/// # Errors
/// The service's, or the channel's when there is no service.
pub async fn call_with(
    channel: &Channel,
    method: &str,
    metadata: &[(&'static str, &str)],
) -> Result<Response<()>, Status> {
    let malformed = |_| Status::internal("not a method or not metadata");
    let path: PathAndQuery = format!("/{method}").parse().map_err(|_| malformed(()))?;
    let mut request = Request::new(());
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().map_err(|_| malformed(()))?);
    }
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    client.unary(request, path, ProstCodec::<(), ()>::default()).await
}

/// Whether an error comes from a service of ours: each of its answers carries a request id.
#[must_use]
pub fn is_answer(status: &Status) -> bool {
    status.metadata().contains_key("x-request-id")
}
