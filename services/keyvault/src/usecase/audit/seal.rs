//! Retention: the oldest part of the log goes into a file and out of the database, sealed.

use std::io::Write;

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::command::AuditScope;
use claviger_core::fault::Fault;
use claviger_core::ids::Tenant;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::Export;
use super::export::{ExportError, ends};
use crate::audit_file::Head;
use crate::store::{NewSegment, Segment, Store, StoreError};
use crate::usecase::{event, now};

/// What was moved out.
#[derive(Debug, Clone, Copy)]
pub struct Sealed {
    /// The segment.
    pub segment: Segment,
    /// How many events are in the file.
    pub events: u64,
    /// Its SHA-256.
    pub file_digest: [u8; 32],
    /// The log's end behind it, with the event that tells of it.
    pub head: Head,
}

/// Why nothing was moved out.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file could not be made; perhaps there is one of that name.
    #[error("the file cannot be made")]
    NotMade(#[source] std::io::Error),
    /// The file could not be written.
    #[error("the file cannot be written")]
    File(#[source] std::io::Error),
    /// The log could not be exported.
    #[error("the log cannot be exported, and nothing was moved out")]
    Export(#[source] ExportError),
    /// The database failed before anything was done.
    #[error("the log cannot be read")]
    Store(#[from] StoreError),
    /// Another segment was sealed meanwhile.
    #[error("another segment was sealed meanwhile, and nothing was moved out: try again")]
    Overtaken,
    /// The write failed: it is not known whether the segment was sealed.
    #[error(
        "the database did not confirm that the segment was sealed: keep the file, and look for an audit.sealed event; on PostgreSQL the role must be the one that owns the tables"
    )]
    Unconfirmed(#[source] Fault),
}

/// Where the file goes.
pub trait Out: Write {
    /// Returns once everything is on the disk.
    ///
    /// # Errors
    /// When it is not.
    fn last(&mut self) -> std::io::Result<()>;
}

/// Exports the oldest events, up to the first that is not older than `before`, and moves them out. None when there are no
/// such events: then nothing was written. `open` makes the file; `progress` is told how many of how many events are in it.
///
/// # Errors
/// [`SealError`]. Only after [`SealError::Unconfirmed`] may events have left the database, and then the file holds them.
pub async fn seal<O: Out>(
    store: &Store,
    before: OffsetDateTime,
    open: impl FnOnce() -> std::io::Result<O>,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Option<Sealed>, SealError> {
    let (after, head) = ends(store).await?;
    let Some(last) = last_before(store, after, head, before).await? else { return Ok(None) };
    let total = u64::try_from(last.seq - after.seq).unwrap_or_default();
    let mut out = open().map_err(SealError::NotMade)?;
    let mut export = Export::begin(store.clone(), AuditScope::All, after, last).checked();
    let mut digest = Sha256::new();
    while let Some(part) = export.next().await.map_err(broken_off)? {
        digest.update(&part);
        out.write_all(part.as_bytes()).map_err(SealError::File)?;
        progress(export.written().events, total);
    }
    out.last().map_err(SealError::File)?;
    let new = NewSegment { before: after, last, file_digest: digest.finalize().into(), time: now() };
    let segment = move_out(store, new).await?.ok_or(SealError::Overtaken)?;
    let head = store.audit_head().await?;
    Ok(Some(Sealed { segment, events: export.written().events, file_digest: new.file_digest, head }))
}

fn broken_off(error: ExportError) -> SealError {
    match error {
        ExportError::Sealed(_) => SealError::Overtaken,
        error => SealError::Export(error),
    }
}

/// The last event of the oldest ones that are older than a time.
async fn last_before(
    store: &Store,
    after: Head,
    head: Head,
    before: OffsetDateTime,
) -> Result<Option<Head>, StoreError> {
    let micros = i64::try_from(before.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX);
    let last = store.first_event_from(after.seq, micros).await?.map_or(head.seq, |first| first - 1);
    if last <= after.seq {
        return Ok(None);
    }
    store.event_head(last).await.map(Some)
}

async fn move_out(store: &Store, new: NewSegment) -> Result<Option<Segment>, SealError> {
    let job = store.write(move |txn| {
        Box::pin(async move {
            let segment = txn.seal_segment(&new).await?;
            if segment.is_some() {
                txn.record(&told(&new)).await?;
            }
            Ok(segment)
        })
    });
    Ok(job.await.map_err(SealError::Unconfirmed)?.0)
}

fn told(new: &NewSegment) -> Event {
    let details = vec![
        (Detail::FirstSeq, (new.before.seq + 1).to_string()),
        (Detail::LastSeq, new.last.seq.to_string()),
        (Detail::FileDigest, hex::encode(new.file_digest)),
    ];
    let target = Tenant::Platform.to_string();
    event(new.time, &Tenant::Platform, Action::AuditSealed, target, &Origin::vault(), details)
}
