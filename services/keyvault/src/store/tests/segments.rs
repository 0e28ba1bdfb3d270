//! What a segment leaves in the database.

use claviger_core::command::AuditScope;
use claviger_core::ids::SessionId;
use claviger_core::workspace::{SessionBinding, session_binding_name};
use time::Duration;

use super::*;
use crate::store::{BoundTable, NewSegment, Segment};

both! {
    of_ended_sessions_nothing_stays,
    what_ended_a_session_stays_while_an_earlier_segment_left_its_beginning,
    a_deleted_row_of_a_session_is_missed_until_its_event_is_moved_out,
}

fn acme() -> WorkspaceId {
    WorkspaceId::parse("acme").unwrap()
}

fn session(id: &str) -> SessionId {
    SessionId::parse(id).unwrap()
}

fn name(id: &str) -> String {
    session_binding_name(&acme(), &session(id))
}

/// Binds a session until some time after (or before) now.
async fn bind(store: &Store, id: &str, life: Duration) {
    let binding = SessionBinding {
        workspace: acme(),
        session: session(id),
        slug: KeySlug::parse("main").unwrap(),
        user: None,
        provider: None,
        model: None,
        create_time: time(),
        creator: "test".into(),
        expire_time: crate::usecase::now() + life,
    };
    let job = store.write(move |txn| {
        Box::pin(async move {
            let stamp = txn.record(&event(&tenant("workspaces/acme"), Action::SessionBound, binding.name())).await?;
            Ok(txn.put_session_binding(&binding, &stamp).await?)
        })
    });
    job.await.unwrap();
}

async fn unbind(store: &Store, id: &str) {
    let (name, session) = (name(id), session(id));
    let job = store.write(move |txn| {
        Box::pin(async move {
            let stamp = txn.record(&event(&tenant("workspaces/acme"), Action::SessionUnbound, name)).await?;
            Ok(txn.delete_session_binding(&acme(), &session, &stamp).await?)
        })
    });
    assert!(job.await.unwrap().0);
}

async fn forget_expired(store: &Store) {
    let job = store.write(|txn| Box::pin(async { Ok(txn.forget_expired_bindings(crate::usecase::now(), 100).await?) }));
    job.await.unwrap();
}

/// Moves everything out that can be.
async fn seal(store: &Store) -> Segment {
    let before = store.stretch(&AuditScope::All, i64::MAX, i64::MAX, 1).await.unwrap().sealed;
    let new = NewSegment { before, last: store.audit_head().await.unwrap(), file_digest: [7; 32], time: time() };
    let job = store.write(move |txn| Box::pin(async move { Ok(txn.seal_segment(&new).await?.unwrap()) }));
    job.await.unwrap().0
}

async fn left(raw: &Raw) -> Vec<String> {
    raw.column("SELECT action || ' ' || target FROM audit_events ORDER BY seq").await
}

async fn missing(store: &Store) -> Option<String> {
    let now = crate::usecase::now();
    store.look_for_missing(None, 100, now).await.unwrap().0.map(|missing| missing.target)
}

/// A row that is put back is of no use, and is found.
async fn assert_dead(opened: &Opened, id: &str) {
    let Opened { store, raw, .. } = opened;
    raw.execute(&format!("INSERT INTO session_bindings SELECT * FROM old WHERE session = '{id}'")).await;
    let read = store.session_binding(&acme(), &session(id)).await;
    assert!(matches!(read, Err(StoreError::Altered(..))), "{id}: {read:?}");
    let rows = store.check_rows(BoundTable::SessionBindings, None, 100).await.unwrap().rows;
    assert!(rows.iter().any(|row| row.target == name(id) && !row.intact), "{rows:?}");
    raw.change(&format!("DELETE FROM session_bindings WHERE session = '{id}'")).await;
}

async fn of_ended_sessions_nothing_stays(place: Place) {
    let opened = place.open().await;
    let Opened { store, raw, .. } = &opened;
    bind(store, "unbound", Duration::HOUR).await;
    bind(store, "expired", -Duration::HOUR).await;
    bind(store, "again", -Duration::HOUR).await;
    bind(store, "kept", Duration::HOUR).await;
    raw.execute("CREATE TABLE old AS SELECT * FROM session_bindings").await;
    unbind(store, "unbound").await;
    forget_expired(store).await;
    bind(store, "again", Duration::HOUR).await;
    bind(store, "living", Duration::HOUR).await;

    let segment = seal(store).await;
    let stay = ["kept", "again", "living"].map(|id| format!("session.bound {}", name(id)));
    assert_eq!(left(raw).await, stay);
    assert_eq!((segment.first_seq, segment.last.seq, segment.kept_events), (1, 7, 3));
    assert_eq!(missing(store).await, None);
    assert!(store.session_binding(&acme(), &session("living")).await.unwrap().is_some());
    assert_dead(&opened, "unbound").await;
    assert_dead(&opened, "expired").await;
}

/// Otherwise the beginning would be the newest event again, and the row of then as good as ever.
async fn what_ended_a_session_stays_while_an_earlier_segment_left_its_beginning(place: Place) {
    let opened = place.open().await;
    let Opened { store, raw, .. } = &opened;
    bind(store, "one", Duration::HOUR).await;
    bind(store, "two", Duration::HOUR).await;
    raw.execute("CREATE TABLE old AS SELECT * FROM session_bindings").await;
    assert_eq!(seal(store).await.kept_events, 2);
    unbind(store, "one").await;
    bind(store, "two", -Duration::HOUR).await;
    forget_expired(store).await;

    assert_eq!(seal(store).await.kept_events, 2);
    assert_eq!(left(raw).await.len(), 4);
    assert_dead(&opened, "one").await;
    assert_dead(&opened, "two").await;
}

async fn a_deleted_row_of_a_session_is_missed_until_its_event_is_moved_out(place: Place) {
    let opened = place.open().await;
    let Opened { store, raw, .. } = &opened;
    bind(store, "s", Duration::HOUR).await;
    raw.execute("CREATE TABLE old AS SELECT * FROM session_bindings").await;
    raw.change("DELETE FROM session_bindings").await;
    assert_eq!(missing(store).await, Some(name("s")));
    seal(store).await;
    assert_eq!((missing(store).await, left(raw).await.len()), (None, 0));
    assert_dead(&opened, "s").await;
}
