//! Messages that are too large or no messages at all.

use std::net::SocketAddr;

use claviger_proto::keyvault_v1::{CreateWorkspaceRequest, GetProviderKeyRequest, GetProviderRequest};
use claviger_proto::methods;
use claviger_tests::Fleet;
use claviger_tests::fleet::resolve_request;
use claviger_tests::raw::{self, field};

use super::{assert_no_trace, assert_refused};

const TOO_LARGE: &str = "PAYLOAD_TOO_LARGE";
const MALFORMED: &str = "MALFORMED_REQUEST";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_the_limit_is_refused() {
    let fleet = Fleet::start().await.unwrap();
    let text = |kib: usize| "canary".repeat(kib * 1024 / 6);
    let get = |kib| GetProviderKeyRequest { name: text(kib) };
    let refused = fleet.catalog().get_provider(GetProviderRequest { name: text(70) }).await.unwrap_err();
    assert_refused("Catalog", &refused, TOO_LARGE);
    let workspace = CreateWorkspaceRequest { workspace_id: text(200), ..Default::default() };
    assert_refused("Workspaces", &fleet.workspaces().create_workspace(workspace).await.unwrap_err(), TOO_LARGE);
    assert_refused("Routing", &fleet.resolve(resolve_request(&text(70))).await.unwrap_err(), TOO_LARGE);
    assert_refused("KeyVault", &fleet.key_vault().get_provider_key(get(200)).await.unwrap_err(), TOO_LARGE);
    // service accounts need more, so KeyVault reads on to the form
    assert_refused("KeyVault", &fleet.key_vault().get_provider_key(get(100)).await.unwrap_err(), "INVALID_FIELD");
    assert_no_trace(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_are_refused_by_every_method() {
    let fleet = Fleet::start().await.unwrap();
    let mut tried = 0;
    for (package, address) in services(&fleet) {
        for method in methods::methods(package).all {
            for body in [b"\xff\xff\xff\xffcanary".to_vec(), vec![0x0a, 0x7f, b'c'], field(15, b"canary")[..2].to_vec()]
            {
                let refused = raw::call(address, &method, &[], &body).await.unwrap();
                assert_refused(&method, &refused, MALFORMED);
                tried += 1;
            }
        }
    }
    // KeyVault, Catalog, Workspaces, AuditLog, MasterKeys, Usage, KeyFeed, Routing
    assert_eq!(tried, 3 * (14 + 3 + 12 + 3 + 2 + 2 + 1 + 4));
    let not_utf8 = field(1, b"workspaces/canary\xff");
    let refused = raw::call(address(&fleet), "claviger.keyvault.v1.Workspaces/GetWorkspace", &[], &not_utf8).await;
    assert_refused("not UTF-8", &refused.unwrap(), MALFORMED);
    assert_no_trace(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_frames_are_the_caller_s_fault() {
    let fleet = Fleet::start().await.unwrap();
    let method = "claviger.keyvault.v1.KeyVault/GetProviderKey";
    for (name, bytes, expected) in [
        ("longer than any message", &b"\0\xff\xff\xff\xffcanary"[..], TOO_LARGE),
        ("cut off", &b"\0\0\0\0\x40canary"[..], MALFORMED),
        ("cut off in its head", &b"\0\0\0"[..], MALFORMED),
        ("no message", &b""[..], MALFORMED),
        ("an unknown flag", &b"\x09\0\0\0\x06canary"[..], MALFORMED),
        ("compressed, it does not say how", &b"\x01\0\0\0\x06canary"[..], MALFORMED),
    ] {
        let refused = raw::send(address(&fleet), method, &[], bytes.to_vec().into()).await.unwrap();
        assert_refused(name, &refused, expected);
    }
    assert_no_trace(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_served_is_said_to_be_missing() {
    let fleet = Fleet::start().await.unwrap();
    for (_, address) in services(&fleet) {
        for method in [
            "claviger.keyvault.v1.KeyVault/Canary",
            "claviger.keyvault.v1.KeyVault/getproviderkey",
            "claviger.routing.v1.Routing/Canary",
            "canary.v1.Canary/Get",
            "claviger.keyvault.v1.KeyVault/GetProviderKey/canary",
            "canary",
        ] {
            let refused = raw::call(address, method, &[], b"").await.unwrap();
            assert_refused(method, &refused, "METHOD_NOT_FOUND");
        }
    }
    // each service serves its own package alone
    let refused = raw::call(fleet.routing.address("grpc"), "claviger.keyvault.v1.KeyVault/GetProviderKey", &[], b"");
    assert_refused("routing", &refused.await.unwrap(), "METHOD_NOT_FOUND");
}

fn services(fleet: &Fleet) -> [(&'static str, SocketAddr); 2] {
    [("claviger.keyvault.v1", address(fleet)), ("claviger.routing.v1", fleet.routing.address("grpc"))]
}

fn address(fleet: &Fleet) -> SocketAddr {
    fleet.vault.address("grpc")
}
