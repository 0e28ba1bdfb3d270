//! The customer's rotation: another secret under the same name.

use claviger_proto::keyvault_v1::key_test::Result as Tested;
use claviger_proto::keyvault_v1::provider_key::State;
use claviger_proto::keyvault_v1::{ProviderKey, ReplaceProviderKeySecretRequest, Secret, Verification, secret};
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::resolve_request;
use claviger_tests::provider::requests_with;
use claviger_tests::{Fleet, key, key_for, reason, refuse};
use serde_json::json;

use super::{ACME, events, lasting, replace, replace_request, seq, shown, slugged, tamper, update};
use crate::database::{Database, hex};

fn skipping(name: &str, secret: &str) -> ReplaceProviderKeySecretRequest {
    ReplaceProviderKeySecretRequest { verification: Verification::Skip.into(), ..replace_request(name, secret) }
}

async fn resolved(fleet: &Fleet, slug: &str) -> String {
    let pin = ResolveKeyRequest { key_slug: slug.into(), ..resolve_request(ACME) };
    fleet.resolve(pin).await.unwrap().credential.unwrap().secret
}

async fn sealed(fleet: &Fleet, key: &ProviderKey) -> Vec<u8> {
    let database = Database::open(&fleet.database()).await;
    let sealed = database.bytes(&format!("SELECT sealed FROM provider_keys WHERE id = '{}'", key.uid)).await;
    database.close().await;
    sealed
}

/// SQLite's write-ahead log keeps older pages until their place is needed.
#[tokio::test(flavor = "multi_thread")]
async fn the_old_ciphertext_is_in_no_file_any_more() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(ACME, "anthropic", &key("good")).await.unwrap();
    let old = sealed(&fleet, &stored).await;
    let log = fleet.database().with_extension("db-wal");
    let holds = |bytes: &[u8]| {
        let files = [std::fs::read(fleet.database()).unwrap(), std::fs::read(&log).unwrap()].concat();
        files.windows(bytes.len()).any(|window| window == bytes)
    };
    assert!(holds(&old[old.len() - 24..]), "the search finds what is there");
    replace(&fleet, replace_request(&stored.name, &key("good"))).await.unwrap();
    assert!(!holds(&old[old.len() - 24..]));
    let new = sealed(&fleet, &stored).await;
    assert!(holds(&new[new.len() - 24..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_secret_takes_the_old_ones_place() {
    let mut fleet = Fleet::start().await.unwrap();
    let (old, new) = (key("good"), key("good"));
    let mut request = slugged(ACME, "anthropic", "main", &old);
    request.provider_key.as_mut().unwrap().rotation_priority = 3;
    let stored = fleet.store(request).await.unwrap();
    let ciphertext = sealed(&fleet, &stored).await;

    let replaced = replace(&fleet, replace_request(&stored.name, &new)).await.unwrap();
    let expected = ProviderKey {
        secret_version: 2,
        last_four: new[new.len() - 4..].into(),
        last_test: replaced.last_test.clone(),
        update_time: replaced.update_time,
        etag: replaced.etag.clone(),
        ..lasting(stored.clone())
    };
    assert_eq!(lasting(replaced.clone()), expected);
    assert_ne!(replaced.etag, stored.etag);
    assert_eq!(shown(&fleet, &stored.name).await, expected);
    assert_eq!(requests_with(&fleet.provider, &new).await.len(), 1, "it was tested");
    assert_eq!(resolved(&fleet, "main").await, new);
    let told = events(&fleet, &stored.name).await.pop().unwrap();
    let details = json!({"key_slug": "main", "secret_version": "2", "test_result": "VALID", "state": "ACTIVE"});
    assert_eq!(told, ("key.secret_replaced".to_owned(), details));

    assert!(!fleet.revoke(&stored.name).await.unwrap().provider_key.unwrap().altered);
    fleet.vault.signal(claviger_tests::Signal::TERM).unwrap();
    fleet.vault.wait(std::time::Duration::from_secs(30)).unwrap();
    let database = Database::open(&fleet.database()).await;
    database.rows("PRAGMA wal_checkpoint(TRUNCATE)").await;
    database.close().await;
    let file = std::fs::read(fleet.database()).unwrap();
    let holds = |bytes: &[u8]| file.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(stored.uid.as_bytes()), "the search finds what is there");
    assert!(!holds(&ciphertext[ciphertext.len() - 24..]), "the old ciphertext: {}", hex(&ciphertext));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_is_a_new_chance_but_switches_nothing_on() {
    let fleet = Fleet::start().await.unwrap();
    let mut present = key("good");
    let stored = fleet.create(ACME, "anthropic", &present).await.unwrap();
    let drop_it = async |secret: &str| {
        let refusing = refuse(&fleet.provider, secret).await;
        assert_eq!(fleet.test(&stored.name).await.unwrap().state(), State::Invalid);
        refusing
    };
    for (kind, how, result) in [
        ("good", Verification::Require, Tested::Valid),
        ("limited", Verification::Require, Tested::RateLimited),
        ("broken", Verification::IfPossible, Tested::Inconclusive),
        ("good", Verification::Skip, Tested::Skipped),
    ] {
        let _refusing = drop_it(&present).await;
        let new = key(kind);
        let request =
            ReplaceProviderKeySecretRequest { verification: how.into(), ..replace_request(&stored.name, &new) };
        let replaced = replace(&fleet, request).await.unwrap();
        assert_eq!((replaced.state(), replaced.last_test.unwrap().result()), (State::Active, result));
        present = new;
    }
    let off = ProviderKey { name: stored.name.clone(), disabled: true, ..Default::default() };
    update(&fleet, off.clone(), &["disabled"]).await.unwrap();
    let replaced = replace(&fleet, replace_request(&stored.name, &key("good"))).await.unwrap();
    assert_eq!(replaced.state(), State::Disabled);
    let on = update(&fleet, ProviderKey { disabled: false, ..off }, &["disabled"]).await.unwrap();
    assert_eq!(on.state(), State::Active, "the test that counts is the new secret's");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_destination_changes_with_the_secret_alone() {
    let fleet = Fleet::start().await.unwrap();
    let url = |path: &str| format!("{}/{path}", fleet.provider.uri());
    let secret = || key_for("sk-", "good");
    let mut request = slugged(ACME, "openai", "main", &secret());
    request.provider_key.as_mut().unwrap().base_url = url("one");
    let stored = fleet.store(request).await.unwrap();
    let to = |base_url: Option<&str>| ReplaceProviderKeySecretRequest {
        base_url: base_url.map(str::to_owned),
        ..replace_request(&stored.name, &secret())
    };
    assert_eq!(replace(&fleet, to(None)).await.unwrap().base_url, url("one"));
    let moved = to(Some(&url("two")));
    let moved_secret = text(&moved);
    assert_eq!(replace(&fleet, moved).await.unwrap().base_url, url("two"));
    let asked = requests_with(&fleet.provider, &moved_secret).await;
    assert!(asked.iter().all(|request| request.url.path().starts_with("/two")) && asked.len() == 1, "{asked:?}");
    assert_eq!(resolved(&fleet, "main").await, moved_secret, "it opens under its new destination");
    let refused = replace(&fleet, to(Some("https://10.0.0.1"))).await.unwrap_err();
    assert_eq!(reason(&refused), "BASE_URL_NOT_ALLOWED");
    assert_eq!(field(&refused), "base_url");
    let mut located = to(None);
    located.location = Some("eu-west-1".into());
    let refused = replace(&fleet, located).await.unwrap_err();
    assert_eq!((reason(&refused).as_str(), field(&refused).as_str()), ("INVALID_FIELD", "location"));
    assert!(refused.message().starts_with("location must not"), "{}", refused.message());
    assert_eq!(replace(&fleet, to(Some(""))).await.unwrap().base_url, "");
}

/// Bedrock's destination is made of the location.
#[tokio::test(flavor = "multi_thread")]
async fn the_location_changes_with_the_secret_alone() {
    let fleet = Fleet::start().await.unwrap();
    let mut request = slugged(ACME, "bedrock", "main", &key_for("ABSK", "good"));
    request.set_verification(Verification::Skip);
    request.provider_key.as_mut().unwrap().location = "us-east-1".into();
    let name = fleet.store(request).await.unwrap().name;
    for (given, location) in [(None, "us-east-1"), (Some("eu-west-1"), "eu-west-1"), (None, "eu-west-1")] {
        let secret = key_for("ABSK", "good");
        let request =
            ReplaceProviderKeySecretRequest { location: given.map(str::to_owned), ..skipping(&name, &secret) };
        assert_eq!(replace(&fleet, request).await.unwrap().location, location, "{given:?}");
        let pin = ResolveKeyRequest { key_slug: "main".into(), ..resolve_request(ACME) };
        let resolved = fleet.resolve(pin).await.unwrap();
        assert_eq!(resolved.base_url, format!("https://bedrock-runtime.{location}.amazonaws.com"));
        assert_eq!(resolved.credential.unwrap().secret, secret, "it opens under its location");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_the_old_secret() {
    let fleet = Fleet::start().await.unwrap();
    let old = key("good");
    let stored = fleet.store(slugged(ACME, "anthropic", "main", &old)).await.unwrap();
    let name = &stored.name;
    let kind = |kind| ReplaceProviderKeySecretRequest {
        secret: Some(Secret { kind: Some(kind) }),
        ..replace_request(name, "")
    };
    let in_label = key("good");
    let cases = [
        ("INVALID_PROVIDER_KEY", replace_request(name, &key("bad"))),
        ("MALFORMED_PROVIDER_KEY", replace_request(name, "short")),
        ("VERIFICATION_UNAVAILABLE", replace_request(name, &key("broken"))),
        ("INVALID_FIELD", kind(secret::Kind::UrlOnly(true))),
        ("INVALID_FIELD", kind(secret::Kind::ServiceAccountJson("{}".into()))),
        (
            "INVALID_FIELD",
            ReplaceProviderKeySecretRequest {
                base_url: Some(format!("https://x.example/{in_label}")),
                ..replace_request(name, &in_label)
            },
        ),
        ("ETAG_MISMATCH", ReplaceProviderKeySecretRequest { etag: "0".into(), ..replace_request(name, &key("good")) }),
        ("KEY_NOT_FOUND", replace_request(&name.replace(ACME, "workspaces/other"), &key("good"))),
    ];
    for (expected, request) in cases {
        let refused = replace(&fleet, request).await.unwrap_err();
        assert_eq!(reason(&refused), expected, "{refused:?}");
    }
    assert_eq!(shown(&fleet, name).await, lasting(stored.clone()));
    assert_eq!(resolved(&fleet, "main").await, old);

    // a provider that would take either kind
    let mut custom = slugged(ACME, "custom", "custom", &key_for("sk-", "good"));
    custom.provider_key.as_mut().unwrap().base_url = fleet.provider.uri();
    let custom = fleet.store(custom).await.unwrap();
    let url_only = ReplaceProviderKeySecretRequest { name: custom.name.clone(), ..kind(secret::Kind::UrlOnly(true)) };
    assert_eq!(field(&replace(&fleet, url_only).await.unwrap_err()), "secret");
    assert_eq!(shown(&fleet, &custom.name).await, lasting(custom));
    let tested = events(&fleet, &format!("{ACME}/keys/-")).await;
    let results: Vec<_> = tested.iter().map(|(_, details)| details["test_result"].as_str().unwrap()).collect();
    assert_eq!(results, ["INVALID", "INCONCLUSIVE"], "what was asked is on record");

    let labelled = key("good");
    let spoiled = ProviderKey { name: name.clone(), label: format!("next: {labelled}"), ..Default::default() };
    update(&fleet, spoiled, &["label"]).await.unwrap();
    assert_eq!(reason(&replace(&fleet, replace_request(name, &labelled)).await.unwrap_err()), "INVALID_FIELD");
    assert!(requests_with(&fleet.provider, &labelled).await.is_empty());
    tamper(&fleet, &stored).await;
    assert_eq!(reason(&replace(&fleet, skipping(name, &key("good"))).await.unwrap_err()), "KEY_ALTERED");
    fleet.revoke(name).await.unwrap();
    assert_eq!(reason(&replace(&fleet, skipping(name, &key("good"))).await.unwrap_err()), "KEY_REVOKED");
}

/// The provider takes its time; meanwhile the key is revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_whose_secret_is_not_stored_is_on_record() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(ACME, "anthropic", &key("good")).await.unwrap();
    let slow = key("pause");
    let (mut vault, request) = (fleet.key_vault(), replace_request(&stored.name, &slow));
    let replacing = tokio::spawn(async move { vault.replace_provider_key_secret(request).await });
    while requests_with(&fleet.provider, &slow).await.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    fleet.revoke(&stored.name).await.unwrap();
    assert_eq!(reason(&replacing.await.unwrap().unwrap_err()), "KEY_REVOKED");
    let on_record = events(&fleet, &format!("{ACME}/keys/-")).await;
    assert_eq!(on_record, [("secret.tested".to_owned(), json!({"provider": "anthropic", "test_result": "VALID"}))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_secrets_are_warned_about() {
    let fleet = Fleet::start().await.unwrap();
    let (one, two) = (key("good"), key("good"));
    let is_warned = |key: &ProviderKey| key.warnings.iter().any(|warning| warning.contains("the same secret"));
    let first = fleet.create(ACME, "anthropic", &one).await.unwrap();
    assert!(!is_warned(&first));
    let second = fleet.create(&format!("{ACME}/users/ann"), "anthropic", &one).await.unwrap();
    assert!(is_warned(&second), "{:?}", second.warnings);
    assert!(!is_warned(&fleet.create("workspaces/other", "anthropic", &one).await.unwrap()), "another tenant's");
    let mut validate = slugged(ACME, "anthropic", "x", &one);
    validate.validate_only = true;
    assert!(is_warned(&fleet.store(validate).await.unwrap()));

    let warned = async |name: &str, secret: &str| {
        let replaced = replace(&fleet, skipping(name, secret)).await.unwrap();
        is_warned(&replaced)
    };
    assert!(warned(&first.name, &one).await, "the second still has it");
    assert!(!warned(&second.name, &two).await);
    assert!(!warned(&second.name, &two).await, "its own secret again");
    assert!(!warned(&first.name, &one).await);
    assert!(warned(&first.name, &two).await);
    fleet.revoke(&second.name).await.unwrap();
    let before = seq(&fleet).await;
    assert!(!warned(&first.name, &two).await, "revoked keys do not count");
    assert_eq!(seq(&fleet).await, before + 1);
}

fn text(request: &ReplaceProviderKeySecretRequest) -> String {
    match request.secret.as_ref().unwrap().kind.as_ref().unwrap() {
        secret::Kind::ApiKey(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// The field that a refusal names.
fn field(status: &tonic::Status) -> String {
    use tonic_types::StatusExt;
    status.get_details_bad_request().unwrap().field_violations.remove(0).field
}
