//! Which keys a listing shows, and page by page.

use claviger_proto::keyvault_v1::{ListProviderKeysRequest, ListProviderKeysResponse, ProviderKey, secret};
use claviger_tests::{Fleet, key, key_for, reason, refuse};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::Status;

use super::{ACME, slugged, update};
use crate::flow::with_secret;

fn list_request(filter: &str) -> ListProviderKeysRequest {
    ListProviderKeysRequest { parent: ACME.into(), filter: filter.to_owned(), show_revoked: true, ..Default::default() }
}

async fn list(fleet: &Fleet, request: ListProviderKeysRequest) -> Result<ListProviderKeysResponse, Status> {
    Ok(fleet.key_vault().list_provider_keys(request).await?.into_inner())
}

/// The slugs that a filter lets through, in their order.
async fn slugs(fleet: &Fleet, filter: &str) -> String {
    let keys = list(fleet, list_request(filter)).await.unwrap().provider_keys;
    keys.iter().map(|key| key.key_slug.as_str()).collect::<Vec<_>>().join(" ")
}

/// `a`: Anthropic, active. `b`: OpenAI, disabled, expires in an hour. `c`: rejected. `d`: revoked. `e`: without a secret, in two hours.
async fn five_keys(fleet: &Fleet) -> Vec<ProviderKey> {
    let dropped = key("good");
    let a = fleet.store(slugged(ACME, "anthropic", "a", &key("good"))).await.unwrap();
    let b = fleet.store(slugged(ACME, "openai", "b", &key_for("sk-proj-", "good"))).await.unwrap();
    let c = fleet.store(slugged(ACME, "anthropic", "c", &dropped)).await.unwrap();
    let d = fleet.store(slugged(ACME, "anthropic", "d", &key("good"))).await.unwrap();
    let mut bare = with_secret(ACME, "ollama", secret::Kind::UrlOnly(true));
    let bare_key = bare.provider_key.as_mut().unwrap();
    (bare_key.key_slug, bare_key.base_url) = ("e".into(), fleet.provider.uri());
    let e = fleet.store(bare).await.unwrap();
    for (key, hours, disabled) in [(&b, 1, true), (&e, 2, false)] {
        let mut at = a.create_time.unwrap();
        at.seconds += hours * 3_600;
        let change = ProviderKey { name: key.name.clone(), expire_time: Some(at), disabled, ..Default::default() };
        update(fleet, change, &["expire_time", "disabled"]).await.unwrap();
    }
    let refusing = refuse(&fleet.provider, &dropped).await;
    fleet.test(&c.name).await.unwrap();
    drop(refusing);
    fleet.revoke(&d.name).await.unwrap();
    vec![a, b, c, d, e]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_and_operator_narrows_a_listing() {
    let fleet = Fleet::start().await.unwrap();
    let keys = five_keys(&fleet).await;
    let made = |n: usize| {
        let at = keys[n].create_time.unwrap();
        let nanos = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap().format(&Rfc3339).unwrap()
    };
    let expires = |hours: i64| {
        let seconds = keys[0].create_time.unwrap().seconds + hours * 3_600;
        // `a`'s fraction of a second is theirs too
        let nanos = i64::from(keys[0].create_time.unwrap().nanos);
        let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap() + time::Duration::nanoseconds(nanos);
        at.format(&Rfc3339).unwrap()
    };
    for (filter, expected) in [
        (String::new(), "a b c d e"),
        ("provider = \"anthropic\"".into(), "a c d"),
        ("provider != anthropic".into(), "b e"),
        ("provider = \"claude\"".into(), ""),
        ("state = \"ACTIVE\"".into(), "a e"),
        ("state = \"INVALID\"".into(), "c"),
        ("state = \"DISABLED\"".into(), "b"),
        ("state = \"REVOKED\"".into(), "d"),
        ("state != \"ACTIVE\"".into(), "b c d"),
        ("auth_type = \"none\"".into(), "e"),
        ("auth_type != \"api_key\"".into(), "e"),
        ("auth_type = \"api_key\"".into(), "a b c d"),
        ("key_slug = \"c\"".into(), "c"),
        ("key_slug != \"c\"".into(), "a b d e"),
        (format!("create_time < \"{}\"", made(2)), "a b"),
        (format!("create_time <= \"{}\"", made(2)), "a b c"),
        (format!("create_time > \"{}\"", made(2)), "d e"),
        (format!("create_time >= \"{}\"", made(2)), "c d e"),
        (format!("expire_time < \"{}\"", expires(2)), "b"),
        (format!("expire_time <= \"{}\"", expires(2)), "b e"),
        (format!("expire_time > \"{}\"", expires(1)), "e"),
        (format!("expire_time >= \"{}\"", expires(1)), "b e"),
        (format!("provider = \"anthropic\" AND state != \"INVALID\" AND create_time > \"{}\"", made(0)), "d"),
    ] {
        assert_eq!(slugs(&fleet, &filter).await, expected, "{filter}");
    }
    let unrevoked = ListProviderKeysRequest { show_revoked: false, ..list_request("state = \"REVOKED\"") };
    assert!(list(&fleet, unrevoked).await.unwrap().provider_keys.is_empty());
    for bad in [
        "label = \"x\"",
        "provider",
        "provider < \"a\"",
        "create_time = \"2026-01-01T00:00:00Z\"",
        "tenant = x",
        "a OR b",
    ] {
        assert_eq!(reason(&list(&fleet, list_request(bad)).await.unwrap_err()), "INVALID_FIELD", "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_for_its_own_listing() {
    let fleet = Fleet::start().await.unwrap();
    five_keys(&fleet).await;
    fleet.create("workspaces/other", "anthropic", &key("good")).await.unwrap();
    let first = ListProviderKeysRequest { page_size: 1, ..list_request("provider = \"anthropic\"") };
    let page = list(&fleet, first.clone()).await.unwrap();
    assert_eq!(page.provider_keys[0].key_slug, "a");
    let next = ListProviderKeysRequest { page_token: page.next_page_token.clone(), ..first };
    // the size of a page may change from page to page
    let rest = list(&fleet, ListProviderKeysRequest { page_size: 9, ..next.clone() }).await.unwrap();
    assert_eq!(rest.provider_keys.iter().map(|key| key.key_slug.as_str()).collect::<String>(), "cd");
    assert!(rest.next_page_token.is_empty());

    let mut flipped = next.page_token.clone().into_bytes();
    flipped[0] = if flipped[0] == b'A' { b'B' } else { b'A' };
    for other in [
        ListProviderKeysRequest { parent: "workspaces/other".into(), ..next.clone() },
        ListProviderKeysRequest { parent: "workspaces/acme/users/ann".into(), ..next.clone() },
        ListProviderKeysRequest { show_revoked: false, ..next.clone() },
        ListProviderKeysRequest { filter: String::new(), ..next.clone() },
        ListProviderKeysRequest { filter: "provider = \"openai\"".into(), ..next.clone() },
        ListProviderKeysRequest { filter: "provider != \"anthropic\"".into(), ..next.clone() },
        ListProviderKeysRequest { page_token: String::from_utf8(flipped).unwrap(), ..next.clone() },
        ListProviderKeysRequest { page_size: -1, ..next },
    ] {
        assert_eq!(reason(&list(&fleet, other.clone()).await.unwrap_err()), "INVALID_FIELD", "{other:?}");
    }
}
