//! The main job: store a customer's key, test it live, resolve it, revoke it.

use claviger_proto::keyvault_v1::{ListProviderKeysRequest, RevokeProviderKeyRequest};
use claviger_tests::fleet::resolve_request;
use claviger_tests::{Fleet, key, reason};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_stored_resolved_and_revoked() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    let stored = fleet.create("workspaces/acme", "claude", &secret).await.unwrap();
    assert_eq!(stored.provider, "anthropic");

    let mut request = resolve_request("workspaces/acme");
    request.model = "claude-sonnet-5".into();
    let resolution = fleet.routing().resolve_key(request.clone()).await.unwrap().into_inner();
    assert_eq!(resolution.credential.unwrap().secret, secret);

    let revoke = RevokeProviderKeyRequest { name: stored.name.clone(), reason: "left".into() };
    fleet.key_vault().revoke_provider_key(revoke).await.unwrap();
    let refused = fleet.routing().resolve_key(request).await.unwrap_err();
    assert_eq!(reason(&refused), "NO_ELIGIBLE_KEY");

    let list = ListProviderKeysRequest { parent: "workspaces/acme".into(), ..Default::default() };
    let listed = fleet.key_vault().list_provider_keys(list).await.unwrap().into_inner();
    assert!(listed.provider_keys.is_empty(), "{listed:?}");
}
