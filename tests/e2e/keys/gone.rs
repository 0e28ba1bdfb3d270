//! A live test goes on record whatever becomes of the key, or of who asked for it.

use std::time::{Duration, Instant};

use claviger_proto::keyvault_v1 as kv;
use claviger_tests::provider::requests_with;
use claviger_tests::{Fleet, Signal, audit, key, reason};
use serde_json::json;
use tonic::Request;

use super::{ACME, create_request, events, replace_request, slugged, tamper};

/// Calls with less time than the provider takes. Nothing is stored, and each is on record as who asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_on_record_although_the_caller_has_gone() {
    const WHO: [&str; 5] = ["create", "validate", "replace", "test", "workspace"];
    let fleet = Fleet::start().await.unwrap();
    let (stored, slow) = (skipped(&fleet, "one", &key("good")).await, skipped(&fleet, "two", &key("pause")).await);
    let before = fleet.keys(ACME, true).await.unwrap();
    let (mut vault, mut workspaces) = (fleet.key_vault(), fleet.workspaces());
    let first_key = create_request("", "anthropic", &key("pause"));
    let first_key = kv::FirstKey { provider_key: first_key.provider_key, secret: first_key.secret, verification: 0 };
    let other =
        kv::CreateWorkspaceRequest { workspace_id: "other".into(), first_key: Some(first_key), ..Default::default() };
    let validate =
        kv::CreateProviderKeyRequest { validate_only: true, ..slugged(ACME, "anthropic", "", &key("pause")) };
    let (mut second, mut third, mut fourth) = (vault.clone(), vault.clone(), vault.clone());
    let (create, validate, replace, test, workspace) = tokio::join!(
        vault.create_provider_key(hurried(WHO[0], slugged(ACME, "anthropic", "", &key("pause")))),
        second.create_provider_key(hurried(WHO[1], validate)),
        third.replace_provider_key_secret(hurried(WHO[2], replace_request(&stored.name, &key("pause")))),
        fourth.test_provider_key(hurried(WHO[3], kv::TestProviderKeyRequest { name: slow.name, ..Default::default() })),
        workspaces.create_workspace(hurried(WHO[4], other)),
    );
    assert!(create.is_err() && validate.is_err() && replace.is_err() && test.is_err() && workspace.is_err());

    let mut tested = Vec::new();
    let start = Instant::now();
    while tested.len() < WHO.len() && start.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tested = audit::events(&fleet.database()).await.unwrap().split_off(before.len() + 1);
    }
    assert!(
        tested.iter().all(|event| event.action == "secret.tested" && event.details.contains("VALID")),
        "{tested:?}"
    );
    let mut by: Vec<_> = tested.iter().map(|event| (event.request_id.as_str(), event.target.as_str())).collect();
    by.sort_unstable();
    let mut expected = WHO.map(|who| (who, "workspaces/acme/keys/-"));
    expected[4].1 = "workspaces/other/keys/-";
    expected.sort_unstable();
    assert_eq!(by, expected);
    let after = fleet.keys(ACME, true).await.unwrap();
    assert!(before.iter().map(|key| &key.etag).eq(after.iter().map(|key| &key.etag)), "{after:?}");
}

/// The provider takes its time; meanwhile the key is revoked, or its row altered.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_a_key_that_ends_meanwhile_is_on_record() {
    let fleet = Fleet::start().await.unwrap();
    for (slug, refusal) in [("one", "KEY_REVOKED"), ("two", "KEY_ALTERED")] {
        let slow = key("pause");
        let stored = skipped(&fleet, slug, &slow).await;
        let (mut vault, name) = (fleet.key_vault(), stored.name.clone());
        let request = kv::TestProviderKeyRequest { name, ..Default::default() };
        let testing = tokio::spawn(async move { vault.test_provider_key(request).await });
        until_asked(&fleet, &slow).await;
        match slug {
            "one" => drop(fleet.revoke(&stored.name).await.unwrap()),
            _ => tamper(&fleet, &stored).await,
        }
        assert_eq!(reason(&testing.await.unwrap().unwrap_err()), refusal);
    }
    let told = ("secret.tested".to_owned(), json!({"provider": "anthropic", "test_result": "VALID"}));
    assert_eq!(events(&fleet, &format!("{ACME}/keys/-")).await, [told.clone(), told]);
}

/// The caller has gone, the provider does not answer, and the process is to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_on_record_before_the_process_ends() {
    let mut fleet = Fleet::start().await.unwrap();
    let slow = key("slow");
    fleet.key_vault().create_provider_key(hurried("create", slugged(ACME, "anthropic", "", &slow))).await.unwrap_err();
    until_asked(&fleet, &slow).await;
    fleet.vault.signal(Signal::TERM).unwrap();
    let status = fleet.vault.wait(Duration::from_secs(4)).unwrap();
    assert_eq!(status.code(), Some(0), "{}", fleet.vault.log());
    let told = ("secret.tested".to_owned(), json!({"provider": "anthropic", "test_result": "INCONCLUSIVE"}));
    assert_eq!(events(&fleet, &format!("{ACME}/keys/-")).await, [told]);
}

/// A key whose provider was not asked about it.
async fn skipped(fleet: &Fleet, slug: &str, secret: &str) -> kv::ProviderKey {
    let mut request = slugged(ACME, "anthropic", slug, secret);
    request.set_verification(kv::Verification::Skip);
    fleet.store(request).await.unwrap()
}

/// A call that does not wait for the provider.
fn hurried<T>(id: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-request-id", id.parse().unwrap());
    request.set_timeout(Duration::from_millis(1_000));
    request
}

async fn until_asked(fleet: &Fleet, secret: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while requests_with(&fleet.provider, secret).await.is_empty() {
        assert!(Instant::now() < deadline, "the provider is not asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
