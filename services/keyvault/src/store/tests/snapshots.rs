//! A read sees one moment, however many rows and statements it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use claviger_core::filter::Filter;
use claviger_core::ids::PlanId;

use super::*;

both! {
    a_tenant_is_read_at_one_moment,
    a_key_is_never_read_between_its_event_and_its_row,
    the_newest_of_revoked_keys_stands_for_its_slug,
}

const CHANGES: usize = 60;

/// The writer changes a workspace and its key together; a reader that sees the one change and not the other is torn.
async fn a_tenant_is_read_at_one_moment(place: Place) {
    let opened = place.open().await;
    let mut acme = workspace("acme");
    acme.policy.plan = Some(PlanId::parse("p0").unwrap());
    put_workspace(&opened.store, &acme).await.unwrap();
    let mut stored = key("workspaces/acme", "main");
    stored.key.label = "p0".into();
    let stored = put(&opened.store, &stored).await.unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(change_both(opened.store.clone(), acme, stored, done.clone()));
    let (mut reads, mut last) = (0, 0);
    while !done.load(Ordering::Relaxed) {
        let rows = opened.store.tenant(&tenant("workspaces/acme").into()).await.unwrap();
        let workspace = rows.workspace.unwrap();
        assert_eq!(workspace.value.policy.plan.unwrap().to_string(), rows.keys[0].key.label, "at {}", rows.seq);
        assert_eq!((workspace.seq.max(rows.keys[0].seq), rows.keys[0].intact), (rows.seq, true));
        assert!(rows.seq >= last, "time does not go back");
        (reads, last) = (reads + 1, rows.seq);
    }
    writer.await.unwrap();
    assert!(reads > 5, "{reads} reads are no test");
}

async fn change_both(store: Store, mut acme: Workspace, mut stored: StoredKey, done: Arc<AtomicBool>) {
    for number in 1..=CHANGES {
        let mark = format!("p{number}");
        acme.policy.plan = Some(PlanId::parse(&mark).unwrap());
        stored.key.label = mark;
        let (acme, mut stored) = (acme.clone(), stored.clone());
        let job = store.write(move |txn| {
            Box::pin(async move {
                let stamp = txn.record(&of_workspace(&acme, Action::WorkspaceUpdated)).await?;
                txn.put_workspace(&acme, &stamp).await?;
                let stamp = txn.record(&of_key(&stored, Action::KeyUpdated)).await?;
                Ok(txn.update_key(&mut stored, &stamp).await?)
            })
        });
        job.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
}

/// Between two statements of a read, the row and its newest event could be of two moments, and look altered.
async fn a_key_is_never_read_between_its_event_and_its_row(place: Place) {
    let opened = place.open().await;
    let stored = put(&opened.store, &key("workspaces/acme", "main")).await.unwrap();
    let (store, name) = (opened.store.clone(), stored.key.name.clone());
    let done = Arc::new(AtomicBool::new(false));
    let ends = done.clone();
    let writer = tokio::spawn(async move {
        for _ in 0..CHANGES {
            update(&store, &stored).await.unwrap();
        }
        ends.store(true, Ordering::Relaxed);
    });
    while !done.load(Ordering::Relaxed) {
        assert!(opened.store.key(&name).await.unwrap().unwrap().intact);
        let listed = opened.store.keys(&name.owner, false, &Filter::default(), None, 10).await.unwrap();
        assert!(listed[0].intact);
    }
    writer.await.unwrap();
}

async fn the_newest_of_revoked_keys_stands_for_its_slug(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let mut newest = Vec::new();
    for owner in ["workspaces/acme", "workspaces/acme/users/ann", "workspaces/other"] {
        for slug in ["main", "spare"] {
            for _ in 0..3 {
                let stored = put(store, &key(owner, slug)).await.unwrap();
                newest.push(revoke(store, stored).await.key);
            }
            newest.drain(newest.len() - 3..newest.len() - 1);
        }
    }
    let live = put(store, &key("workspaces/acme", "main")).await.unwrap();
    let rows = store.tenant(&tenant("workspaces/acme").into()).await.unwrap();
    let expected: Vec<_> = newest[..4].iter().rev().cloned().collect();
    assert_eq!(rows.ended, expected);
    assert_eq!(rows.keys, [live]);
}
