#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::Storage;
use crate::master_key;
use crate::usecase::audit::tests::{alter, append};

/// A vault's data folder with ten events in its log.
async fn vault(folder: &Path) -> Seal {
    let storage = Storage { data_dir: Some(folder.to_owned()), ..Storage::default() };
    let file = folder.join("master.key");
    master_key::generate(&file).unwrap();
    made(&folder.join("keyvault.db"), &file).await;
    let (before, max_events) = ("0h".parse().unwrap(), 1_000);
    Seal { before, max_events, out: folder.join("out.jsonl"), storage, master_key_file: Some(file) }
}

async fn made(database: &Path, key_file: &Path) {
    use crate::store::{Database, Location, Prepared};
    use crate::usecase::custody::{Custody, CustodyError};
    let keyring = master_key::read(key_file).unwrap();
    let location = Location::Sqlite(database.to_owned());
    let database = Database::open(&location, Prepared::ByItself, |_| Ok::<_, CustodyError>(())).await.unwrap();
    let (_, rows) = Custody::load(keyring, &database, time::OffsetDateTime::now_utc()).await.unwrap();
    let (store, writer) = database.into_store(rows);
    tokio::spawn(writer.run(CancellationToken::new()));
    append(&store, 10).await;
}

#[tokio::test]
async fn a_file_that_was_there_before_is_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    let of = vault(folder.path()).await;
    fs::write(&of.out, "another's").unwrap();
    let refused = format!("{:#}", sealed(&of).await.unwrap_err());
    assert!(refused.contains("the file cannot be made"), "{refused}");

    alter(&folder.path().join("keyvault.db"), "UPDATE audit_head SET hash = x'00'").await;
    let refused = format!("{:#}", sealed(&of).await.unwrap_err());
    assert!(refused.contains("the log cannot be read"), "{refused}");
    assert_eq!(fs::read_to_string(&of.out).unwrap(), "another's");
}

#[tokio::test]
async fn a_file_of_this_run_goes_only_when_nothing_was_moved_out() {
    let folder = tempfile::tempdir().unwrap();
    let (of, database) = (vault(folder.path()).await, folder.path().join("keyvault.db"));
    alter(&database, "DROP TRIGGER audit_events_no_update; UPDATE audit_events SET actor = 'x' WHERE seq = 7").await;
    let refused = format!("{:#}", sealed(&of).await.unwrap_err());
    assert!(refused.contains("nothing was moved out") && !of.out.exists(), "{refused}");

    alter(&database, "UPDATE audit_events SET actor = 'keyvault' WHERE seq = 7").await;
    assert_eq!(sealed(&of).await.unwrap().unwrap().events, 10);
    assert_eq!(fs::read_to_string(&of.out).unwrap().lines().count(), 12);
}
