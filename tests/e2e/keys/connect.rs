//! Which providers are connected, and how they cannot be.

use claviger_proto::keyvault_v1::{
    CompleteProviderOAuthRequest, ListConnectedProvidersRequest, ProviderKey, StartProviderOAuthRequest,
};
use claviger_tests::{Fleet, key, key_for, reason, refuse};
use tonic::Code;

use super::{ACME, slugged, tamper, update};

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_connected_by_a_key_that_can_be_used() {
    let fleet = Fleet::start().await.unwrap();
    let connected = async |parent: &str| {
        let request = ListConnectedProvidersRequest { parent: parent.to_owned() };
        let answer = fleet.key_vault().list_connected_providers(request).await.unwrap().into_inner();
        let line = |provider: claviger_proto::keyvault_v1::ConnectedProvider| {
            assert!(!provider.categories.is_empty());
            format!("{} {}", provider.provider, provider.active_key_count)
        };
        answer.connected_providers.into_iter().map(line).collect::<Vec<_>>()
    };
    assert!(connected(ACME).await.is_empty());
    fleet.create(ACME, "openai", &key_for("sk-proj-", "good")).await.unwrap();
    fleet.create(ACME, "elevenlabs", &key_for("sk_", "good")).await.unwrap();
    let secret = key("good");
    let dropped = fleet.store(slugged(ACME, "anthropic", "dropped", &secret)).await.unwrap();
    let mut others = Vec::new();
    for slug in ["good", "off", "gone", "altered", "expired"] {
        others.push(fleet.store(slugged(ACME, "anthropic", slug, &key("good"))).await.unwrap());
    }
    assert_eq!(connected(ACME).await, ["providers/anthropic 6", "providers/elevenlabs 1", "providers/openai 1"]);

    let _refusing = refuse(&fleet.provider, &secret).await;
    fleet.test(&dropped.name).await.unwrap();
    let off = ProviderKey { name: others[1].name.clone(), disabled: true, ..Default::default() };
    update(&fleet, off, &["disabled"]).await.unwrap();
    fleet.revoke(&others[2].name).await.unwrap();
    tamper(&fleet, &others[3]).await;
    let mut soon = others[4].create_time.unwrap();
    soon.seconds += 3_600;
    let expiring = ProviderKey { name: others[4].name.clone(), expire_time: Some(soon), ..Default::default() };
    update(&fleet, expiring, &["expire_time"]).await.unwrap();
    assert_eq!(connected(ACME).await[0], "providers/anthropic 2");
    assert!(connected("workspaces/acme/users/ann").await.is_empty());
    let bad = ListConnectedProvidersRequest { parent: "acme".into() };
    assert_eq!(reason(&fleet.key_vault().list_connected_providers(bad).await.unwrap_err()), "INVALID_FIELD");
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth_is_refused_with_the_way_that_there_is() {
    let fleet = Fleet::start().await.unwrap();
    let start = async |parent: &str, provider: &str| {
        let request =
            StartProviderOAuthRequest { parent: parent.into(), provider: provider.into(), ..Default::default() };
        fleet.key_vault().start_provider_o_auth(request).await.unwrap_err()
    };
    for provider in ["anthropic", "claude", "openrouter"] {
        let refused = start(ACME, provider).await;
        assert_eq!((reason(&refused).as_str(), refused.code()), ("OAUTH_NOT_AVAILABLE", Code::Unimplemented));
        let message = refused.message();
        assert!(message.contains("https://") && message.contains("CreateProviderKey"), "{message}");
    }
    for (parent, provider) in [(ACME, "nobody"), (ACME, "No"), ("acme", "anthropic")] {
        assert_eq!(reason(&start(parent, provider).await), "INVALID_FIELD", "{parent} {provider}");
    }
    let request = CompleteProviderOAuthRequest { state: "s".into(), code: "c".into(), ..Default::default() };
    let refused = fleet.key_vault().complete_provider_o_auth(request).await.unwrap_err();
    assert_eq!(reason(&refused), "OAUTH_NOT_AVAILABLE");
}
