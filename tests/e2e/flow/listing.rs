//! What is shown of keys: never the secret.

use claviger_proto::keyvault_v1::provider_key::State;
use claviger_proto::keyvault_v1::{GetProviderKeyRequest, ListProviderKeysRequest};
use claviger_tests::fleet::create_request;
use claviger_tests::{Fleet, key, key_for, reason};

use super::edit;

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_shown_masked_everywhere() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    let created = fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap();
    let get = GetProviderKeyRequest { name: created.name.clone() };
    let got = fleet.key_vault().get_provider_key(get).await.unwrap().into_inner();
    let listed = fleet.keys("workspaces/acme", false).await.unwrap().remove(0);
    let tested = fleet.test(&created.name).await.unwrap();
    let revoked = fleet.revoke(&created.name).await.unwrap().provider_key.unwrap();
    for shown in [created, got, listed, tested, revoked] {
        assert_eq!(shown.masked_secret, "sk-ant-a***");
        assert_eq!(shown.last_four, secret[secret.len() - 4..]);
        let all = format!("{shown:?}");
        assert!(all.contains("sk-ant-a***") && !all.contains(&secret[8..secret.len() - 4]), "{all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_secret_is_masked_altogether() {
    let fleet = Fleet::start().await.unwrap();
    let mut request = create_request("workspaces/acme", "custom", "0123456789abcde");
    edit(&mut request).base_url = format!("{}/v1", fleet.provider.uri());
    let stored = fleet.store(request).await.unwrap();
    assert_eq!((stored.masked_secret.as_str(), stored.last_four.as_str()), ("***", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_comes_in_pages_by_priority_and_age() {
    let fleet = Fleet::start().await.unwrap();
    for (slug, priority) in [("late", 5), ("first", 0), ("second", 0)] {
        let mut request = create_request("workspaces/acme", "anthropic", &key("good"));
        edit(&mut request).key_slug = slug.into();
        edit(&mut request).rotation_priority = priority;
        fleet.store(request).await.unwrap();
    }
    let mut list = ListProviderKeysRequest { parent: "workspaces/acme".into(), page_size: 1, ..Default::default() };
    let mut slugs = Vec::new();
    let mut first_token = String::new();
    loop {
        let page = fleet.key_vault().list_provider_keys(list.clone()).await.unwrap().into_inner();
        assert_eq!(page.provider_keys.len(), 1);
        slugs.push(page.provider_keys[0].key_slug.clone());
        if page.next_page_token.is_empty() {
            break;
        }
        list.page_token = page.next_page_token;
        if first_token.is_empty() {
            first_token = list.page_token.clone();
        }
    }
    assert_eq!(slugs, ["first", "second", "late"]);

    for (parent, show_revoked) in [("workspaces/other", false), ("workspaces/acme", true)] {
        let list = ListProviderKeysRequest {
            parent: parent.into(),
            show_revoked,
            page_token: first_token.clone(),
            ..Default::default()
        };
        let refused = fleet.key_vault().list_provider_keys(list).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_keys_are_listed_where_they_are_asked_for() {
    let fleet = Fleet::start().await.unwrap();
    let gone = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    fleet.create("workspaces/acme", "openai", &key_for("sk-proj-", "good")).await.unwrap();
    fleet.revoke(&gone.name).await.unwrap();
    let providers = |keys: Vec<claviger_proto::keyvault_v1::ProviderKey>| {
        keys.into_iter().map(|key| (key.provider.clone(), key.state())).collect::<Vec<_>>()
    };
    let active = ("openai".to_owned(), State::Active);
    assert_eq!(providers(fleet.keys("workspaces/acme", false).await.unwrap()), std::slice::from_ref(&active));
    let all = providers(fleet.keys("workspaces/acme", true).await.unwrap());
    assert_eq!(all, [("anthropic".to_owned(), State::Revoked), active]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_is_made_from_the_provider_and_free_again_after_the_revoke() {
    let fleet = Fleet::start().await.unwrap();
    let first = fleet.create("workspaces/acme", "claude", &key("good")).await.unwrap();
    let second = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    assert_eq!((first.key_slug.as_str(), second.key_slug.as_str()), ("anthropic", "anthropic-2"));

    let mut wanted = create_request("workspaces/acme", "anthropic", &key("good"));
    edit(&mut wanted).key_slug = "anthropic".into();
    assert_eq!(reason(&fleet.store(wanted.clone()).await.unwrap_err()), "KEY_SLUG_TAKEN");
    fleet.revoke(&first.name).await.unwrap();
    assert_eq!(fleet.store(wanted).await.unwrap().key_slug, "anthropic");
}
