//! Reads: whose rows, and in which order.

use claviger_core::filter::Filter;

use super::*;
use crate::store::{After, WorkspaceKeyRow};

const OWNERS: [&str; 5] =
    ["workspaces/acme", "workspaces/acme/users/ann", "workspaces/acme/users/bob", "workspaces/other", "platform"];

both! {
    a_key_is_found_under_its_own_owner_alone,
    listings_show_one_owner_and_snapshots_one_tenant,
    each_tenant_has_its_own_workspace_keys,
    pages_neither_skip_nor_repeat_while_keys_come,
    workspaces_are_listed_by_id,
    what_is_written_is_what_is_read,
    keys_with_one_fingerprint_are_found_across_tenants,
}

/// One key for each owner, all of one slug; and two tenants' keys.
async fn one_key_each(store: &Store) -> Vec<StoredKey> {
    let mut keys = Vec::new();
    for name in OWNERS {
        keys.push(put(store, &key(name, "main")).await.unwrap());
    }
    for (name, mark) in [("workspaces/acme", 4), ("workspaces/other", 5)] {
        put_workspace_key(store, name, mark).await;
    }
    keys
}

async fn put_workspace_key(store: &Store, name: &'static str, mark: u8) {
    let row = WorkspaceKeyRow { version: 1, master_key: "root-1".into(), wrapped: vec![mark; 60] };
    let job = store.write(move |txn| {
        Box::pin(async move {
            txn.record(&event(&tenant(name), Action::WorkspaceKeyRotated, format!("{name}/-"))).await?;
            let under = MasterKeyRow { id: "root-1".into(), check_value: vec![1; 16] };
            Ok(txn.insert_workspace_key(&tenant(name), &row, &under, time()).await?)
        })
    });
    job.await.unwrap();
}

async fn a_key_is_found_under_its_own_owner_alone(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    for stored in one_key_each(store).await {
        for other in OWNERS.map(owner) {
            let name = KeyName { owner: other.clone(), id: stored.key.name.id };
            let expected = (other == stored.key.name.owner).then(|| stored.clone());
            assert_eq!(store.key(&name).await.unwrap(), expected, "{name}");
            let within = store.write(move |txn| Box::pin(async move { Ok(txn.key(&name).await?) }));
            assert_eq!(within.await.unwrap().0, expected, "within a write");
        }
    }
}

async fn listings_show_one_owner_and_snapshots_one_tenant(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    for stored in &one_key_each(store).await {
        let own = &stored.key.name.owner;
        let listed = store.keys(own, true, &Filter::default(), None, 100).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(stored), "{own}");
    }
    for (name, count) in [("workspaces/acme", 3), ("workspaces/other", 1), ("platform", 1), ("workspaces/empty", 0)] {
        let tenant = tenant(name);
        let rows = store.tenant(&tenant.clone().into()).await.unwrap();
        let owner = Owner { tenant: tenant.clone(), user: None };
        let beside = store.neighbours(&owner, b"").await.unwrap();
        assert_eq!((rows.keys.len(), beside.count), (count, count as u64), "{name}");
        assert_eq!(
            beside.slugs.len(),
            rows.keys.iter().filter(|stored| stored.key.name.owner == owner).count(),
            "{name}"
        );
        assert!(rows.keys.iter().all(|stored| stored.key.name.owner.tenant == tenant), "{name}");
    }
}

async fn each_tenant_has_its_own_workspace_keys(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    one_key_each(store).await;
    for (name, mark) in [("workspaces/acme", Some(4)), ("workspaces/other", Some(5)), ("platform", None)] {
        let rows = store.tenant(&tenant(name).into()).await.unwrap().workspace_keys;
        let marks: Vec<_> = rows.iter().map(|row| (row.version, row.wrapped[0])).collect();
        assert_eq!(marks, mark.map(|mark| (1, mark)).into_iter().collect::<Vec<_>>(), "{name}");
    }
}

/// By priority, age and id, so that ties have an order too.
async fn pages_neither_skip_nor_repeat_while_keys_come(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
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
        let page = store.keys(&acme, false, &Filter::default(), after.as_ref(), 2).await.unwrap();
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

/// By bytes, whatever a server's locale makes of hyphens.
async fn workspaces_are_listed_by_id(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    for id in ["ab", "a-c", "a", "a0", "b"] {
        put_workspace(store, &workspace(id)).await.unwrap();
    }
    let (mut ids, mut after) = (Vec::new(), None::<String>);
    while let Some(next) = store.workspaces(&Filter::default(), after.as_deref(), 1).await.unwrap().pop() {
        ids.push(next.value.id.to_string());
        after = ids.last().cloned();
    }
    assert_eq!(ids, ["a", "a-c", "a0", "ab", "b"]);
}

async fn what_is_written_is_what_is_read(place: Place) {
    let opened = place.open().await;
    let mut stored = key("workspaces/acme/users/ann@example.org", "main");
    stored.key.base_url = Some("https://gateway.example".into());
    stored.key.location = Some("eu-west-1".into());
    stored.key.expire_time = Some(time() + time::Duration::microseconds(1));
    stored.key.label = "O'Neil; DROP TABLE provider_keys; -- ключ \u{1f511}".into();
    stored.sealed = (0..=255).collect();
    let stored = put(&opened.store, &stored).await.unwrap();
    let (again, _writer) = opened.place.replica().await;
    assert_eq!(again.key(&stored.key.name).await.unwrap(), Some(stored));
    assert_eq!((again.epoch(), again.seq().await.unwrap()), (opened.store.epoch(), 1));
}

async fn keys_with_one_fingerprint_are_found_across_tenants(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let mut expected = one_key_each(store).await;
    let revoked = put(store, &key("workspaces/third", "main")).await.unwrap();
    revoke(store, revoked).await;
    let mut other = key("workspaces/third", "other");
    other.fingerprint = vec![3; 32];
    put(store, &other).await.unwrap();
    expected.sort_by_key(|stored| stored.key.name.id.to_string());
    let job = store.write(|txn| Box::pin(async move { Ok(txn.keys_with_fingerprint(&[2; 32]).await?) }));
    assert_eq!(job.await.unwrap().0, expected);
}
