//! Follows the chain through files, line by line: memory does not grow with them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::hash::hash;
use super::lines::{Line, Lines};
use super::record::Record;
use super::{ExportedEvent, GENESIS, Head, Header, Problem, Report, Scope, Trailer, VerifyError};

/// Progress is told after each so many lines.
const STRIDE: u64 = 8_192;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

/// Verifies files, in the order of their events. Each continues the one before. All of `heads` must be in them; that of the
/// event before the first counts, as the files name it too. `progress` is told from time to time how many bytes were read.
/// No files at all are a log that was cut short.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(files: &[PathBuf], heads: &[Head], progress: &mut dyn FnMut(u64)) -> Result<Report, VerifyError> {
    let mut chain = Chain::new(heads);
    let mut before = 0;
    for file in files {
        before += chain.open(file, &mut |bytes| progress(before + bytes))?;
    }
    chain.end().map_err(|(seq, problem)| VerifyError { file: None, line: 0, seq, problem })
}

/// The chain as far as it was followed.
struct Chain {
    header: Option<Header>,
    files: u64,
    events: u64,
    first_seq: Option<i64>,
    /// The event that the next one follows.
    last: Head,
    /// Each witnessed head, and whether it was found.
    heads: BTreeMap<Head, bool>,
    /// The seq that is looked at.
    at: Option<i64>,
}

impl Chain {
    fn new(heads: &[Head]) -> Self {
        let heads = heads.iter().map(|head| (*head, false)).collect();
        let last = Head { seq: 0, hash: GENESIS };
        Self { header: None, files: 0, events: 0, first_seq: None, last, heads, at: None }
    }

    /// Verifies the next file; tells its length in bytes.
    fn open(&mut self, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<u64, VerifyError> {
        let wrong = |line, seq, problem| VerifyError { file: Some(path.to_owned()), line, seq, problem };
        let file = File::open(path).map_err(|error| wrong(0, None, Problem::Unreadable(error)))?;
        let mut lines = Lines::new(BufReader::with_capacity(BUFFER, file));
        self.file(&mut lines, progress).map_err(|problem| wrong(lines.number, self.at, problem))?;
        Ok(lines.bytes)
    }

    fn file(&mut self, lines: &mut Lines<impl BufRead>, progress: &mut dyn FnMut(u64)) -> Result<(), Problem> {
        self.at = None;
        self.begin(record(lines)?.header()?)?;
        let mut seen = Trailer::default();
        loop {
            self.at = None;
            let record = record(lines)?;
            if record.has("events") {
                agree(&seen, &record.trailer()?)?;
                return lines.next()?.map_or(Ok(()), |_| Err(Problem::AfterTrailer));
            }
            self.at = record.seq();
            let event = record.event()?;
            self.event(&event)?;
            seen.count(&event);
            if lines.number.is_multiple_of(STRIDE) {
                progress(lines.bytes);
            }
        }
    }

    fn begin(&mut self, header: Header) -> Result<(), Problem> {
        if let Some(first) = &self.header {
            if first.epoch != header.epoch {
                return Err(Problem::Epoch);
            }
            if !same(&first.scope, &header.scope) {
                return Err(Problem::Scope);
            }
        }
        if let Scope::All { after } = header.scope {
            self.begin_after(after)?;
        }
        self.files += 1;
        self.header.get_or_insert(header);
        Ok(())
    }

    /// A first file may begin anywhere, any other where the one before ended.
    fn begin_after(&mut self, after: Head) -> Result<(), Problem> {
        let first = after.seq.saturating_add(1);
        self.at = Some(first);
        match self.follow(first, &after.hash, true) {
            Err(Problem::Gap { .. }) if self.files == 0 => {}
            other => other?,
        }
        self.last = after;
        self.witness(after)
    }

    fn event(&mut self, event: &ExportedEvent<'_>) -> Result<(), Problem> {
        let scope = self.header.as_ref().map(|header| &header.scope);
        let tenant = scope.and_then(|scope| match scope {
            Scope::All { .. } => None,
            Scope::Tenant(tenant) => Some(tenant),
        });
        let foreign = tenant.is_some_and(|tenant| tenant.to_string() != event.tenant);
        self.follow(event.seq, &event.previous_hash, tenant.is_none())?;
        if hash(event) != event.hash {
            return Err(Problem::Hash);
        }
        if foreign {
            return Err(Problem::Tenant);
        }
        self.witness(Head { seq: event.seq - 1, hash: event.previous_hash })?;
        self.last = Head { seq: event.seq, hash: event.hash };
        self.events += 1;
        self.first_seq.get_or_insert(event.seq);
        self.witness(self.last)
    }

    /// Whether what names its seq and the hash before it can come next.
    fn follow(&self, seq: i64, previous: &[u8; 32], gapless: bool) -> Result<(), Problem> {
        if seq <= self.last.seq {
            return Err(Problem::Order);
        }
        let expected = self.last.seq + 1; // at most seq
        match seq == expected {
            true if *previous != self.last.hash => Err(Problem::Link),
            false if gapless => Err(Problem::Gap { expected }),
            _ => Ok(()),
        }
    }

    /// Compares what the files say of an event with what was witnessed of it.
    fn witness(&mut self, said: Head) -> Result<(), Problem> {
        let of_seq = Head { hash: [0; 32], ..said }..=Head { hash: [0xff; 32], ..said };
        for (witnessed, found) in self.heads.range_mut(of_seq) {
            if witnessed.hash != said.hash {
                self.at = Some(said.seq);
                return Err(Problem::HeadDiffers);
            }
            *found = true;
        }
        Ok(())
    }

    fn end(self) -> Result<Report, (Option<i64>, Problem)> {
        let Header { epoch, scope } = self.header.ok_or((None, Problem::CutShort))?;
        if let Some((missing, _)) = self.heads.iter().find(|(_, found)| !**found) {
            return Err((Some(missing.seq), Problem::HeadMissing));
        }
        let last = self.first_seq.map(|_| self.last);
        let Self { files, events, first_seq, heads, .. } = self;
        Ok(Report { files, events, epoch, scope, first_seq, last, heads: heads.len() })
    }
}

fn record<'a>(lines: &'a mut Lines<impl BufRead>) -> Result<Record<'a>, Problem> {
    let Line { text, ended } = lines.next()?.ok_or(Problem::CutShort)?;
    Record::parse(text).map_err(|problem| if ended { problem } else { Problem::CutShort })
}

fn same(one: &Scope, other: &Scope) -> bool {
    match (one, other) {
        (Scope::All { .. }, Scope::All { .. }) => true,
        (one, other) => one == other,
    }
}

fn agree(seen: &Trailer, said: &Trailer) -> Result<(), Problem> {
    if seen.events != said.events {
        return Err(Problem::Trailer("events"));
    }
    let (seen, said) = (seen.last, said.last);
    if seen.map(|head| head.seq) != said.map(|head| head.seq) {
        return Err(Problem::Trailer("last_seq"));
    }
    if seen == said { Ok(()) } else { Err(Problem::Trailer("last_hash")) }
}
