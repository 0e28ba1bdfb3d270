//! The order in which an owner's keys are tried.

use claviger_proto::keyvault_v1::reorder_provider_keys_request::Group;
use claviger_proto::keyvault_v1::{ProviderKey, ReorderProviderKeysRequest, ReorderProviderKeysResponse};
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::resolve_request;
use claviger_tests::{Fleet, key, key_for, reason};
use serde_json::json;
use tonic::Status;

use super::{ACME, events, lasting, seq, shown, slugged, tamper, update};

pub(super) fn reorder_request(group: Group, names: &[&str]) -> ReorderProviderKeysRequest {
    ReorderProviderKeysRequest {
        parent: ACME.into(),
        group: Some(group),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

async fn reorder(fleet: &Fleet, group: Group, names: &[&str]) -> Result<ReorderProviderKeysResponse, Status> {
    Ok(fleet.key_vault().reorder_provider_keys(reorder_request(group, names)).await?.into_inner())
}

fn claude() -> Group {
    Group::Provider("claude".into()) // an alias
}

fn llm() -> Group {
    Group::Category("llm".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_tried_in_the_order_that_was_set() {
    let fleet = Fleet::start().await.unwrap();
    let (a_secret, o_secret) = (key("good"), key_for("sk-proj-", "good"));
    let a = fleet.store(slugged(ACME, "anthropic", "a", &a_secret)).await.unwrap();
    let b = fleet.store(slugged(ACME, "anthropic", "b", &key("good"))).await.unwrap();
    let c = fleet.store(slugged(ACME, "anthropic", "c", &key("good"))).await.unwrap();
    let o = fleet.store(slugged(ACME, "openai", "o", &o_secret)).await.unwrap();
    let voice = fleet.store(slugged(ACME, "elevenlabs", "v", &key_for("sk_", "good"))).await.unwrap();
    let personal = fleet.create(&format!("{ACME}/users/ann"), "anthropic", &key("good")).await.unwrap();

    let ordered = reorder(&fleet, claude(), &[&c.name, &a.name, &b.name]).await.unwrap();
    let order =
        |keys: &[ProviderKey]| keys.iter().map(|key| (key.key_slug.clone(), key.rotation_priority)).collect::<Vec<_>>();
    let expected = [("c".to_owned(), 0), ("a".to_owned(), 1), ("b".to_owned(), 2)];
    assert_eq!(order(&ordered.provider_keys), expected);
    for key in ordered.provider_keys {
        assert_eq!(key.consistency_token, ordered.consistency_token);
        assert_eq!(shown(&fleet, &key.name).await, lasting(key));
    }
    assert_eq!(events(&fleet, &c.name).await.len(), 1, "its priority is what it was");
    let told = json!({"key_slug": "b", "fields": "rotation_priority", "state": "ACTIVE", "rotation_priority": "2"});
    assert_eq!(events(&fleet, &b.name).await[1], ("key.updated".to_owned(), told));

    reorder(&fleet, llm(), &[&o.name, &a.name, &b.name, &c.name]).await.unwrap();
    let ask = ResolveKeyRequest {
        category: "llm".into(),
        consistency_token: ordered.consistency_token,
        ..resolve_request(ACME)
    };
    assert_eq!(fleet.resolve(ask).await.unwrap().credential.unwrap().secret, o_secret);
    for other in [&voice, &personal] {
        assert_eq!(shown(&fleet, &other.name).await, lasting(other.clone()), "of another group");
    }
    let before = seq(&fleet).await;
    reorder(&fleet, llm(), &[&o.name, &a.name, &b.name, &c.name]).await.unwrap();
    assert_eq!(seq(&fleet).await, before, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_exactly_the_group_changes_nothing() {
    let fleet = Fleet::start().await.unwrap();
    let mut keys = Vec::new();
    for slug in ["a", "b", "off", "gone"] {
        keys.push(fleet.store(slugged(ACME, "anthropic", slug, &key("good"))).await.unwrap());
    }
    let [a, b, off, gone] = [0, 1, 2, 3].map(|n| keys[n].name.as_str());
    update(&fleet, ProviderKey { name: off.into(), disabled: true, ..Default::default() }, &["disabled"])
        .await
        .unwrap();
    fleet.revoke(gone).await.unwrap();
    let openai = fleet.create(ACME, "openai", &key_for("sk-proj-", "good")).await.unwrap().name;
    let other = fleet.create("workspaces/other", "anthropic", &key("good")).await.unwrap().name;
    let unknown = format!("{ACME}/keys/{}", uuid::Uuid::now_v7());

    let before = seq(&fleet).await;
    let cases: [(&str, Group, &[&str]); 13] = [
        ("ETAG_MISMATCH", claude(), &[b]),
        ("ETAG_MISMATCH", claude(), &[b, a, off]),
        ("ETAG_MISMATCH", claude(), &[b, a, gone]),
        ("ETAG_MISMATCH", claude(), &[b, a, &openai]),
        ("ETAG_MISMATCH", claude(), &[b, a, &unknown]),
        ("ETAG_MISMATCH", llm(), &[b, a]),
        ("ETAG_MISMATCH", Group::Category("video".into()), &[b, a]),
        ("INVALID_FIELD", claude(), &[]),
        ("INVALID_FIELD", claude(), &[b, a, a]),
        ("INVALID_FIELD", claude(), &[b, &other]),
        ("INVALID_FIELD", claude(), &[b, "a"]),
        ("INVALID_FIELD", Group::Provider("nobody".into()), &[b, a]),
        ("INVALID_FIELD", Group::Category("poetry".into()), &[b, a]),
    ];
    for (expected, group, names) in cases {
        let refused = reorder(&fleet, group.clone(), names).await.unwrap_err();
        assert_eq!(reason(&refused), expected, "{group:?} {names:?}: {refused:?}");
    }
    assert_eq!(seq(&fleet).await, before);

    // the first is written before the second is found to be altered, were they not looked at first
    tamper(&fleet, &keys[0]).await;
    assert_eq!(reason(&reorder(&fleet, claude(), &[b, a]).await.unwrap_err()), "KEY_ALTERED");
    assert_eq!(seq(&fleet).await, before);
    fleet.revoke(a).await.unwrap();
    reorder(&fleet, claude(), &[b]).await.unwrap();
}
