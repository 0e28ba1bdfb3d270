//! The rows of sealed segments.

use claviger_crypto::GENESIS;
use sea_orm::{IdenStatic, Iterable};

use super::*;
use crate::audit_file::Head;
use crate::store::NewSegment;
use crate::store::entity::audit_segments::Column;

both! {
    a_change_of_any_column_of_a_segment_is_found,
}

async fn is_intact(store: &Store) -> bool {
    store.segment_after(0).await.unwrap().unwrap().intact
}

async fn a_change_of_any_column_of_a_segment_is_found(place: Place) {
    let Opened { store, raw, place, _writer } = place.open().await;
    put(&store, &key("workspaces/acme", "main")).await.unwrap();
    let before = Head { seq: 0, hash: GENESIS };
    let last = store.audit_head().await.unwrap();
    let new = NewSegment { before, last, file_digest: [7; 32], time: time() };
    let sealed = store.write(move |txn| Box::pin(async move { Ok(txn.seal_segment(&new).await?) }));
    assert!(sealed.await.unwrap().0.is_some() && is_intact(&store).await);

    raw.execute("CREATE TABLE good AS SELECT * FROM audit_segments").await;
    for column in Column::iter() {
        let other = match column {
            Column::FirstSeq | Column::LastSeq | Column::KeptEvents | Column::CreateTime => {
                format!("{} + 1", column.as_str())
            }
            Column::Mac => "file_digest".to_owned(),
            _ => "mac".to_owned(),
        };
        raw.change(&format!("UPDATE audit_segments SET {} = {other}", column.as_str())).await;
        assert!(!is_intact(&store).await, "{}", column.as_str());
        raw.execute("DELETE FROM audit_segments; INSERT INTO audit_segments SELECT * FROM good").await;
        assert!(is_intact(&store).await);
    }
    raw.change(&format!("UPDATE vault SET epoch = '{}'", Uuid::now_v7())).await;
    assert!(!is_intact(&place.replica().await.0).await, "of another history");
}
