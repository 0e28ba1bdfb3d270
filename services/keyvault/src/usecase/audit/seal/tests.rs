#![expect(clippy::unwrap_used, reason = "tests")]

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::usecase::audit::tests::{alter, append, open};

/// What became of a file.
#[derive(Debug, Clone, Default)]
struct File {
    of: Arc<Mutex<(Vec<u8>, bool)>>,
    is_full: bool,
}

impl File {
    fn text(&self) -> String {
        String::from_utf8(self.of.lock().unwrap().0.clone()).unwrap()
    }

    fn is_discarded(&self) -> bool {
        self.of.lock().unwrap().1
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.of.lock().unwrap().0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Out for File {
    fn last(&mut self) -> io::Result<()> {
        if self.is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn discard(self) {
        self.of.lock().unwrap().1 = true;
    }
}

/// A log of ten events.
struct Place {
    _folder: TempDir,
    database: PathBuf,
    store: Store,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("keyvault.db");
        let (store, writer, _) = open(&database).await;
        tokio::spawn(writer.run(CancellationToken::new()));
        append(&store, 10).await;
        Self { _folder: folder, database, store }
    }

    async fn seal(&self, into: &File) -> Result<Option<Sealed>, SealError> {
        self.seal_at_most(u64::MAX, into).await
    }

    async fn seal_at_most(&self, most: u64, into: &File) -> Result<Option<Sealed>, SealError> {
        seal(&self.store, Oldest { before: now(), most }, || Ok(into.clone()), &mut |_, _| ()).await
    }

    async fn sealed_up_to(&self) -> i64 {
        ends(&self.store).await.unwrap().0.seq
    }
}

/// The head becomes unreadable in the very write that moves the events out.
#[tokio::test]
async fn nothing_that_fails_after_the_write_takes_the_file_away() {
    let (place, file) = (Place::new().await, File::default());
    let spoil = "CREATE TRIGGER spoil AFTER UPDATE ON audit_head WHEN NEW.seq <> OLD.seq \
                 BEGIN UPDATE audit_head SET hash = x'00'; END";
    alter(&place.database, spoil).await;
    let sealed = place.seal(&file).await.unwrap().unwrap();
    assert!(place.store.audit_head().await.is_err());
    assert_eq!((sealed.events, sealed.segment.last.seq, sealed.head.seq), (10, 10, 11));
    assert_eq!(sealed.head.hash, place.store.event_head(11).await.unwrap().hash);
    assert!(!file.is_discarded() && file.text().lines().count() == 12);
}

#[tokio::test]
async fn a_file_is_kept_where_the_write_was_not_confirmed() {
    let (place, file) = (Place::new().await, File::default());
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON audit_segments BEGIN SELECT RAISE(ABORT, 'refused'); END";
    alter(&place.database, refuse).await;
    let error = place.seal(&file).await.unwrap_err();
    assert!(matches!(error, SealError::Unconfirmed(_)), "{error:?}");
    assert!(!file.is_discarded());
}

#[tokio::test]
async fn a_file_is_discarded_where_nothing_was_moved_out() {
    let place = Place::new().await;
    let full = File { is_full: true, ..File::default() };
    assert!(matches!(place.seal(&full).await, Err(SealError::File(_))));
    assert!(full.is_discarded());

    let (store, damaged) = (&place.store, File::default());
    let last = store.event_head(9).await.unwrap();
    let first = NewSegment { before: Head { seq: 0, hash: [0; 32] }, last, file_digest: [7; 32], time: now() };
    let progress = &mut |_: u64, _: u64| ();
    move_out(store, first).await.unwrap().unwrap();
    let overtaken = export_and_move_out(store, first.before, last, &mut damaged.clone(), progress).await;
    assert!(matches!(overtaken, Err(SealError::Overtaken)), "{overtaken:?}");
    assert_eq!(place.sealed_up_to().await, 9);

    alter(&place.database, "DROP TRIGGER audit_events_no_update; UPDATE audit_events SET actor = 'x' WHERE seq = 10")
        .await;
    assert!(matches!(place.seal(&damaged).await, Err(SealError::Export(_))));
    assert!(damaged.is_discarded() && place.sealed_up_to().await == 9);
}

#[tokio::test]
async fn no_file_is_made_when_the_log_cannot_be_read() {
    let place = Place::new().await;
    alter(&place.database, "UPDATE audit_head SET hash = x'00'").await;
    let sealed = seal(
        &place.store,
        Oldest { before: now(), most: 1 },
        || -> io::Result<File> { unreachable!() },
        &mut |_, _| (),
    )
    .await;
    assert!(matches!(sealed, Err(SealError::Store(_))), "{sealed:?}");
}

/// One write does not hold up all others for long.
#[tokio::test]
async fn very_many_events_are_moved_out_a_part_at_a_time() {
    let place = Place::new().await;
    let mut parts = Vec::new();
    while let Some(sealed) = place.seal_at_most(4, &File::default()).await.unwrap() {
        parts.push((sealed.segment.first_seq, sealed.segment.last.seq, sealed.events, sealed.left));
        if sealed.left == 0 {
            break;
        }
    }
    // each seal adds an event, which is older than the next one
    assert_eq!(parts, [(1, 4, 4, 6), (5, 8, 4, 3), (9, 12, 4, 0)]);
}
