//! Callers who change the same keys at once.

use std::collections::BTreeMap;
use std::future::Future;

use claviger_proto::keyvault_v1::provider_key::State;
use claviger_proto::keyvault_v1::reorder_provider_keys_request::Group;
use claviger_proto::keyvault_v1::{ProviderKey, TestProviderKeyRequest, Verification};
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::resolve_request;
use claviger_tests::provider::requests_with;
use claviger_tests::{Fleet, key, reason};
use tokio::task::JoinSet;
use tonic::{Response, Status};

use super::order::reorder_request;
use super::{ACME, events, replace_request, shown, slugged, tamper, update_request};

const RACERS: usize = 12;

/// Runs calls at once; those that won and the reasons of those that lost.
async fn race<T, C>(calls: impl IntoIterator<Item = C>) -> (Vec<T>, Vec<String>)
where
    T: Send + 'static,
    C: Future<Output = Result<Response<T>, Status>> + Send + 'static,
{
    let racing: JoinSet<_> = calls.into_iter().collect();
    let (mut won, mut lost) = (Vec::new(), Vec::new());
    for result in racing.join_all().await {
        match result {
            Ok(answer) => won.push(answer.into_inner()),
            Err(status) => lost.push(reason(&status)),
        }
    }
    (won, lost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_updates_with_one_etag_exactly_one_wins() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(ACME, "anthropic", &key("good")).await.unwrap();
    let calls = (0..RACERS).map(|n| {
        let change = ProviderKey { label: format!("racer {n}"), ..stored.clone() };
        let (mut vault, request) = (fleet.key_vault(), update_request(change, &["label"]));
        async move { vault.update_provider_key(request).await }
    });
    let (won, lost) = race(calls).await;
    assert_eq!((won.len(), lost), (1, vec!["ETAG_MISMATCH".to_owned(); RACERS - 1]));
    assert_eq!(shown(&fleet, &stored.name).await.label, won[0].label);
    assert_eq!(events(&fleet, &stored.name).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_replaces_at_once_the_acknowledged_one_stays() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.store(slugged(ACME, "anthropic", "main", &key("good"))).await.unwrap();
    let secrets: Vec<_> = (0..RACERS).map(|_| key("good")).collect();
    let calls = secrets.iter().map(|secret| {
        let (mut vault, mut request) = (fleet.key_vault(), replace_request(&stored.name, secret));
        request.set_verification(Verification::Require); // the slow step lets them overtake each other
        async move { vault.replace_provider_key_secret(request).await }
    });
    let (won, lost) = race(calls).await;
    assert_eq!(won.len() + lost.len(), RACERS);
    assert!(!won.is_empty() && lost.iter().all(|reason| reason == "ETAG_MISMATCH"), "{lost:?}");
    let mut versions: Vec<_> = won.iter().map(|key| key.secret_version).collect();
    versions.sort_unstable();
    assert_eq!(versions, Vec::from_iter(2..2 + i32::try_from(won.len()).unwrap()), "each took the place of one");
    let last = won.iter().max_by_key(|key| key.secret_version).unwrap();
    let pin = ResolveKeyRequest { key_slug: "main".into(), ..resolve_request(ACME) };
    let secret = fleet.resolve(pin).await.unwrap().credential.unwrap().secret;
    assert!(secrets.contains(&secret) && secret.ends_with(&last.last_four), "the last acknowledged one");
    // what was tested in vain is on record
    assert_eq!(events(&fleet, &format!("{ACME}/keys/-")).await.len(), lost.len());
}

/// The provider takes its time over one; meanwhile another is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replace_that_was_overtaken_takes_nothing_back() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.store(slugged(ACME, "anthropic", "main", &key("good"))).await.unwrap();
    let (slow, fast) = (key("pause"), key("good"));
    let (mut vault, request) = (fleet.key_vault(), replace_request(&stored.name, &slow));
    let overtaken = tokio::spawn(async move { vault.replace_provider_key_secret(request).await });
    while requests_with(&fleet.provider, &slow).await.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    super::replace(&fleet, replace_request(&stored.name, &fast)).await.unwrap();
    assert_eq!(reason(&overtaken.await.unwrap().unwrap_err()), "ETAG_MISMATCH");
    let pin = ResolveKeyRequest { key_slug: "main".into(), ..resolve_request(ACME) };
    assert_eq!(fleet.resolve(pin).await.unwrap().credential.unwrap().secret, fast);
}

/// The provider takes its time; meanwhile the keys are revoked and written to.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_test_brings_back_neither_a_revoked_key_nor_an_altered_one() {
    let fleet = Fleet::start().await.unwrap();
    let mut testing = Vec::new();
    for slug in ["revoked", "altered"] {
        let secret = key("pause");
        let mut create = slugged(ACME, "anthropic", slug, &secret);
        create.set_verification(Verification::Skip);
        let stored = fleet.store(create).await.unwrap();
        let (mut vault, name) = (fleet.key_vault(), stored.name.clone());
        let request = TestProviderKeyRequest { name, ..Default::default() };
        let test = tokio::spawn(async move { vault.test_provider_key(request).await });
        while requests_with(&fleet.provider, &secret).await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        testing.push((stored, test));
    }
    let [(revoked, one), (altered, other)] = <[_; 2]>::try_from(testing).unwrap();
    fleet.revoke(&revoked.name).await.unwrap();
    tamper(&fleet, &altered).await;
    assert_eq!(reason(&one.await.unwrap().unwrap_err()), "KEY_REVOKED");
    assert_eq!(reason(&other.await.unwrap().unwrap_err()), "KEY_ALTERED");
    assert_eq!(shown(&fleet, &revoked.name).await.state(), State::Revoked);
    assert!(shown(&fleet, &altered.name).await.altered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_order_is_of_all_keys_that_there_are() {
    let fleet = Fleet::start().await.unwrap();
    let mut names = Vec::new();
    for slug in ["a", "b", "c"] {
        names.push(fleet.store(slugged(ACME, "anthropic", slug, &key("good"))).await.unwrap().name);
    }
    let [a, b, c] = [0, 1, 2].map(|n| names[n].as_str());
    let orders = [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]];
    let calls = orders.map(|order| {
        let (mut vault, request) = (fleet.key_vault(), reorder_request(Group::Provider("anthropic".into()), &order));
        async move { vault.reorder_provider_keys(request).await }
    });
    let mut create = slugged(ACME, "anthropic", "new", &key("good"));
    create.set_verification(Verification::Skip);
    create.provider_key.as_mut().unwrap().rotation_priority = 9;
    let mut vault = fleet.key_vault();
    let creating = tokio::spawn(async move { vault.create_provider_key(create).await.map(Response::into_inner) });
    let (won, lost) = race(calls).await;
    let new = creating.await.unwrap().unwrap();

    assert!(lost.iter().all(|reason| reason == "ETAG_MISMATCH"), "{lost:?}");
    let token = |token: &str| u64::from_str_radix(token.rsplit_once('.').unwrap().1, 16).unwrap();
    for answer in &won {
        assert!(token(&answer.consistency_token) < token(&new.consistency_token), "an order of all but the new key");
    }
    let priorities: BTreeMap<_, _> =
        fleet.keys(ACME, false).await.unwrap().into_iter().map(|key| (key.name, key.rotation_priority)).collect();
    assert_eq!(priorities[&new.name], 9);
    let order: Vec<_> = [a, b, c].map(|name| priorities[name]).into();
    let last = won.iter().max_by_key(|answer| token(&answer.consistency_token));
    match last {
        Some(last) => {
            let expected = last.provider_keys.iter().map(|key| (key.name.clone(), key.rotation_priority));
            assert!(expected.into_iter().all(|(name, priority)| priorities[&name] == priority), "{order:?} {last:?}");
        }
        None => assert_eq!(order, [0, 0, 0]),
    }
}
