//! Writes the lines of a file. Formatting only: the hashes are the store's.

use std::io::{self, Write};

use serde::Serialize;

use super::{ExportedEvent, FORMAT, Head, Header, Scope, Trailer, head};

/// Writes the first line.
///
/// # Errors
/// What the writer says.
pub fn write_header(out: impl Write, header: &Header) -> io::Result<()> {
    let after = match header.scope {
        Scope::All { after } => Some(after),
        Scope::Tenant(_) => None,
    };
    let (epoch, scope) = (header.epoch.to_string(), header.scope.to_string());
    line(out, &HeaderLine { format: FORMAT, epoch, scope, after: after.map(After::from) })
}

/// Writes an event's line. Events go in the order of `seq`.
///
/// # Errors
/// What the writer says.
pub fn write_event(out: impl Write, event: &ExportedEvent<'_>) -> io::Result<()> {
    line(out, event)
}

/// Writes the last line. Its [`Trailer`] has [counted](Trailer::count) all events.
///
/// # Errors
/// What the writer says.
pub fn write_trailer(out: impl Write, trailer: &Trailer) -> io::Result<()> {
    line(out, &TrailerLine { events: trailer.events, last: trailer.last.map(Last::from) })
}

fn line(mut out: impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct HeaderLine {
    format: &'static str,
    epoch: String,
    scope: String,
    #[serde(flatten)]
    after: Option<After>,
}

#[derive(Serialize)]
struct After {
    first_seq: i64,
    #[serde(serialize_with = "head::as_hex")]
    previous_hash: [u8; 32],
}

impl From<Head> for After {
    fn from(after: Head) -> Self {
        Self { first_seq: after.seq.saturating_add(1), previous_hash: after.hash }
    }
}

#[derive(Serialize)]
struct TrailerLine {
    events: u64,
    #[serde(flatten)]
    last: Option<Last>,
}

#[derive(Serialize)]
struct Last {
    last_seq: i64,
    #[serde(serialize_with = "head::as_hex")]
    last_hash: [u8; 32],
}

impl From<Head> for Last {
    fn from(last: Head) -> Self {
        Self { last_seq: last.seq, last_hash: last.hash }
    }
}
