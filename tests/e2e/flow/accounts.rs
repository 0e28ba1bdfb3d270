//! Service accounts: the vault exchanges them for access tokens, and callers get these alone.

use std::time::SystemTime;

use claviger_proto::keyvault_v1::key_test::Result as Tested;
use claviger_proto::keyvault_v1::{AuthType, CreateProviderKeyRequest, Verification, secret};
use claviger_proto::routing_v1::{Resolution, ResolveKeyRequest};
use claviger_tests::fleet::resolve_request;
use claviger_tests::provider::{exchanges, refuse_accounts};
use claviger_tests::{Fleet, key, reason};

use super::{service_account, signing_account, test_result, with_secret};

const PRIVATE_KEY_ID: &str = "0123456789abcdef0123456789abcdef01234567";

fn account(file: String) -> CreateProviderKeyRequest {
    with_secret("workspaces/acme", "vertex", secret::Kind::ServiceAccountJson(file))
}

fn pin(slug: &str) -> ResolveKeyRequest {
    ResolveKeyRequest { key_slug: slug.to_owned(), ..resolve_request("workspaces/acme") }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_get_a_short_lived_token_and_never_the_private_key() {
    let fleet = Fleet::start().await.unwrap();
    let (file, private_key) = signing_account(PRIVATE_KEY_ID);
    let stored = fleet.store(account(file)).await.unwrap();
    assert_eq!((stored.auth_type(), test_result(&stored)), (AuthType::ServiceAccountJson, Tested::Valid));
    assert_eq!((stored.masked_secret.as_str(), stored.last_four.as_str()), ("01234567***", "4567"));

    let resolution = fleet.resolve(pin(&stored.key_slug)).await.unwrap();
    let credential = resolution.credential.clone().unwrap();
    assert!(credential.secret.starts_with("ya29."), "{}", credential.secret);
    let header = credential.headers.iter().find(|header| header.name.eq_ignore_ascii_case("authorization")).unwrap();
    assert_eq!(header.value, format!("Bearer {}", credential.secret));
    let body = private_key.lines().nth(1).unwrap();
    assert!(!format!("{stored:?}{resolution:?}{}{}", credential.secret, header.value).contains(body));

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let left = u64::try_from(credential.expire_time.unwrap().seconds).unwrap() - now;
    assert!((3_000..=3_600).contains(&left), "{left} s");
    assert!(resolution.expire_time.unwrap().seconds <= credential.expire_time.unwrap().seconds);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_kept_while_it_lives() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.store(account(signing_account(PRIVATE_KEY_ID).0)).await.unwrap();
    let tested = exchanges(&fleet.provider).await;
    let ask = || fleet.resolve(pin(&stored.key_slug));
    let (first, second, third) = tokio::join!(ask(), ask(), ask());
    let tokens = [first, second, third].map(|resolved| secret_of(&resolved.unwrap()));
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    assert_eq!(exchanges(&fleet.provider).await, tested + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_a_token_is_struck_out_and_holds_up_no_other_key() {
    let fleet = Fleet::start().await.unwrap();
    let mut request = account(service_account(PRIVATE_KEY_ID).0);
    request.verification = Verification::Skip.into();
    let mute = fleet.store(request).await.unwrap();
    let secret = key("good");
    fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap();
    assert_eq!(reason(&fleet.resolve(pin(&mute.key_slug)).await.unwrap_err()), "CREDENTIAL_UNAVAILABLE");
    let ask = ResolveKeyRequest { category: "llm".into(), ..resolve_request("workspaces/acme") };
    assert_eq!(secret_of(&fleet.resolve(ask).await.unwrap()), secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_google_refuses_is_not_stored_and_a_foreign_token_uri_is_never_asked() {
    let fleet = Fleet::start().await.unwrap();
    let elsewhere = format!("{}/evil", fleet.provider.uri());
    let file = signing_account(PRIVATE_KEY_ID).0.replace("https://oauth2.googleapis.com/token", &elsewhere);
    assert_eq!(reason(&fleet.store(account(file)).await.unwrap_err()), "MALFORMED_PROVIDER_KEY");
    assert_eq!(fleet.provider.received_requests().await.unwrap().len(), 0);

    refuse_accounts(&fleet.provider).await;
    let refused = fleet.store(account(signing_account(PRIVATE_KEY_ID).0)).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_PROVIDER_KEY");
    assert!(fleet.keys("workspaces/acme", true).await.unwrap().is_empty());
}

fn secret_of(resolution: &Resolution) -> String {
    resolution.credential.as_ref().unwrap().secret.clone()
}
