//! The export: the log as the lines of a file, in parts of bounded size.

use std::borrow::Cow;
use std::collections::VecDeque;

use claviger_core::command::AuditScope;
use claviger_core::fault::Fault;
use claviger_core::reason::Reason;

use super::{Audit, Finding, Kind, follow};
use crate::audit_file::{ExportedEvent, Head, Header, Scope, Trailer, write_event, write_header, write_trailer};
use crate::store::{Store, StoreError, StoredEvent};

/// The most bytes of a part, but for header and trailer, which take less than 1 KiB.
const PART: usize = 63 * 1024;
/// Events read at once.
const AT_ONCE: u64 = 256;

/// An export under way. It ends at what was the newest event when it began.
#[derive(Debug)]
pub struct Export {
    store: Store,
    scope: AuditScope,
    header: Option<Header>,
    /// Everything up to here is read.
    read: i64,
    end: Head,
    waiting: VecDeque<(StoredEvent, [u8; 32])>,
    trailer: Trailer,
    done: bool,
    /// The chain, where it is checked.
    checked: Option<Head>,
}

/// Why an export breaks off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database failed.
    #[error("the events cannot be read")]
    Store(#[from] StoreError),
    /// Events were moved out meanwhile.
    #[error("events that were still to come were moved out into a segment meanwhile")]
    Sealed(Head),
    /// The log was altered.
    #[error("the log is damaged")]
    Damaged(#[source] Finding),
    /// A line cannot be made.
    #[error("a line cannot be written")]
    Line(#[from] std::io::Error),
}

impl Audit {
    /// Begins an export of what is in the database from one event to another; 0 is the oldest one that no segment holds, or
    /// the newest one. An end that is yet to come is the newest one too.
    ///
    /// # Errors
    /// `INVALID_FIELD` for events that are not in the database, `STORAGE_UNAVAILABLE`.
    pub async fn export(&self, scope: AuditScope, first_seq: u64, last_seq: u64) -> Result<Export, Fault> {
        let (sealed, head) = ends(&self.store).await?;
        let (first, last) = stretch(first_seq, last_seq, sealed.seq, head.seq)?;
        let at = async |seq| match seq {
            seq if seq == sealed.seq => Ok(sealed),
            seq if seq == head.seq => Ok(head),
            seq => self.store.event_head(seq).await,
        };
        Ok(Export::begin(self.store.clone(), scope, at(first - 1).await?, at(last).await?))
    }
}

/// The first and last event of a stretch of what is in the database.
fn stretch(first: u64, last: u64, sealed: i64, head: i64) -> Result<(i64, i64), Fault> {
    let seq = |given| i64::try_from(given).unwrap_or(i64::MAX);
    let (oldest, next) = (sealed + 1, head.saturating_add(1).max(sealed + 1));
    let first = if first == 0 { oldest } else { seq(first) };
    if !(oldest..=next).contains(&first) {
        let rule = format!("must be 0 or {oldest} to {next}: earlier events are in the files of sealed segments");
        return Err(Fault::field("first_seq", rule));
    }
    match seq(last) {
        0 => Ok((first, head)),
        last if last < first => Err(Fault::field("last_seq", "must be 0, or not before the first event")),
        last => Ok((first, last.min(head))),
    }
}

/// What was moved out, and the newest event.
pub(super) async fn ends(store: &Store) -> Result<(Head, Head), StoreError> {
    let nothing = store.stretch(&AuditScope::All, i64::MAX, i64::MAX, 1).await?;
    Ok((nothing.sealed, nothing.head))
}

impl Export {
    /// Of the events behind `after` up to `end`.
    pub(super) fn begin(store: Store, scope: AuditScope, after: Head, end: Head) -> Self {
        let of = match &scope {
            AuditScope::All => Scope::All { after },
            AuditScope::Tenant(tenant) => Scope::Tenant(tenant.clone()),
        };
        let header = Some(Header { epoch: store.epoch(), scope: of });
        let (waiting, trailer) = (VecDeque::new(), Trailer::default());
        Self { store, scope, header, read: after.seq, end, waiting, trailer, done: false, checked: None }
    }

    /// Breaks off at the first event that is missing or altered, which otherwise is the reader's to find.
    pub(super) fn checked(self) -> Self {
        let checked = match &self.header {
            Some(Header { scope: Scope::All { after }, .. }) => Some(*after),
            _ => None,
        };
        Self { checked, ..self }
    }

    /// How many events are written, and the last of them.
    #[must_use]
    pub fn written(&self) -> Trailer {
        self.trailer
    }

    /// The next lines, at most 64 KiB of them unless one alone is longer; none at the end.
    ///
    /// # Errors
    /// [`ExportError`]; what was written then is a file that was cut short.
    pub async fn next(&mut self) -> Result<Option<String>, ExportError> {
        if self.done {
            return Ok(None);
        }
        let mut part = Vec::new();
        if let Some(header) = self.header.take() {
            write_header(&mut part, &header)?;
        }
        loop {
            if self.waiting.is_empty() {
                self.fill().await?;
            }
            let Some((event, previous)) = self.waiting.front() else { break };
            let line = exported(event, *previous);
            let before = part.len();
            write_event(&mut part, &line)?;
            if before > 0 && part.len() > PART {
                part.truncate(before);
                return Ok(Some(text(part)?));
            }
            self.trailer.count(&line);
            self.waiting.pop_front();
        }
        write_trailer(&mut part, &self.trailer)?;
        self.done = true;
        Ok(Some(text(part)?))
    }

    async fn fill(&mut self) -> Result<(), ExportError> {
        let stretch = self.store.stretch(&self.scope, self.read, self.end.seq, AT_ONCE).await?;
        if stretch.sealed.seq > self.read {
            return Err(ExportError::Sealed(stretch.sealed));
        }
        if let Some(chain) = &mut self.checked {
            for (event, _) in &stretch.events {
                follow(chain, event).map_err(ExportError::Damaged)?;
            }
            if stretch.events.is_empty() && *chain != self.end {
                let missing = Finding::of_event(Kind::EventMissing, chain.seq.saturating_add(1));
                return Err(ExportError::Damaged(missing));
            }
        }
        self.read = stretch.events.last().map_or(self.end.seq, |(last, _)| last.seq);
        self.waiting.extend(stretch.events);
        Ok(())
    }
}

fn text(part: Vec<u8>) -> Result<String, ExportError> {
    String::from_utf8(part).map_err(|error| ExportError::Line(std::io::Error::other(error)))
}

fn exported(event: &StoredEvent, previous_hash: [u8; 32]) -> ExportedEvent<'_> {
    ExportedEvent {
        seq: event.seq,
        event_time: event.event_time,
        tenant: Cow::Borrowed(&event.tenant),
        action: Cow::Borrowed(&event.action),
        target: Cow::Borrowed(&event.target),
        actor: Cow::Borrowed(&event.actor),
        on_behalf_of: Cow::Borrowed(&event.on_behalf_of),
        peer: Cow::Borrowed(&event.peer),
        request_id: Cow::Borrowed(&event.request_id),
        trace_id: Cow::Borrowed(&event.trace_id),
        details: Cow::Borrowed(&event.details),
        previous_hash,
        hash: event.hash,
    }
}

impl From<ExportError> for Fault {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => error.into(),
            ExportError::Sealed(last) => {
                let message = format!("events were moved out meanwhile: export again, from seq {} on", last.seq + 1);
                Self::new(Reason::StorageUnavailable, message).retry_after(std::time::Duration::from_secs(1))
            }
            other => {
                tracing::error!(error = %other, "the export broke off");
                Self::internal()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_lies_within_what_is_in_the_database() {
        const SEALED: i64 = 10;
        const HEAD: i64 = 20;
        for (first, last, found) in [
            (0, 0, Ok((11, 20))),
            (11, 15, Ok((11, 15))),
            (16, 16, Ok((16, 16))),
            (17, 99, Ok((17, 20))),
            (17, u64::MAX, Ok((17, 20))),
            (21, 0, Ok((21, 20))),
            (21, 21, Ok((21, 20))),
            (0, 11, Ok((11, 11))),
            (0, 10, Err("last_seq")),
            (15, 14, Err("last_seq")),
            (10, 0, Err("first_seq")),
            (22, 0, Err("first_seq")),
            (u64::MAX, u64::MAX, Err("first_seq")),
        ] {
            let stretch = stretch(first, last, SEALED, HEAD).map_err(|fault| fault.field.unwrap_or_default());
            assert_eq!(stretch, found, "{first} {last}");
        }
        assert_eq!(stretch(0, 0, 0, 0), Ok((1, 0)));
    }
}
