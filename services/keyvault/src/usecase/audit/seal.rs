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

/// What is to be moved out.
#[derive(Debug, Clone, Copy)]
pub struct Oldest {
    /// Up to the first event that is not older than this.
    pub before: OffsetDateTime,
    /// And so many at most, at least one: the write that moves them out holds up all others.
    pub most: u64,
}

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
    /// How many more events are as old, and were too many for one time.
    pub left: u64,
}

/// Why nothing was moved out.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It would fail in the end.
    #[error(
        "the database role may not move events out: use the one that owns the tables, not the service's; nothing was done"
    )]
    NotAllowed,
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
    #[error("the log cannot be read, and nothing was moved out")]
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

    /// Takes it away again: the database has all of its events.
    fn discard(self);
}

impl SealError {
    /// Whether the database certainly has all events still.
    fn is_before_the_write(&self) -> bool {
        !matches!(self, Self::Unconfirmed(_))
    }
}

/// Exports the oldest events and moves them out. None when there are no
/// such events: then nothing was written. `open` makes the file; `progress` is told how many of how many events are in it.
///
/// # Errors
/// [`SealError`]. Only after [`SealError::Unconfirmed`] may events have left the database, and then the file holds them;
/// after all others what `open` made is discarded.
pub async fn seal<O: Out>(
    store: &Store,
    what: Oldest,
    open: impl FnOnce() -> std::io::Result<O>,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Option<Sealed>, SealError> {
    if !store.may_seal().await? {
        return Err(SealError::NotAllowed);
    }
    let (after, head) = ends(store).await?;
    let Some((last, left)) = last_before(store, after, head, what).await? else { return Ok(None) };
    let mut out = open().map_err(SealError::NotMade)?;
    let sealed = export_and_move_out(store, after, last, &mut out, progress).await;
    if sealed.as_ref().is_err_and(SealError::is_before_the_write) {
        out.discard();
    }
    Ok(Some(Sealed { left, ..sealed? }))
}

/// Nothing that may fail follows the write: the file is the only place of its events then.
async fn export_and_move_out(
    store: &Store,
    after: Head,
    last: Head,
    out: &mut impl Out,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Sealed, SealError> {
    let total = u64::try_from(last.seq - after.seq).unwrap_or_default();
    let mut export = Export::begin(store.clone(), AuditScope::All, after, last).checked();
    let mut digest = Sha256::new();
    while let Some(part) = export.next().await.map_err(broken_off)? {
        digest.update(&part);
        out.write_all(part.as_bytes()).map_err(SealError::File)?;
        progress(export.written().events, total);
    }
    out.last().map_err(SealError::File)?;
    let new = NewSegment { before: after, last, file_digest: digest.finalize().into(), time: now() };
    let (segment, head) = move_out(store, new).await?.ok_or(SealError::Overtaken)?;
    Ok(Sealed { segment, events: export.written().events, file_digest: new.file_digest, head, left: 0 })
}

fn broken_off(error: ExportError) -> SealError {
    match error {
        ExportError::Sealed(_) => SealError::Overtaken,
        error => SealError::Export(error),
    }
}

/// The last of the oldest events that are moved out, and how many of them are left for another time.
async fn last_before(store: &Store, after: Head, head: Head, what: Oldest) -> Result<Option<(Head, u64)>, StoreError> {
    let micros = i64::try_from(what.before.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX);
    let last = store.first_event_from(after.seq, micros).await?.map_or(head.seq, |first| first - 1);
    if last <= after.seq {
        return Ok(None);
    }
    let most = i64::try_from(what.most).unwrap_or(i64::MAX);
    let now = last.min(after.seq.saturating_add(most));
    Ok(Some((store.event_head(now).await?, u64::try_from(last - now).unwrap_or_default())))
}

/// The segment, and the log's end behind the event that tells of it.
async fn move_out(store: &Store, new: NewSegment) -> Result<Option<(Segment, Head)>, SealError> {
    let job = store.write(move |txn| {
        Box::pin(async move {
            let Some(segment) = txn.seal_segment(&new).await? else { return Ok(None) };
            txn.record(&told(&new)).await?;
            Ok(Some((segment, txn.head())))
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

#[cfg(test)]
mod tests;
