//! What changes over a key's life, and what stays.

use claviger_proto::keyvault_v1::key_test::Result as Tested;
use claviger_proto::keyvault_v1::provider_key::State;
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::resolve_request;
use claviger_tests::{Fleet, key, reason, refuse};
use tonic_types::StatusExt;

use super::test_result;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_its_provider_drops_is_not_used_until_it_takes_it_again() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    let stored = fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap();
    let ask = ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/acme") };
    let pin = ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request("workspaces/acme") };

    let refusing = refuse(&fleet.provider, &secret).await;
    let dropped = fleet.test(&stored.name).await.unwrap();
    assert_eq!((dropped.state(), test_result(&dropped)), (State::Invalid, Tested::Invalid));
    assert_eq!(reason(&fleet.resolve(ask.clone()).await.unwrap_err()), "NO_ELIGIBLE_KEY");
    assert_eq!(reason(&fleet.resolve(pin).await.unwrap_err()), "KEY_INVALID");

    drop(refusing);
    let revived = fleet.test(&stored.name).await.unwrap();
    assert_eq!((revived.state(), test_result(&revived)), (State::Active, Tested::Valid));
    assert_eq!(fleet.resolve(ask).await.unwrap().credential.unwrap().secret, secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_crash_of_both() {
    let mut fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    let gone = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap();
    fleet.create("platform", "openai", &claviger_tests::key_for("sk-proj-", "good")).await.unwrap();
    let revoked = fleet.revoke(&gone.name).await.unwrap();
    let before = all_keys(&fleet).await;

    fleet.restart().await.unwrap();
    assert_eq!(all_keys(&fleet).await, before);
    let mut ask = ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/acme") };
    ask.consistency_token = revoked.consistency_token;
    assert_eq!(fleet.resolve(ask).await.unwrap().credential.unwrap().secret, secret);
    let pin = ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request("workspaces/acme") };
    assert_eq!(reason(&fleet.resolve(pin).await.unwrap_err()), "KEY_REVOKED");
    assert_eq!(reason(&fleet.test(&gone.name).await.unwrap_err()), "KEY_REVOKED");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_owner_s_key_is_tested_and_revoked_alike() {
    let fleet = Fleet::start().await.unwrap();
    for parent in ["workspaces/acme", "workspaces/acme/users/ann", "platform"] {
        let secret = key("good");
        let stored = fleet.create(parent, "anthropic", &secret).await.unwrap();
        assert!(stored.name.starts_with(&format!("{parent}/keys/")), "{}", stored.name);
        let refusing = refuse(&fleet.provider, &secret).await;
        assert_eq!(fleet.test(&stored.name).await.unwrap().state(), State::Invalid, "{parent}");
        drop(refusing);
        assert_eq!(fleet.test(&stored.name).await.unwrap().state(), State::Active, "{parent}");
        fleet.revoke(&stored.name).await.unwrap();
        assert_eq!(reason(&fleet.test(&stored.name).await.unwrap_err()), "KEY_REVOKED", "{parent}");
        assert!(fleet.keys(parent, false).await.unwrap().is_empty(), "{parent}");
        assert_eq!(fleet.keys(parent, true).await.unwrap().len(), 1, "{parent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_key_is_named_by_its_id_alone() {
    let fleet = Fleet::start().await.unwrap();
    let id = uuid::Uuid::now_v7();
    let missing = fleet.test(&format!("workspaces/acme/users/sk-my-secret/keys/{id}")).await.unwrap_err();
    assert_eq!(reason(&missing), "KEY_NOT_FOUND");
    let resource = missing.get_error_details().resource_info().cloned().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name), ("claviger.dev/ProviderKey", id.to_string()));
    assert!(!format!("{missing:?}").contains("sk-my-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_twice_answers_as_the_first_time() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let first = fleet.revoke(&stored.name).await.unwrap();
    let key = first.provider_key.as_ref().unwrap();
    assert_eq!((key.state(), key.revoke_reason.as_str()), (State::Revoked, "left"));
    assert!(key.revoke_time.is_some());
    assert_eq!(fleet.revoke(&stored.name).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_token_sees_that_change_or_fails() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let secret = key("good");
    fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap();
    let token = fleet.revoke(&stored.name).await.unwrap().consistency_token;
    let ask = |token: &str| ResolveKeyRequest {
        provider: "anthropic".into(),
        consistency_token: token.into(),
        ..resolve_request("workspaces/acme")
    };
    assert_eq!(fleet.resolve(ask(&token)).await.unwrap().credential.unwrap().secret, secret);

    let (epoch, seq) = token.split_once('.').unwrap();
    let ahead = format!("{epoch}.{:x}", u64::from_str_radix(seq, 16).unwrap() + 1);
    assert_eq!(reason(&fleet.resolve(ask(&ahead)).await.unwrap_err()), "VAULT_REWOUND");
    let elsewhere = format!("{}.{seq}", uuid::Uuid::now_v7().simple());
    for other in [elsewhere.as_str(), "x", "00.1", &format!("{token} ")] {
        assert_eq!(reason(&fleet.resolve(ask(other)).await.unwrap_err()), "INVALID_FIELD", "{other}");
    }
}

async fn all_keys(fleet: &Fleet) -> Vec<claviger_proto::keyvault_v1::ProviderKey> {
    let mut keys = fleet.keys("workspaces/acme", true).await.unwrap();
    keys.extend(fleet.keys("platform", true).await.unwrap());
    assert_eq!(keys.len(), 3);
    keys
}
