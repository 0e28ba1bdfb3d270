//! What grpcurl asks.

use claviger_tests::{Fleet, Process, wire};

/// One version of the protocol: the same messages under another package.
macro_rules! ask {
    ($version:ident, $process:expr, $what:expr) => {{
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        use tonic_reflection::pb::$version::{ServerReflectionRequest, ServerReflectionResponse};

        let message_request = Some(match $what {
            Some(symbol) => MessageRequest::FileContainingSymbol(symbol),
            None => MessageRequest::ListServices(String::new()),
        });
        let request = ServerReflectionRequest { host: String::new(), message_request };
        let mut client = ServerReflectionClient::new(wire::channel($process, "grpc"));
        let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
        let answer: ServerReflectionResponse = answers.into_inner().message().await.unwrap().unwrap();
        match answer.message_response.unwrap() {
            MessageResponse::ListServicesResponse(list) => list.service.into_iter().map(|s| s.name).collect(),
            MessageResponse::FileDescriptorResponse(files) => files
                .file_descriptor_proto
                .iter()
                .map(|file| String::from_utf8_lossy(file).into_owned())
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_all_services_and_describes_errors_in_both_versions() {
    let fleet = Fleet::start().await.unwrap();
    let plumbing =
        ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];
    let vault = ["AuditLog", "Catalog", "KeyFeed", "KeyVault", "MasterKeys", "Usage", "Workspaces"];
    let vault = vault.map(|name| format!("claviger.keyvault.v1.{name}"));
    let routing = ["claviger.routing.v1.Routing".to_owned()];
    for (process, own) in [(&fleet.vault, &vault[..]), (&fleet.routing, &routing[..])] {
        for (version, listed) in both(process, None).await {
            let lacking: Vec<_> = own.iter().map(String::as_str).chain(plumbing).collect();
            let lacking: Vec<_> = lacking.into_iter().filter(|name| !listed.iter().any(|n| n == name)).collect();
            assert!(lacking.is_empty(), "{version} lacks {lacking:?} in {listed:?}");
            let foreign: Vec<_> =
                listed.iter().filter(|name| name.starts_with("claviger.") && !own.contains(name)).collect();
            assert!(foreign.is_empty(), "{version} lists what is not served: {foreign:?}");
        }
        for symbol in own.iter().map(String::as_str).chain(["google.rpc.ErrorInfo", "google.rpc.RetryInfo"]) {
            let name = symbol.rsplit('.').next().unwrap();
            for (version, files) in both(process, Some(symbol)).await {
                assert!(files.iter().any(|file| file.contains(name)), "{version} {symbol}");
            }
        }
    }
}

/// The answers of v1 and v1alpha: to a symbol its files, to none the services.
async fn both(process: &Process, symbol: Option<&str>) -> [(&'static str, Vec<String>); 2] {
    let symbol = || symbol.map(str::to_owned);
    [("v1", ask!(v1, process, symbol())), ("v1alpha", ask!(v1alpha, process, symbol()))]
}
