//! What is purged is gone for good.

use claviger_proto::keyvault_v1::provider_key::State;
use claviger_proto::keyvault_v1::{DeleteWorkspaceRequest, ProviderKey, PurgeProviderKeyRequest};
use claviger_tests::{Fleet, key, reason};
use serde_json::json;
use tonic::Status;

use super::{ACME, events, lasting, seq, shown, slugged, tamper};
use crate::audit::stage::Stage;
use crate::database::Database;

async fn purge(fleet: &Fleet, name: &str) -> Result<ProviderKey, Status> {
    let request = PurgeProviderKeyRequest { name: name.to_owned(), ..Default::default() };
    Ok(fleet.key_vault().purge_provider_key(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_row_of_a_purged_key_is_left() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.store(slugged(ACME, "anthropic", "main", &key("good"))).await.unwrap();
    let database = Database::open(&fleet.database()).await;
    let column = async |column: &str| database.bytes(&format!("SELECT {column} FROM provider_keys")).await;
    let (sealed, fingerprint) = (column("sealed").await, column("fingerprint").await);
    assert!(sealed.len() > 90 && fingerprint.len() == 32);

    assert_eq!(reason(&purge(&fleet, &stored.name).await.unwrap_err()), "KEY_NOT_REVOKED");
    let revoked = fleet.revoke(&stored.name).await.unwrap().provider_key.unwrap();
    let purged = purge(&fleet, &stored.name).await.unwrap();
    let expected = ProviderKey {
        state: State::Purged.into(),
        etag: purged.etag.clone(),
        update_time: purged.update_time,
        ..lasting(revoked)
    };
    assert_eq!(lasting(purged), expected);
    assert_eq!(shown(&fleet, &stored.name).await, expected);
    assert_eq!((column("sealed").await, column("fingerprint").await), (Vec::new(), Vec::new()));
    let told = events(&fleet, &stored.name).await.pop().unwrap();
    assert_eq!(told, ("key.purged".to_owned(), json!({"key_slug": "main", "state": "PURGED"})));

    let before = seq(&fleet).await;
    assert_eq!(lasting(purge(&fleet, &stored.name).await.unwrap()), expected);
    assert_eq!(fleet.revoke(&stored.name).await.unwrap().provider_key.unwrap().state(), State::Purged);
    assert_eq!(seq(&fleet).await, before, "purged stays purged");
    assert_eq!(reason(&fleet.test(&stored.name).await.unwrap_err()), "KEY_REVOKED");

    let log = fleet.database().with_extension("db-wal");
    let files = [std::fs::read(fleet.database()).unwrap(), std::fs::read(log).unwrap_or_default()].concat();
    let holds = |bytes: &[u8]| files.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(stored.uid.as_bytes()), "the search finds what is there");
    database.close().await;
    assert!(!holds(&sealed[sealed.len() - 24..]) && !holds(&fingerprint), "overwritten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_made_to_look_revoked_is_not_purged() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(ACME, "anthropic", &key("good")).await.unwrap();
    let sql = "UPDATE provider_keys SET state = 'REVOKED', revoke_time = 1";
    claviger_tests::database::alter(&fleet.database(), sql).await.unwrap();
    assert_eq!(reason(&purge(&fleet, &stored.name).await.unwrap_err()), "KEY_ALTERED");
    let revoked = fleet.revoke(&stored.name).await.unwrap().provider_key.unwrap();
    assert!(revoked.state() == State::Revoked && !revoked.altered, "{revoked:?}");
    assert_eq!(shown(&fleet, &stored.name).await, lasting(revoked));
    tamper(&fleet, &stored).await;
    assert_eq!(reason(&purge(&fleet, &stored.name).await.unwrap_err()), "KEY_ALTERED");
    fleet.revoke(&stored.name).await.unwrap();
    assert_eq!(purge(&fleet, &stored.name).await.unwrap().state(), State::Purged);
}

/// What the vault itself destroys, on both databases: the row is left, and nothing that a secret could be had from.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_have_a_secret_from_is_left_of_a_purged_key_and_a_deleted_workspace() {
    for stage in Stage::both().await {
        let fleet = &stage.fleet;
        let first = fleet.create(ACME, "anthropic", &key("good")).await.unwrap();
        fleet.create(ACME, "anthropic", &key("good")).await.unwrap();
        let left = async || {
            let of = ["sealed", "fingerprint"].map(|column| {
                format!("SELECT COUNT(*) FROM provider_keys WHERE tenant = '{ACME}' AND LENGTH({column}) > 0")
            });
            let wrapped = stage.number(&format!("SELECT COUNT(*) FROM workspace_keys WHERE tenant = '{ACME}'")).await;
            (stage.number(&of[0]).await, stage.number(&of[1]).await, wrapped)
        };
        assert_eq!(left().await, (2, 2, 1));
        fleet.revoke(&first.name).await.unwrap();
        purge(fleet, &first.name).await.unwrap();
        assert_eq!(left().await, (1, 1, 1));
        let deletion = DeleteWorkspaceRequest { name: ACME.into(), ..Default::default() };
        fleet.workspaces().delete_workspace(deletion).await.unwrap();
        assert_eq!(left().await, (0, 0, 0));
        assert_eq!(stage.number("SELECT COUNT(*) FROM provider_keys").await, 2, "the rows are for audit");
    }
}
