//! What SQLite is told to keep, and rows that hold what the schema does not promise.

use super::*;

#[tokio::test]
async fn every_connection_is_durable_and_overwrites_what_is_deleted() {
    let Opened { store, .. } = &Opened::new().await;
    for db in [&store.write, &store.read] {
        assert_eq!(column::<String>(db, "PRAGMA journal_mode").await, ["wal"]);
        assert_eq!(column::<i32>(db, "PRAGMA synchronous").await, [2], "FULL");
        assert_eq!(column::<i32>(db, "PRAGMA secure_delete").await, [1]);
        assert_eq!(column::<i32>(db, "PRAGMA foreign_keys").await, [1]);
    }
}

#[tokio::test]
async fn a_corrupt_key_row_is_a_typed_error_and_never_a_guess() {
    const BAD: [(&str, &str); 14] = [
        ("state", "'ACTIVATED'"),
        ("state", "''"),
        ("auth_type", "'PASSWORD'"),
        ("provider", "'Not A Slug'"),
        ("key_slug", "'../x'"),
        ("tenant", "'workspaces/'"),
        ("id", "'1'"),
        ("owner_user", "'an n'"),
        ("allowed_models", "'{}'"),
        ("allowed_models", "'[\"a b\"]'"),
        ("secret_version", "-1"),
        ("create_time", "9223372036854775807"),
        ("revoke_time", "9223372036854775807"),
        ("test_result", "'GOOD'"),
    ];
    let Opened { store, .. } = &Opened::new().await;
    let stored = key("workspaces/acme", "main");
    put(store, &stored).await.unwrap();
    execute(&store.write, "CREATE TABLE good AS SELECT * FROM provider_keys").await;
    for (column, value) in BAD {
        execute(&store.write, &format!("UPDATE provider_keys SET {column} = {value}")).await;
        let read = match column {
            "tenant" | "id" | "owner_user" => read_nameless(store, &stored).await,
            _ => store.key(&stored.key.name).await.map(drop),
        };
        assert!(matches!(read, Err(StoreError::Corrupt("provider_keys"))), "{column} = {value}: {read:?}");
        execute(&store.write, "DELETE FROM provider_keys; INSERT INTO provider_keys SELECT * FROM good").await;
        assert_eq!(store.key(&stored.key.name).await.unwrap().as_ref(), Some(&stored));
    }
}

/// A row that lost its name is nobody's, so it is not found; read all the same, it is an error.
async fn read_nameless(store: &Store, stored: &StoredKey) -> Result<(), StoreError> {
    use crate::store::entity::provider_keys;
    use sea_orm::EntityTrait;
    assert_eq!(store.key(&stored.key.name).await.unwrap(), None);
    let row = provider_keys::Entity::find().one(&store.read).await?.unwrap();
    StoredKey::try_from(row).map(drop)
}

#[tokio::test]
async fn a_corrupt_head_workspace_or_epoch_is_a_typed_error() {
    let opened = Opened::new().await;
    let store = &opened.store;
    let acme = tenant("workspaces/acme");
    let txn = store.begin().await.unwrap();
    txn.insert_workspace(&workspace("acme")).await.unwrap();
    txn.insert_workspace_key(&acme, &workspace_key(), time()).await.unwrap();
    txn.commit(created(&key("workspaces/acme", "main")), Vec::new()).await.unwrap();

    execute(&store.write, "UPDATE workspaces SET fallback_consent = 'ALWAYS'").await;
    let read = store.workspace(acme.workspace().unwrap()).await;
    assert!(matches!(read, Err(StoreError::Corrupt("workspaces"))), "{read:?}");
    execute(&store.write, "UPDATE workspaces SET fallback_consent = 'ANY'").await;

    execute(&store.write, "UPDATE workspace_keys SET version = -1").await;
    let read = store.tenant(&acme).await.map(drop);
    assert!(matches!(read, Err(StoreError::Corrupt("workspace_keys"))), "{read:?}");

    for head in ["hash = x'00'", "seq = -1"] {
        execute(&store.write, &format!("UPDATE audit_head SET {head}")).await;
        let begun = store.begin().await.map(drop);
        assert!(matches!(begun, Err(StoreError::Corrupt("audit_head"))), "{head}: {begun:?}");
        assert!(store.ping().await.is_err(), "{head}: the vault is not ready");
    }

    execute(&store.write, "UPDATE vault SET epoch = 'x'").await;
    let again = open(&opened.folder).await.map(drop);
    assert!(matches!(again, Err(StoreError::Corrupt("vault"))), "{again:?}");
}

#[tokio::test]
async fn whoever_does_not_admit_the_master_keys_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("keyvault.db"));
    let refused = Store::open(&location, |_| Err(StoreError::Corrupt("test"))).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Corrupt("test"))), "{refused:?}");
    assert!(!folder.path().join("keyvault.db").exists(), "no database was made");
}
