//! Revoking more than one key, and what someone wrote to.

use claviger_proto::keyvault_v1::provider_key::State;
use claviger_proto::keyvault_v1::{
    ProviderKey, RevokeLeakedSecretRequest, RevokeUserKeysRequest, RevokeUserKeysResponse, Secret, Verification, secret,
};
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::resolve_request;
use claviger_tests::{Fleet, key, reason};
use serde_json::json;
use tonic::Status;

use super::{ACME, api_key, events, lasting, replace, replace_request, seq, shown, slugged, tamper};
use crate::flow::{service_account, with_secret};

async fn leaked(fleet: &Fleet, secret: Secret, reason: &str) -> Result<Vec<ProviderKey>, Status> {
    let request = RevokeLeakedSecretRequest { secret: Some(secret), reason: reason.to_owned(), ..Default::default() };
    Ok(fleet.key_vault().revoke_leaked_secret(request).await?.into_inner().provider_keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaked_secret_is_revoked_wherever_it_is() {
    let fleet = Fleet::start().await.unwrap();
    let (secret, rotated) = (key("good"), key("good"));
    let parents = [ACME, "workspaces/acme/users/ann", "workspaces/other", "platform"];
    let mut hit = Vec::new();
    for parent in parents {
        hit.push(fleet.create(parent, "anthropic", &secret).await.unwrap());
    }
    let spared = fleet.store(slugged(ACME, "anthropic", "spared", &key("good"))).await.unwrap();
    let gone = fleet.store(slugged(ACME, "anthropic", "gone", &secret)).await.unwrap();
    fleet.revoke(&gone.name).await.unwrap();
    let moved_on = fleet.store(slugged(ACME, "anthropic", "moved-on", &secret)).await.unwrap();
    replace(&fleet, replace_request(&moved_on.name, &rotated)).await.unwrap();
    let before = seq(&fleet).await;

    let revoked = leaked(&fleet, api_key(&secret), "found on a web page").await.unwrap();
    let names =
        |keys: &[ProviderKey]| keys.iter().map(|key| key.name.clone()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names(&revoked), names(&hit));
    assert_eq!(seq(&fleet).await, before + 4, "one event a key");
    for key in revoked {
        assert_eq!((key.state(), key.revoke_reason.as_str()), (State::Revoked, "found on a web page"));
        assert_eq!(events(&fleet, &key.name).await.pop().unwrap().0, "key.revoked");
        assert_eq!(shown(&fleet, &key.name).await, lasting(key));
    }
    assert_eq!(shown(&fleet, &spared.name).await.state(), State::Active);
    assert_eq!(shown(&fleet, &moved_on.name).await.state(), State::Active, "an old secret is no one's");
    assert!(leaked(&fleet, api_key(&secret), "").await.unwrap().is_empty(), "what this call revoked");
    let pin = ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request(ACME) };
    assert_eq!(reason(&fleet.resolve(pin).await.unwrap_err()), "KEY_REVOKED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaked_key_file_is_its_private_key_however_it_is_written() {
    let fleet = Fleet::start().await.unwrap();
    let (file, _) = service_account("0123456789abcdef");
    let store = async |file: &str| {
        let mut request = with_secret(ACME, "vertex", secret::Kind::ServiceAccountJson(file.to_owned()));
        request.verification = Verification::Skip.into();
        fleet.store(request).await.unwrap()
    };
    assert!(store(&file).await.warnings.is_empty());
    let mut parsed: serde_json::Value = serde_json::from_str(&file).unwrap();
    parsed["client_id"] = "1".into();
    let pretty = serde_json::to_string_pretty(&parsed).unwrap();
    assert_eq!(store(&pretty).await.warnings.len(), 1);
    let (other, _) = service_account("0123456789abcdef");
    assert!(store(&other).await.warnings.is_empty(), "another private key");

    parsed["private_key"] = parsed["private_key"].as_str().unwrap().replace('\n', "\r\n").into();
    let secret = Secret { kind: Some(secret::Kind::ServiceAccountJson(parsed.to_string())) };
    assert_eq!(leaked(&fleet, secret, "").await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_no_secret_is_refused_and_not_looked_for() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    for (kind, note) in [
        (secret::Kind::ApiKey(String::new()), String::new()),
        (secret::Kind::ApiKey(format!("{secret}\n")), String::new()),
        (secret::Kind::ServiceAccountJson("{}".into()), String::new()),
        (secret::Kind::UrlOnly(true), String::new()),
        (secret::Kind::ApiKey(secret.clone()), format!("found {secret}")),
    ] {
        let refused = leaked(&fleet, Secret { kind: Some(kind) }, &note).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD");
        assert!(!format!("{refused:?}").contains(&secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_leavers_keys_end_unseen() {
    let fleet = Fleet::start().await.unwrap();
    let ann = "workspaces/acme/users/ann";
    let mut ended = Vec::new();
    for slug in ["one", "two"] {
        ended.push(fleet.store(slugged(ann, "anthropic", slug, &key("good"))).await.unwrap());
    }
    tamper(&fleet, &ended[1]).await;
    let mut kept = Vec::new();
    for parent in [ACME, "workspaces/acme/users/bob", "workspaces/other/users/ann"] {
        kept.push(fleet.create(parent, "anthropic", &key("good")).await.unwrap());
    }
    let revoke = async |parent: &str| {
        let request = RevokeUserKeysRequest { parent: parent.into(), reason: "left".into(), ..Default::default() };
        fleet.key_vault().revoke_user_keys(request).await.map(tonic::Response::into_inner)
    };
    let RevokeUserKeysResponse { revoked_count, consistency_token } = revoke(ann).await.unwrap();
    assert_eq!(revoked_count, 2);
    for key in ended {
        let key = shown(&fleet, &key.name).await;
        assert_eq!((key.state(), key.revoke_reason.as_str(), key.altered), (State::Revoked, "left", false));
    }
    for key in kept {
        assert_eq!(shown(&fleet, &key.name).await.state(), State::Active);
    }
    let pin =
        ResolveKeyRequest { user: "ann".into(), key_slug: "one".into(), consistency_token, ..resolve_request(ACME) };
    assert_eq!(reason(&fleet.resolve(pin).await.unwrap_err()), "KEY_REVOKED");
    assert_eq!(revoke(ann).await.unwrap().revoked_count, 0);
    for parent in [ACME, "platform", "", "workspaces/acme/users/"] {
        assert_eq!(reason(&revoke(parent).await.unwrap_err()), "INVALID_FIELD", "{parent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_key_is_shown_as_such_and_can_be_revoked() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(ACME, "anthropic", &key("good")).await.unwrap();
    tamper(&fleet, &stored).await;
    assert!(shown(&fleet, &stored.name).await.altered);
    assert_eq!(reason(&fleet.test(&stored.name).await.unwrap_err()), "KEY_ALTERED");
    let revoked = fleet.revoke(&stored.name).await.unwrap().provider_key.unwrap();
    assert_eq!(revoked.state(), State::Revoked);
    assert_eq!(shown(&fleet, &stored.name).await, lasting(revoked), "the revoke stands");
    assert_eq!(newest(&fleet, &stored.name).await, ("key.revoked".to_owned(), altered("REVOKED")));
    let un_revoke = "UPDATE provider_keys SET state = 'ACTIVE', revoke_time = NULL";
    claviger_tests::database::alter(&fleet.database(), un_revoke).await.unwrap();
    assert!(shown(&fleet, &stored.name).await.altered);
    assert_eq!(fleet.revoke(&stored.name).await.unwrap().provider_key.unwrap().state(), State::Revoked);
    assert_eq!(newest(&fleet, &stored.name).await, ("key.revoked".to_owned(), altered("REVOKED")), "and again");

    let whole = fleet.store(slugged(ACME, "anthropic", "whole", &key("good"))).await.unwrap();
    fleet.revoke(&whole.name).await.unwrap();
    let told = json!({"key_slug": "whole", "state": "REVOKED"});
    assert_eq!(newest(&fleet, &whole.name).await, ("key.revoked".to_owned(), told), "nobody wrote there");
}

async fn newest(fleet: &Fleet, target: &str) -> (String, serde_json::Value) {
    events(fleet, target).await.pop().unwrap()
}

/// The details of an end that found the row altered.
fn altered(state: &str) -> serde_json::Value {
    json!({"key_slug": "anthropic", "state": state, "altered": "true"})
}
