//! What the live test shows decides what is stored.

use claviger_proto::keyvault_v1::key_test::Result as Tested;
use claviger_proto::keyvault_v1::{GetWorkspaceRequest, Verification};
use claviger_tests::fleet::create_request;
use claviger_tests::provider::requests_with;
use claviger_tests::{Fleet, key, key_for, reason};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{test_result, with_base_url};

/// Nothing listens here.
const DEAD_END: &str = "http://127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_its_provider_knows_is_stored() {
    let fleet = Fleet::start().await.unwrap();
    for (kind, result) in [("good", Tested::Valid), ("narrow", Tested::Restricted), ("limited", Tested::RateLimited)] {
        let stored = fleet.create("workspaces/acme", "anthropic", &key(kind)).await.unwrap();
        assert_eq!(test_result(&stored), result, "{kind}");
    }
    assert_eq!(fleet.keys("workspaces/acme", false).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_its_provider_rejects_is_refused_in_our_own_words() {
    let fleet = Fleet::start().await.unwrap();
    for (provider, secret, message) in [
        ("anthropic", key("bad"), "Invalid Anthropic key: Anthropic does not accept it"),
        ("openai", key_for("sk-proj-", "bad"), "Invalid OpenAI key: OpenAI does not know it"),
    ] {
        for verification in [Verification::Require, Verification::IfPossible] {
            let mut request = create_request("workspaces/acme", provider, &secret);
            request.verification = verification.into();
            let refused = fleet.store(request).await.unwrap_err();
            assert_eq!(reason(&refused), "INVALID_PROVIDER_KEY");
            assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message));
            assert_silent(&refused, &secret);
            assert_silent(&refused, "authentication_error"); // the provider's body
        }
    }
    assert_nothing_stored(&fleet, "workspaces/acme").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_wrong_form_is_refused_before_anyone_is_asked() {
    let fleet = Fleet::start().await.unwrap();
    for secret in ["sk-ant-short".to_owned(), key_for("sk-ant-admin01-", "good"), key_for("gsk_", "good")] {
        let refused = fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap_err();
        assert_eq!(reason(&refused), "MALFORMED_PROVIDER_KEY");
        assert_silent(&refused, &secret);
        assert!(requests_with(&fleet.provider, &secret).await.is_empty());
    }
    assert_nothing_stored(&fleet, "workspaces/acme").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_proof_the_request_decides() {
    let fleet = Fleet::start().await.unwrap();
    for (name, request) in [
        ("unreachable", with_base_url("workspaces/acme", "azure", &key_for("", "good"), DEAD_END)),
        ("failing", create_request("workspaces/acme", "anthropic", &key("broken"))),
        // a limit that unknown keys run into as well
        ("limited", create_request("workspaces/acme", "mistral", &key_for("", "limited"))),
    ] {
        let refused = fleet.store(request.clone()).await.unwrap_err();
        assert_eq!(reason(&refused), "VERIFICATION_UNAVAILABLE", "{name}");
        assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some(), "{name}");
        assert_nothing_stored(&fleet, "workspaces/acme").await;

        for (verification, result) in
            [(Verification::IfPossible, Tested::Inconclusive), (Verification::Skip, Tested::Skipped)]
        {
            let mut request = request.clone();
            request.verification = verification.into();
            let stored = fleet.store(request).await.unwrap();
            assert_eq!(test_result(&stored), result, "{name}");
            fleet.revoke(&stored.name).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validating_stores_nothing() {
    let fleet = Fleet::start().await.unwrap();
    let mut request = create_request("workspaces/acme", "anthropic", &key("good"));
    request.validate_only = true;
    let shown = fleet.store(request).await.unwrap();
    assert_eq!((shown.name.as_str(), shown.uid.as_str(), shown.consistency_token.as_str()), ("", "", ""));
    assert_eq!((shown.key_slug.as_str(), test_result(&shown)), ("anthropic", Tested::Valid));
    assert_nothing_stored(&fleet, "workspaces/acme").await;
    let get = GetWorkspaceRequest { name: "workspaces/acme".into() };
    let missing = fleet.workspaces().get_workspace(get).await.unwrap_err();
    assert_eq!(reason(&missing), "WORKSPACE_NOT_FOUND");

    let mut request = create_request("workspaces/acme", "anthropic", &key("bad"));
    request.validate_only = true;
    assert_eq!(reason(&fleet.store(request).await.unwrap_err()), "INVALID_PROVIDER_KEY");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_without_a_test_endpoint_says_so() {
    let fleet = Fleet::start().await.unwrap();
    for (provider, prefix) in [("luma", "luma-"), ("cartesia", "sk_car_")] {
        let stored = fleet.create("workspaces/acme", provider, &key_for(prefix, "good")).await.unwrap();
        let test = stored.last_test.unwrap();
        assert_eq!(test.result(), Tested::Skipped);
        assert!(test.detail.starts_with("not tested: "), "{}", test.detail);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("redirect");
    let refused = fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap_err();
    assert_eq!(reason(&refused), "VERIFICATION_UNAVAILABLE");
    let paths: Vec<_> =
        fleet.provider.received_requests().await.unwrap().iter().map(|r| r.url.path().to_owned()).collect();
    assert_eq!(paths, ["/anthropic/v1/models"]);
}

async fn assert_nothing_stored(fleet: &Fleet, parent: &str) {
    assert_eq!(fleet.keys(parent, false).await.unwrap(), []);
}

/// Neither the message nor the details of an error hold a text.
fn assert_silent(status: &Status, text: &str) {
    let details = String::from_utf8_lossy(status.details());
    assert!(!status.message().contains(text) && !details.contains(text), "{status:?}");
}
