//! A request that is sent again.

use claviger_proto::keyvault::encoded;
use claviger_proto::keyvault_v1::reorder_provider_keys_request::Group;
use claviger_proto::keyvault_v1::{
    CreateProviderKeyRequest, ProviderKey, PurgeProviderKeyRequest, ReplaceProviderKeySecretRequest,
    RevokeLeakedSecretRequest, RevokeProviderKeyRequest, RevokeUserKeysRequest, TestProviderKeyRequest,
    UpdateProviderKeyRequest,
};
use claviger_tests::provider::requests_with;
use claviger_tests::{Fleet, Signal, key, reason};
use tonic::{Response, Status};

use super::order::reorder_request;
use super::{ACME, api_key, replace_request, seq, slugged, update_request};

fn create_as(id: &str, slug: &str, secret: &str) -> CreateProviderKeyRequest {
    CreateProviderKeyRequest { request_id: id.to_owned(), ..slugged(ACME, "anthropic", slug, secret) }
}

/// Sends a request twice; the second time it must do nothing and answer with the same bytes.
macro_rules! twice {
    ($fleet:expr, $method:ident, $request:expr) => {{
        let mut request = $request;
        request.request_id = concat!("id-", stringify!($method)).to_owned();
        let first = $fleet.key_vault().$method(request.clone()).await.unwrap().into_inner();
        let (before, asked) = (seq(&$fleet).await, asked(&$fleet).await);
        let again = $fleet.key_vault().$method(request).await.unwrap().into_inner();
        assert_eq!(encoded(&again), encoded(&first), stringify!($method));
        assert_eq!(seq(&$fleet).await, before, stringify!($method));
        assert_eq!(self::asked(&$fleet).await, asked, "the provider is not asked again");
        first
    }};
}

async fn asked(fleet: &Fleet) -> usize {
    fleet.provider.received_requests().await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutation_answers_again_as_the_first_time() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    let created = twice!(fleet, create_provider_key, slugged(ACME, "anthropic", "main", &secret));
    let name = created.name.clone();
    let relabelled = ProviderKey { name: name.clone(), label: "x".into(), ..Default::default() };
    twice!(fleet, update_provider_key, update_request(relabelled, &["label"]));
    twice!(fleet, test_provider_key, TestProviderKeyRequest { name: name.clone(), ..Default::default() });
    let replaced = twice!(fleet, replace_provider_key_secret, replace_request(&name, &secret));
    assert_eq!(replaced.secret_version, 2);
    let other = fleet.store(slugged(ACME, "anthropic", "other", &key("good"))).await.unwrap().name;
    let order = reorder_request(Group::Provider("anthropic".into()), &[&other, &name]);
    twice!(fleet, reorder_provider_keys, order);
    twice!(fleet, revoke_provider_key, RevokeProviderKeyRequest { name: other.clone(), ..Default::default() });
    let leaked = RevokeLeakedSecretRequest { secret: Some(api_key(&secret)), ..Default::default() };
    let leaked = twice!(fleet, revoke_leaked_secret, leaked);
    assert_eq!(leaked.provider_keys.len(), 1, "and again, although this time there was none");
    twice!(fleet, purge_provider_key, PurgeProviderKeyRequest { name: other, ..Default::default() });
    let ann = "workspaces/acme/users/ann";
    fleet.create(ann, "anthropic", &key("good")).await.unwrap();
    let left = RevokeUserKeysRequest { parent: ann.into(), ..Default::default() };
    assert_eq!(twice!(fleet, revoke_user_keys, left).revoked_count, 1);
    assert_eq!(fleet.keys(ACME, true).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_is_for_one_request_and_what_failed_is_not_remembered() {
    let mut fleet = Fleet::start().await.unwrap();
    let (id, secret) = ("retry-0123456789-unmistakable", key("good"));
    let failed = fleet.store(create_as(id, "Not a slug", &secret)).await.unwrap_err();
    assert_eq!(reason(&failed), "INVALID_FIELD");
    let failed = fleet.store(create_as(id, "main", &key("bad"))).await.unwrap_err();
    assert_eq!(reason(&failed), "INVALID_PROVIDER_KEY");
    fleet.store(slugged(ACME, "anthropic", "main", &key("good"))).await.unwrap();
    let failed = fleet.store(create_as(id, "main", &secret)).await.unwrap_err();
    assert_eq!(reason(&failed), "KEY_SLUG_TAKEN");

    let stored = fleet.store(create_as(id, "second", &secret)).await.unwrap();
    let before = seq(&fleet).await;
    for other in [create_as(id, "third", &secret), create_as(id, "second", &key("good"))] {
        assert_eq!(reason(&fleet.store(other).await.unwrap_err()), "REQUEST_ID_REUSED");
    }
    let purge = PurgeProviderKeyRequest { name: stored.name.clone(), request_id: id.into() };
    let test = TestProviderKeyRequest { name: stored.name.clone(), request_id: id.into() };
    assert_eq!(reason(&fleet.key_vault().purge_provider_key(purge).await.unwrap_err()), "REQUEST_ID_REUSED");
    assert_eq!(reason(&fleet.key_vault().test_provider_key(test).await.unwrap_err()), "REQUEST_ID_REUSED");
    let replace =
        ReplaceProviderKeySecretRequest { request_id: id.into(), ..replace_request(&stored.name, &key("good")) };
    assert_eq!(reason(&super::replace(&fleet, replace).await.unwrap_err()), "REQUEST_ID_REUSED");
    assert_eq!(seq(&fleet).await, before);
    for malformed in ["a b", "ü", &"x".repeat(65), "a/b"] {
        let refused = fleet.store(create_as(malformed, "third", &secret)).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD", "{malformed}");
    }

    fleet.restart().await.unwrap();
    assert_eq!(fleet.store(create_as(id, "second", &secret)).await.unwrap(), stored, "also after a crash");
    fleet.vault.signal(Signal::TERM).unwrap();
    fleet.vault.wait(std::time::Duration::from_secs(30)).unwrap();
    let (database, mut log) = (fleet.database(), fleet.database().into_os_string());
    log.push("-wal");
    let bytes = [std::fs::read(database).unwrap(), std::fs::read(log).unwrap_or_default()].concat();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&stored.uid), "the search finds what is there");
    assert!(!holds(id) && !holds(&secret) && !holds(&secret[8..40]));
}

/// With a pause at the provider, so that all of them are under way at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_duplicates_at_once_one_makes_a_key_and_all_answer_with_it() {
    const DUPLICATES: usize = 16;
    let fleet = Fleet::start().await.unwrap();
    let mut racing = tokio::task::JoinSet::new();
    let request =
        CreateProviderKeyRequest { request_id: "once".into(), ..slugged(ACME, "anthropic", "", &key("pause")) };
    for _ in 0..DUPLICATES {
        let (mut vault, request) = (fleet.key_vault(), request.clone());
        racing.spawn(async move { vault.create_provider_key(request).await.map(Response::into_inner) });
    }
    let answers: Result<Vec<ProviderKey>, Status> = racing.join_all().await.into_iter().collect();
    let answers = answers.unwrap();
    assert!(answers.iter().all(|answer| encoded(answer) == encoded(&answers[0])), "{answers:?}");
    assert_eq!(fleet.keys(ACME, true).await.unwrap().len(), 1);
    // those that asked the provider in vain say so
    let tested = super::events(&fleet, &format!("{ACME}/keys/-")).await.len();
    let secret = match request.secret.unwrap().kind.unwrap() {
        claviger_proto::keyvault_v1::secret::Kind::ApiKey(text) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(requests_with(&fleet.provider, &secret).await.len(), tested + 1);
}

/// An update is remembered although it changed nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_change_is_remembered_too() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(ACME, "anthropic", &key("good")).await.unwrap();
    let mut request: UpdateProviderKeyRequest = update_request(stored.clone(), &["label"]);
    request.request_id = "nothing".into();
    let first = fleet.key_vault().update_provider_key(request.clone()).await.unwrap().into_inner();
    super::update(&fleet, ProviderKey { label: "x".into(), ..stored }, &["label"]).await.unwrap();
    let again = fleet.key_vault().update_provider_key(request).await.unwrap().into_inner();
    assert_eq!(encoded(&again), encoded(&first), "although its etag is an old one now");
}
