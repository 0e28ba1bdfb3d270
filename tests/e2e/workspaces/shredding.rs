//! What a deletion destroys is in no file of the database any more.

use std::path::PathBuf;

use claviger_proto::keyvault_v1 as kv;
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::resolve_request;
use claviger_tests::{Fleet, key, key_for};

use super::*;
use crate::database::Database;

/// The database and its write-ahead log, as a thief would copy them from under the running vault.
fn files(fleet: &Fleet) -> Vec<u8> {
    let log = PathBuf::from(format!("{}-wal", fleet.database().display()));
    let log = std::fs::read(log).unwrap();
    [std::fs::read(fleet.database()).unwrap(), log].concat()
}

fn holds(files: &[u8], bytes: &[u8]) -> bool {
    assert!(bytes.len() >= 32);
    files.windows(bytes.len()).any(|window| window == bytes)
}

/// Every blob that a query finds.
async fn blobs(fleet: &Fleet, sql: &str) -> Vec<Vec<u8>> {
    let database = Database::open(&fleet.database()).await;
    let found = database.rows(sql).await.into_iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    database.close().await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ciphertext_and_no_wrapped_key_is_left() {
    let fleet = Fleet::start().await.unwrap();
    let kept_secret = key("good");
    fleet.create("workspaces/other", "anthropic", &kept_secret).await.unwrap();
    for n in 0..12 {
        let owner = if n % 3 == 0 { "workspaces/acme/users/ann" } else { "workspaces/acme" };
        let stored = fleet.create(owner, "openai", &key_for("sk-proj-", "good")).await.unwrap();
        if n % 4 == 0 {
            fleet.revoke(&stored.name).await.unwrap();
        }
    }
    let of = |tenant: &str| {
        ["sealed FROM provider_keys", "fingerprint FROM provider_keys", "wrapped FROM workspace_keys"]
            .map(|what| format!("SELECT {what} WHERE tenant = 'workspaces/{tenant}'"))
    };
    let (mut doomed, mut kept) = (Vec::new(), Vec::new());
    for (tenant, blobs_of) in [("acme", &mut doomed), ("other", &mut kept)] {
        for sql in of(tenant) {
            blobs_of.extend(blobs(&fleet, &sql).await);
        }
    }
    assert_eq!((doomed.len(), kept.len()), (12 + 12 + 1, 3));
    let before = files(&fleet);
    assert!(doomed.iter().chain(&kept).all(|blob| holds(&before, blob)));

    delete(&fleet, "acme").await.unwrap();
    let after = files(&fleet);
    let left = doomed.iter().filter(|blob| holds(&after, blob)).count();
    assert_eq!(left, 0, "blobs that are still in a file");
    assert!(kept.iter().all(|blob| holds(&after, blob)));
    let [sealed, fingerprint, wrapped] = of("acme");
    for sql in [sealed, fingerprint] {
        assert!(blobs(&fleet, &sql).await.iter().all(Vec::is_empty));
    }
    assert!(blobs(&fleet, &wrapped).await.is_empty());

    let pin = ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request("workspaces/other") };
    assert_eq!(fleet.resolve(pin).await.unwrap().credential.unwrap().secret, kept_secret);
}

/// A workspace of the same name has another key: no ciphertext of the one before opens under it.
#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_made_anew_has_another_key() {
    const WRAPPED: &str = "SELECT wrapped FROM workspace_keys WHERE tenant = 'workspaces/acme'";
    let fleet = Fleet::start().await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let old = blobs(&fleet, WRAPPED).await;
    delete(&fleet, "acme").await.unwrap();
    let first = Some(first_key("anthropic", &key("good")));
    let request = kv::CreateWorkspaceRequest { workspace_id: "acme".into(), first_key: first, ..Default::default() };
    fleet.workspaces().create_workspace(request).await.unwrap();
    let new = blobs(&fleet, WRAPPED).await;
    assert_eq!((old.len(), new.len()), (1, 1));
    assert_ne!(old, new);
}
