//! Page tokens of events; and a store with a log for other tests.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use claviger_core::audit::{Action, Origin};
use claviger_core::command::{AuditScope, PageRequest};
use claviger_core::filter::{Field, Filter, Kind};
use claviger_core::ids::Tenant;
use claviger_crypto::Keyring;
use sea_orm::{ConnectionTrait, Database as Orm};
use time::OffsetDateTime;

use super::*;
use crate::store::{Database, Location, Prepared, Writer};
use crate::usecase::custody::CustodyError;
use crate::usecase::event;

/// A new database in a file.
pub(crate) async fn open(file: &Path) -> (Store, Writer, Arc<Custody>) {
    let keyring = Keyring::generate("2026-01-01T00:00:00Z").unwrap();
    let database =
        Database::open(&Location::Sqlite(file.to_owned()), Prepared::ByItself, |_| Ok::<_, CustodyError>(()))
            .await
            .unwrap();
    let (custody, rows) = Custody::load(keyring, &database, OffsetDateTime::now_utc()).await.unwrap();
    let (store, writer) = database.into_store(rows);
    (store, writer, Arc::new(custody))
}

/// Appends events that tell of no row.
pub(crate) async fn append(store: &Store, count: usize) {
    let job = store.write(move |txn| {
        Box::pin(async move {
            for n in 0..count {
                let (target, tenant) = (format!("platform/keys/{n}"), Tenant::Platform);
                let time = OffsetDateTime::UNIX_EPOCH;
                txn.record(&event(time, &tenant, Action::SecretTested, target, &Origin::vault(), Vec::new())).await?;
            }
            Ok(())
        })
    });
    job.await.unwrap();
}

/// Runs statements past the store.
pub(crate) async fn alter(file: &Path, sql: &str) {
    let beside = Orm::connect(format!("sqlite://{}", file.display())).await.unwrap();
    beside.execute_unprepared(sql).await.unwrap();
    beside.close().await.unwrap();
}

fn list(scope: AuditScope, token: Option<String>) -> ListEvents {
    ListEvents { scope, filter: Filter::default(), page: PageRequest { size: 1, token } }
}

#[test]
fn a_token_serves_its_own_listing_alone() {
    let key = ServiceKey::generate().unwrap();
    let token = token(&key, &list(AuditScope::All, None), 7);
    assert_eq!(before(&key, &list(AuditScope::All, Some(token.clone()))).unwrap(), Some(7));
    let tenant = AuditScope::Tenant(Tenant::parse("workspaces/a").unwrap());
    assert!(before(&key, &list(tenant, Some(token.clone()))).is_err());
    let filter = Filter::parse("actor = ann", &[Field::new("actor", Kind::Text)]).unwrap();
    let narrowed = ListEvents { filter, ..list(AuditScope::All, Some(token.clone())) };
    assert!(before(&key, &narrowed).is_err());
    let other = ServiceKey::generate().unwrap();
    assert!(before(&other, &list(AuditScope::All, Some(token.clone()))).is_err());
    for hostile in ["", "AA", "not base64!", &token[1..]] {
        assert!(before(&key, &list(AuditScope::All, Some(hostile.into()))).is_err(), "{hostile}");
    }
}
