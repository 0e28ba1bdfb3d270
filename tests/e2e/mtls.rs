//! Outside `--dev`: who reaches the services, as whom, and what others are told.

mod pki;
mod refused;
pub(crate) mod secured;

use std::time::{Duration, Instant};

use claviger_proto::keyvault_v1::key_vault_client::KeyVaultClient;
use claviger_proto::keyvault_v1::workspaces_client::WorkspacesClient;
use claviger_proto::keyvault_v1::{CreateProviderKeyRequest, CreateWorkspaceRequest, ProviderKey, Verification};
use claviger_proto::routing_v1::routing_client::RoutingClient;
use claviger_tests::fleet::{create_request, resolve_request, serving};
use claviger_tests::{Process, audit, key, reason, wire};
use tonic::Code;
use tonic::transport::Channel;

use pki::Authority;
use secured::{ROUTING, RUNTIME, Secured};

const FEED: &str = "claviger.keyvault.v1.KeyFeed/Subscribe";

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_of_the_authority_no_method_answers() {
    let secured = Secured::start().await;
    let stranger = Authority::new().issue(&[ROUTING]);
    let expired = secured.authority.expired(ROUTING);
    for (process, package) in secured.services() {
        let callers = [
            ("no certificate", secured.channel(process, None)),
            ("a certificate of another authority", secured.channel(process, Some(&stranger))),
            ("an expired certificate", secured.channel(process, Some(&expired))),
            ("plaintext", wire::channel(process, "grpc")),
        ];
        for (caller, channel) in callers {
            for method in wire::methods_of(package) {
                let error = wire::call(&channel, &method).await.unwrap_err();
                assert!(!wire::is_answer(&error), "{method} answered {caller}: {error:?}");
            }
        }
        let known = secured.channel_as(process, &[RUNTIME]);
        let refusal = wire::call(&known, "claviger.none.v1.None/None").await.unwrap_err();
        assert!(wire::is_answer(&refusal), "the way is open to others: {refusal:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_names_nobody_is_caller_unknown_to_every_method() {
    let secured = Secured::start().await;
    let nobodies: [&[&str]; 5] = [
        &[],
        &["spiffe://other.org/claviger/routing"],
        &[ROUTING, RUNTIME],
        &["https://example.org/claviger/routing"],
        &["spiffe://EXAMPLE.org/claviger/routing"],
    ];
    for (process, package) in secured.services() {
        for uris in nobodies {
            let channel = secured.channel_as(process, uris);
            for method in wire::methods_of(package) {
                let error = wire::call(&channel, &method).await.unwrap_err();
                assert_eq!(error.code(), Code::Unauthenticated, "{method} {uris:?}: {error:?}");
                assert_eq!(reason(&error), "CALLER_UNKNOWN", "{method} {uris:?}");
                assert!(uris.iter().all(|uri| !error.message().contains(uri)), "{error:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_admits_routings_identity_alone() {
    let secured = Secured::start().await;
    let others = [
        RUNTIME,
        "spiffe://example.org/claviger/Routing",
        "spiffe://example.org/claviger/routing2",
        "spiffe://example.org/claviger/routing/replica",
        "spiffe://example.org/claviger",
    ];
    for other in others {
        let channel = secured.channel_as(&secured.vault, &[other]);
        let error = wire::call(&channel, FEED).await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::PermissionDenied, "NOT_ALLOWED"), "{other}");
    }
    let routing = secured.channel_as(&secured.vault, &[ROUTING]);
    let admitted = wire::call(&routing, FEED).await.unwrap_err();
    assert_eq!(reason(&admitted), "HANDSHAKE_FAILED", "an empty message is no hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn known_callers_store_and_resolve_under_their_own_names() {
    let secured = Secured::start().await;
    unknown_workspaces_are_refused(&secured).await;

    let channel = secured.channel_as(&secured.vault, &[ROUTING]);
    let request = CreateWorkspaceRequest { workspace_id: "acme".into(), workspace: None, ..Default::default() };
    let workspace = WorkspacesClient::new(channel.clone()).create_workspace(request).await.unwrap().into_inner();
    assert_eq!(workspace.creator, ROUTING);
    let secret = key("good");
    let stored = store(channel, &secret).await;
    assert_eq!(stored.creator, ROUTING);
    let other = store(secured.channel_as(&secured.vault, &[RUNTIME]), &key("good")).await;
    assert_eq!(other.creator, RUNTIME);

    let mut resolve = resolve_request("workspaces/acme");
    resolve.key_slug = stored.key_slug;
    for caller in [ROUTING, RUNTIME] {
        let channel = secured.channel_as(&secured.routing, &[caller]);
        let resolution = RoutingClient::new(channel).resolve_key(resolve.clone()).await.unwrap().into_inner();
        assert_eq!(resolution.credential.unwrap().secret, secret);
    }
    let events = audit::events(&secured.folder.path().join("data/keyvault.db")).await.unwrap();
    let actors: Vec<_> = events.iter().map(|event| (event.action.as_str(), event.actor.as_str())).collect();
    let expected = [("workspace.created", ROUTING), ("key.created", ROUTING), ("key.created", RUNTIME)];
    assert_eq!(actors, expected);
}

async fn unknown_workspaces_are_refused(secured: &Secured) {
    let vault = secured.channel_as(&secured.vault, &[RUNTIME]);
    let create = untested("workspaces/nowhere", &key("good"));
    let error = KeyVaultClient::new(vault).create_provider_key(create).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "WORKSPACE_NOT_FOUND"));

    let mut resolve = resolve_request("workspaces/nowhere");
    resolve.provider = "anthropic".into();
    let routing = secured.channel_as(&secured.routing, &[RUNTIME]);
    let error = RoutingClient::new(routing).resolve_key(resolve).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "WORKSPACE_NOT_FOUND"));
}

async fn store(channel: Channel, secret: &str) -> ProviderKey {
    KeyVaultClient::new(channel).create_provider_key(untested("workspaces/acme", secret)).await.unwrap().into_inner()
}

fn untested(parent: &str, secret: &str) -> CreateProviderKeyRequest {
    let mut request = create_request(parent, "anthropic", secret);
    request.set_verification(Verification::Skip);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_port_asks_for_no_certificate_and_serves_health_alone() {
    let secured = Secured::start().await;
    for (process, package) in secured.services() {
        for service in ["", "liveness"] {
            assert!(serving(process, service).await, "{package} {service}");
        }
        let channel = wire::channel(process, "health");
        let others = wire::methods_of(package).into_iter().filter(|method| !method.contains("grpc.health"));
        for method in others {
            let error = wire::call(&channel, &method).await.unwrap_err();
            assert_eq!(error.code(), Code::Unimplemented, "{method}: {error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_reload_and_a_bad_file_keeps_the_last_good_pair() {
    let secured = Secured::start().await;
    let first = shown_certificate(&secured).await;
    secured.authority.issue(&["spiffe://example.org/claviger/keyvault"]).write(secured.folder.path(), "vault");
    let second = until("another certificate", async || {
        let shown = shown_certificate(&secured).await;
        (shown != first).then_some(shown)
    })
    .await;

    std::fs::write(secured.folder.path().join("vault.crt"), "no certificate").unwrap();
    let seen = |process: &Process| process.log().contains("bad TLS files: the last good ones stay");
    until("a word on the bad file", async || seen(&secured.vault).then_some(())).await;
    assert_eq!(shown_certificate(&secured).await, second);
    let channel = secured.channel_as(&secured.vault, &[RUNTIME]);
    wire::call(&channel, "claviger.keyvault.v1.Catalog/ListCategories").await.unwrap();
}

/// The certificate that a new connection to the vault sees.
async fn shown_certificate(secured: &Secured) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(secured.authority.pem().as_bytes()).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = tokio::net::TcpStream::connect(secured.vault.address("grpc")).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Asks until there is an answer: the files are looked at every ten seconds, and a half-written pair needs two looks.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(25), "{what} did not come");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
