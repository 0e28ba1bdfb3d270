//! The log and the database against each other: the chain, the sealed segments, the head, and every row that the events
//! tell of.
//!
//! All is read in parts, each from one snapshot of the database, in which events and rows always agree: changes meanwhile
//! are seen whole or not at all. Events never change, so parts of the chain fit whenever they were read; a segment that is
//! sealed meanwhile takes the place of what it moved out.

use std::fmt;
use std::time::{Duration, Instant};

use claviger_core::audit::{Action, Detail};
use claviger_core::command::AuditScope;
use claviger_core::fault::Fault;
use claviger_crypto::GENESIS;
use futures::{Stream, StreamExt, future, stream};
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::{Audit, follow, secrets};
use crate::audit_file::Head;
use crate::store::{BoundTable, Segment, StoreError, StoredEvent, fold};
use crate::usecase::now;

/// Events read at once.
const EVENTS: u64 = 1_000;
/// Rows read at once: their ciphertexts may be of 64 KiB.
const ROWS: u64 = 200;
/// Progress is told after so much work, or so much time.
const STRIDE: u64 = 10_000;
const PAUSE: Duration = Duration::from_secs(1);

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An event's hash is not that of its content and its predecessor.
    EventAltered,
    /// An event is missing.
    EventMissing,
    /// The head does not match the last event.
    HeadMismatch,
    /// A segment's record, or what stayed of it, was altered.
    SegmentAltered,
    /// A row is not as its newest event left it.
    RowAltered,
    /// A row is missing that the events tell of.
    RowMissing,
}

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// The event, or the one that a bad row should match; 0 for none.
    pub seq: u64,
    /// The resource of a bad row.
    pub target: String,
}

impl Finding {
    pub(super) fn of_event(kind: Kind, seq: i64) -> Self {
        Self { kind, seq: u64::try_from(seq).unwrap_or_default(), target: String::new() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::EventAltered => "was altered",
            Kind::EventMissing => "is missing",
            Kind::HeadMismatch => "is not what the head says",
            Kind::SegmentAltered => "begins a segment whose record was altered",
            Kind::RowAltered => "is not what a row says",
            Kind::RowMissing => "tells of a row that is missing",
        };
        write!(f, "event {} {what}", self.seq)
    }
}

/// How far a verification is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Events that were right so far.
    pub events: u64,
    /// How many there are.
    pub total_events: u64,
    /// Rows that were right so far.
    pub rows: u64,
    /// How many there are.
    pub total_rows: u64,
    /// Set at the end: the head, or what is wrong.
    pub outcome: Option<Result<Head, Finding>>,
}

impl Audit {
    /// Verifies everything, in a stream of how far it is. The last of it has the outcome. One verification runs at a time;
    /// others wait for it.
    pub fn verify(&self) -> impl Stream<Item = Result<Progress, Fault>> + Send + 'static {
        let (sender, mut receiver) = mpsc::channel(1);
        let verification = Verification::new(self.clone(), sender);
        let end = stream::once(verification.run()).filter_map(|end| future::ready(end.err().map(Err)));
        let told = stream::poll_fn(move |context| receiver.poll_recv(context)).map(Ok);
        stream::select(told, end)
    }
}

/// Why a verification ends before its end.
enum Stop {
    Found(Finding),
    Failed(Fault),
}

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Self {
        Self::Found(finding)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

struct Verification {
    audit: Audit,
    sender: mpsc::Sender<Progress>,
    progress: Progress,
    told: (u64, Instant),
    /// The last event that is in a segment that was verified.
    sealed: Head,
    /// The last event that was verified.
    at: Head,
}

impl Verification {
    fn new(audit: Audit, sender: mpsc::Sender<Progress>) -> Self {
        let start = Head { seq: 0, hash: GENESIS };
        Self { audit, sender, progress: Progress::default(), told: (0, Instant::now()), sealed: start, at: start }
    }

    async fn run(mut self) -> Result<(), Fault> {
        let _alone = self.turn().await;
        let outcome = match self.all().await {
            Ok(()) => {
                let Progress { events, rows, .. } = self.progress;
                (self.progress.total_events, self.progress.total_rows) = (events, rows); // some may have come or gone
                Ok(self.at)
            }
            Err(Stop::Found(finding)) => {
                tracing::error!(audit.seq = finding.seq, kind = ?finding.kind, "someone wrote to the database: {finding}");
                Err(finding)
            }
            Err(Stop::Failed(fault)) => return Err(fault),
        };
        self.progress.outcome = Some(outcome);
        self.tell().await;
        Ok(())
    }

    /// Waits for other verifications, and tells that it does.
    async fn turn(&mut self) -> OwnedMutexGuard<()> {
        loop {
            let lock = self.audit.verifying.clone().lock_owned();
            match tokio::time::timeout(PAUSE, lock).await {
                Ok(alone) => return alone,
                Err(_) => self.tell().await,
            }
        }
    }

    async fn all(&mut self) -> Result<(), Stop> {
        let store = self.audit.store.clone();
        let kept = u64::try_from(store.kept_events().await?).unwrap_or_default();
        let (sealed, head) = super::export::ends(&store).await?;
        self.progress.total_events = kept + u64::try_from(head.seq - sealed.seq).unwrap_or_default();
        self.progress.total_rows = store.bound_rows().await?;
        self.before_the_first().await?;
        self.chain().await?;
        for table in BoundTable::ALL {
            self.rows(table).await?;
        }
        self.missing().await
    }

    /// Nothing stands before event 1.
    async fn before_the_first(&self) -> Result<(), Stop> {
        let odd = self.audit.store.stretch(&AuditScope::All, i64::MIN, 0, 1).await?;
        if odd.events.is_empty() { Ok(()) } else { Err(Finding::of_event(Kind::EventAltered, 0).into()) }
    }

    async fn chain(&mut self) -> Result<(), Stop> {
        loop {
            let stretch = self.audit.store.stretch(&AuditScope::All, self.at.seq, i64::MAX, EVENTS).await?;
            if stretch.sealed.seq > self.sealed.seq {
                self.segments().await?;
                continue; // from behind them
            }
            for (event, _) in &stretch.events {
                follow(&mut self.at, event)?;
                self.sealed_as_told(event)?;
            }
            self.progress.events += stretch.events.len() as u64;
            self.tell_at_times().await;
            if (stretch.events.len() as u64) < EVENTS {
                return Ok(self.end(stretch.head)?);
            }
        }
    }

    /// A segment's row stays for good. Where all of its events stayed too, nothing else would show that it is gone.
    fn sealed_as_told(&self, event: &StoredEvent) -> Result<(), Finding> {
        if event.action != Action::AuditSealed.as_str() {
            return Ok(());
        }
        let details = serde_json::from_str::<serde_json::Value>(&event.details).unwrap_or_default();
        let seq =
            |detail: Detail| details[detail.as_str()].as_str().and_then(|seq| seq.parse().ok()).unwrap_or_default();
        if seq(Detail::LastSeq) > self.sealed.seq {
            return Err(Finding::of_event(Kind::SegmentAltered, seq(Detail::FirstSeq)));
        }
        Ok(())
    }

    fn end(&self, head: Head) -> Result<(), Finding> {
        match head.seq {
            seq if seq > self.at.seq => Err(Finding::of_event(Kind::EventMissing, self.at.seq.saturating_add(1))),
            _ if head == self.at => Ok(()),
            seq => Err(Finding::of_event(Kind::HeadMismatch, seq)),
        }
    }

    /// Verifies the segments that were not yet, and goes on behind them.
    async fn segments(&mut self) -> Result<(), Stop> {
        while let Some(segment) = self.audit.store.segment_after(self.sealed.seq).await? {
            let altered = || Finding::of_event(Kind::SegmentAltered, segment.first_seq);
            let joins = segment.before == self.sealed && segment.last.seq >= segment.first_seq;
            if !segment.intact || !joins {
                return Err(altered().into());
            }
            if self.kept(&segment).await? != (segment.kept_events, segment.kept_digest) {
                return Err(altered().into());
            }
            self.sealed = segment.last;
        }
        if self.sealed.seq > self.at.seq {
            self.at = self.sealed;
        }
        Ok(())
    }

    /// What stayed of a segment.
    async fn kept(&mut self, of: &Segment) -> Result<(i64, [u8; 32]), StoreError> {
        let (mut count, mut digest, mut after) = (0, GENESIS, of.before.seq);
        loop {
            let some = self.audit.store.stretch(&AuditScope::All, after, of.last.seq, EVENTS).await?.events;
            let Some((last, _)) = some.last() else { return Ok((count, digest)) };
            after = last.seq;
            for (event, _) in &some {
                count += 1;
                digest = fold(&digest, event);
            }
            self.progress.events += some.len() as u64;
            self.tell_at_times().await;
        }
    }

    async fn rows(&mut self, table: BoundTable) -> Result<(), Stop> {
        let mut after = None;
        loop {
            let page = self.audit.store.check_rows(table, after.as_ref(), ROWS).await?;
            let keys = secrets::WorkspaceKeys::open(&self.audit.custody, &page.workspace_keys);
            for row in page.rows {
                let sound = row.intact && row.key.as_ref().is_none_or(|key| keys.is_sound(key));
                if !sound {
                    return Err(Finding { kind: Kind::RowAltered, seq: row.newest, target: row.target }.into());
                }
                self.progress.rows += 1;
            }
            self.tell_at_times().await;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn missing(&mut self) -> Result<(), Stop> {
        let mut after: Option<String> = None;
        loop {
            let (missing, next) = self.audit.store.look_for_missing(after.as_deref(), ROWS, now()).await?;
            if let Some(missing) = missing {
                return Err(Finding { kind: Kind::RowMissing, seq: missing.newest, target: missing.target }.into());
            }
            self.tell_at_times().await;
            after = next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn tell_at_times(&mut self) {
        let (work, time) = self.told;
        let now = self.progress.events + self.progress.rows;
        if now >= work + STRIDE || time.elapsed() >= PAUSE {
            self.tell().await;
        }
    }

    async fn tell(&mut self) {
        self.told = (self.progress.events + self.progress.rows, Instant::now());
        let _ = self.sender.send(self.progress.clone()).await; // who went away takes this future along
    }
}
