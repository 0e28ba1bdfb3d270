//! What the secret is not bound to changes by update alone.

use claviger_proto::keyvault_v1::ProviderKey;
use claviger_proto::keyvault_v1::provider_key::State;
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::resolve_request;
use claviger_tests::{Fleet, key, reason, refuse};
use serde_json::json;

use super::{ACME, events, lasting, seq, shown, slugged, tamper, update};

#[tokio::test(flavor = "multi_thread")]
async fn the_mask_alone_says_what_changes() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.store(slugged(ACME, "anthropic", "main", &key("good"))).await.unwrap();
    let mut later = stored.create_time.unwrap();
    later.seconds += 3_600;
    let wanted = ProviderKey {
        name: stored.name.clone(),
        label: "production".into(),
        rotation_priority: 7,
        allowed_models: vec!["claude-a".into(), "claude-b".into()],
        expire_time: Some(later),
        disabled: true,
        // what no update changes
        key_slug: "other".into(),
        provider: "openai".into(),
        base_url: "https://thief.example".into(),
        secret_version: 9,
        ..Default::default()
    };
    let labelled = update(&fleet, wanted.clone(), &["label"]).await.unwrap();
    let expected = ProviderKey {
        label: "production".into(),
        etag: labelled.etag.clone(),
        update_time: labelled.update_time,
        ..lasting(stored.clone())
    };
    assert_eq!(lasting(labelled.clone()), expected);
    assert_ne!(labelled.etag, stored.etag);

    let all = ["label", "rotation_priority", "allowed_models", "expire_time", "disabled"];
    let changed = update(&fleet, wanted, &all).await.unwrap();
    assert_eq!((changed.rotation_priority, changed.state(), changed.disabled), (7, State::Disabled, true));
    assert_eq!((changed.allowed_models.len(), changed.expire_time), (2, Some(later)));
    assert_eq!((changed.key_slug.as_str(), changed.base_url.as_str(), changed.secret_version), ("main", "", 1));
    assert_eq!(shown(&fleet, &stored.name).await, lasting(changed));

    let cleared = ProviderKey { name: stored.name.clone(), allowed_models: vec!["*".into()], ..Default::default() };
    let cleared = update(&fleet, cleared, &["allowed_models", "expire_time"]).await.unwrap();
    assert_eq!((cleared.allowed_models.len(), cleared.expire_time), (0, None));

    let told = events(&fleet, &stored.name).await.split_off(1);
    let event = |fields: &str, state: &str| {
        ("key.updated".to_owned(), json!({"key_slug": "main", "fields": fields, "state": state}))
    };
    let mut second = event("rotation_priority,allowed_models,expire_time,disabled", "DISABLED");
    second.1["rotation_priority"] = json!("7");
    assert_eq!(told, [event("label", "ACTIVE"), second, event("allowed_models,expire_time", "DISABLED")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_changes_nothing_leaves_no_trace() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(ACME, "anthropic", &key("good")).await.unwrap();
    let before = seq(&fleet).await;
    let same =
        update(&fleet, stored.clone(), &["label", "rotation_priority", "expire_time", "disabled"]).await.unwrap();
    assert_eq!(lasting(same), lasting(stored));
    assert_eq!(seq(&fleet).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_change_is_refused() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    let stored = fleet.store(slugged(ACME, "anthropic", "main", &secret)).await.unwrap();
    let named = || ProviderKey { name: stored.name.clone(), ..Default::default() };
    let before = seq(&fleet).await;
    let cases = [
        ("INVALID_FIELD", named(), &[][..]),
        ("INVALID_FIELD", named(), &["*"]),
        ("INVALID_FIELD", named(), &["key_slug"]),
        ("INVALID_FIELD", named(), &["base_url"]),
        ("INVALID_FIELD", ProviderKey { location: "eu-west-1".into(), ..named() }, &["location"]),
        ("INVALID_FIELD", named(), &["label", "secret_version"]),
        ("INVALID_FIELD", named(), &["allowed_models"]),
        ("INVALID_FIELD", ProviderKey { rotation_priority: -1, ..named() }, &["rotation_priority"]),
        ("INVALID_FIELD", ProviderKey { label: "a\nb".into(), ..named() }, &["label"]),
        ("INVALID_FIELD", ProviderKey { label: format!("mine: {secret}"), ..named() }, &["label"]),
        ("INVALID_FIELD", ProviderKey { allowed_models: vec![secret.clone()], ..named() }, &["allowed_models"]),
        ("INVALID_FIELD", ProviderKey { expire_time: stored.create_time, ..named() }, &["expire_time"]),
        ("RENTABILITY_NOT_AVAILABLE", ProviderKey { rentable: true, ..named() }, &["rentable"]),
        ("ETAG_MISMATCH", ProviderKey { etag: "0".into(), label: "x".into(), ..named() }, &["label"]),
        ("KEY_NOT_FOUND", ProviderKey { name: stored.name.replace(ACME, "workspaces/other"), ..named() }, &["label"]),
    ];
    for (expected, key, paths) in cases {
        let refused = update(&fleet, key, paths).await.unwrap_err();
        assert_eq!(reason(&refused), expected, "{paths:?}: {refused:?}");
        assert!(!format!("{refused:?}").contains(&secret));
    }
    assert_eq!(seq(&fleet).await, before);

    tamper(&fleet, &stored).await;
    let relabel = || ProviderKey { label: "x".into(), ..named() };
    assert_eq!(reason(&update(&fleet, relabel(), &["label"]).await.unwrap_err()), "KEY_ALTERED");
    fleet.revoke(&stored.name).await.unwrap();
    assert_eq!(reason(&update(&fleet, relabel(), &["label"]).await.unwrap_err()), "KEY_REVOKED");
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_a_key_off_and_on_does_not_make_a_rejected_one_good() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    let stored = fleet.create(ACME, "anthropic", &secret).await.unwrap();
    let switch = async |disabled| {
        let key = ProviderKey { name: stored.name.clone(), disabled, ..Default::default() };
        update(&fleet, key, &["disabled"]).await.unwrap().state()
    };
    let pin = || ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request(ACME) };
    assert_eq!(switch(true).await, State::Disabled);
    assert_eq!(reason(&fleet.resolve(pin()).await.unwrap_err()), "KEY_DISABLED");
    assert_eq!(switch(false).await, State::Active);
    assert_eq!(fleet.resolve(pin()).await.unwrap().credential.unwrap().secret, secret);

    let _refusing = refuse(&fleet.provider, &secret).await;
    assert_eq!(fleet.test(&stored.name).await.unwrap().state(), State::Invalid);
    assert_eq!(switch(false).await, State::Invalid);
    assert_eq!(switch(true).await, State::Disabled);
    assert_eq!(switch(false).await, State::Invalid);
    assert_eq!(reason(&fleet.resolve(pin()).await.unwrap_err()), "KEY_INVALID");
}
