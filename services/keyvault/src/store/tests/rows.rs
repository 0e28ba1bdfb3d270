//! Reads: whose rows, and in which order.

use super::*;
use crate::store::After;

const OWNERS: [&str; 5] =
    ["workspaces/acme", "workspaces/acme/users/ann", "workspaces/acme/users/bob", "workspaces/other", "platform"];

/// One key for each owner, all of one slug; and each tenant's key.
async fn one_key_each(store: &Store) -> Vec<StoredKey> {
    let mut keys = Vec::new();
    for name in OWNERS {
        let stored = key(name, "main");
        put(store, &stored).await.unwrap();
        keys.push(stored);
    }
    for (tenant, mark) in [(tenant("workspaces/acme"), 4), (tenant("workspaces/other"), 5)] {
        let txn = store.begin().await.unwrap();
        let row = WorkspaceKeyRow { wrapped: vec![mark; 60], ..workspace_key() };
        txn.insert_workspace_key(&tenant, &row, time()).await.unwrap();
        txn.commit(created(&keys[0]), Vec::new()).await.unwrap();
    }
    keys
}

#[tokio::test]
async fn a_key_is_found_under_its_own_owner_alone() {
    let Opened { store, .. } = &Opened::new().await;
    for stored in one_key_each(store).await {
        for other in OWNERS.map(owner) {
            let name = KeyName { owner: other.clone(), id: stored.key.name.id };
            let found = store.key(&name).await.unwrap();
            let expected = (other == stored.key.name.owner).then(|| stored.clone());
            assert_eq!(found, expected, "{name}");
            let txn = store.begin().await.unwrap();
            assert_eq!(txn.key(&name).await.unwrap(), expected, "{name} within a write");
        }
    }
}

#[tokio::test]
async fn listings_show_one_owner_and_snapshots_one_tenant() {
    let Opened { store, .. } = &Opened::new().await;
    let keys = one_key_each(store).await;
    for stored in &keys {
        let own = &stored.key.name.owner;
        assert_eq!(store.keys(own, true, None, 100).await.unwrap(), std::slice::from_ref(stored), "{own}");
        assert_eq!(store.slugs(own).await.unwrap(), ["main"], "{own}");
    }
    for (name, count) in [("workspaces/acme", 3), ("workspaces/other", 1), ("platform", 1), ("workspaces/empty", 0)] {
        let tenant = tenant(name);
        let rows = store.tenant(&tenant).await.unwrap();
        assert_eq!(rows.keys.len(), count, "{name}");
        assert!(rows.keys.iter().all(|stored| stored.key.name.owner.tenant == tenant), "{name}");
    }
}

#[tokio::test]
async fn each_tenant_has_its_own_workspace_key() {
    let Opened { store, .. } = &Opened::new().await;
    one_key_each(store).await;
    for (name, mark) in [("workspaces/acme", Some(4)), ("workspaces/other", Some(5)), ("platform", None)] {
        let row = store.workspace_key(&tenant(name), 1).await.unwrap();
        assert_eq!(row.map(|row| row.wrapped[0]), mark, "{name}");
        assert_eq!(store.workspace_key(&tenant(name), 2).await.unwrap(), None, "{name}");
    }
}

/// By priority, age and id, so that ties have an order too.
#[tokio::test]
async fn pages_neither_skip_nor_repeat_while_keys_come() {
    let Opened { store, .. } = &Opened::new().await;
    let acme = owner("workspaces/acme");
    let mut expected = Vec::new();
    for n in 0..9_i32 {
        let mut stored = key("workspaces/acme", &format!("k{n}"));
        stored.key.priority = n / 6;
        stored.key.create_time = time() + time::Duration::seconds(i64::from(n / 3 % 2));
        put(store, &stored).await.unwrap();
        expected.push((stored.key.priority, stored.key.create_time, stored.key.name.id.to_string()));
    }
    expected.sort();

    let (mut walked, mut after) = (Vec::new(), None);
    loop {
        let page = store.keys(&acme, false, after.as_ref(), 2).await.unwrap();
        let Some(StoredKey { key: last, .. }) = page.last() else { break };
        let place = |key: &ProviderKey| (key.priority, key.create_time, key.name.id.to_string());
        let (priority, create_time, id) = place(last);
        walked.extend(page.iter().map(|stored| place(&stored.key)));
        after = Some(After { priority, create_time, id });
        // comes to stand in front of all that was walked
        let mut early = key("workspaces/acme", &format!("early-{}", walked.len()));
        early.key.create_time = time() - time::Duration::days(1);
        put(store, &early).await.unwrap();
    }
    assert_eq!(walked, expected);
}

#[tokio::test]
async fn what_is_written_is_what_is_read() {
    let opened = Opened::new().await;
    let mut stored = key("workspaces/acme/users/ann@example.org", "main");
    stored.key.base_url = Some("https://gateway.example".into());
    stored.key.location = Some("eu-west-1".into());
    stored.key.expire_time = Some(time() + time::Duration::microseconds(1));
    stored.key.label = "O'Neil; DROP TABLE provider_keys; -- ключ".into();
    put(&opened.store, &stored).await.unwrap();
    let epoch = opened.store.epoch();
    let again = open(&opened.folder).await.unwrap();
    assert_eq!(again.key(&stored.key.name).await.unwrap(), Some(stored));
    assert_eq!((again.epoch(), again.seq().await.unwrap()), (epoch, 1));
}
