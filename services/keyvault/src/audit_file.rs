//! The exported audit log: a file that shows by itself that nothing in it was changed. docs/audit.md documents its form.
//!
//! [`write_header`], [`write_event`] and [`write_trailer`] format what the store read, and hash nothing. [`verify`] reads
//! such files without a database, a network or a master key, and takes no word of the code that wrote them: it computes
//! the hashes by itself, from the page alone.

mod hash;
mod head;
mod lines;
mod problem;
mod record;
mod report;
mod verify;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use claviger_core::ids::Tenant;
use uuid::Uuid;

pub use head::{Head, InvalidHead};
pub use problem::{Problem, VerifyError};
pub use report::Report;
pub use verify::verify;
pub use write::{write_event, write_header, write_trailer};

/// What the header names as the file's format.
pub const FORMAT: &str = "claviger/audit-export/v1";

/// What `previous_hash` of event 1 is.
pub const GENESIS: [u8; 32] = [0; 32];

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The vault's history: a UUID that is made with its database.
    pub epoch: Uuid,
    /// Whose events the file holds.
    pub scope: Scope,
}

/// Whose events a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everyone's, without gaps.
    All {
        /// The event before the file's first: seq 0 and [`GENESIS`] where the file begins with event 1.
        after: Head,
    },
    /// One tenant's alone.
    Tenant(Tenant),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All { .. } => f.write_str("all"),
            Self::Tenant(tenant) => tenant.fmt(f),
        }
    }
}

/// An event as it is stored: eleven fields, which are hashed in this order, and two hashes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ExportedEvent<'a> {
    /// Its number, from 1.
    pub seq: i64,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub event_time: i64,
    /// `workspaces/{workspace}` or `platform`.
    pub tenant: Cow<'a, str>,
    /// What was done.
    pub action: Cow<'a, str>,
    /// The resource's name.
    pub target: Cow<'a, str>,
    /// The caller.
    pub actor: Cow<'a, str>,
    /// For whom the caller acted; empty when for itself.
    pub on_behalf_of: Cow<'a, str>,
    /// The caller's address and port.
    pub peer: Cow<'a, str>,
    /// The call's `x-request-id`.
    pub request_id: Cow<'a, str>,
    /// The call's W3C trace id; empty outside a trace.
    pub trace_id: Cow<'a, str>,
    /// The stored text of a JSON object, byte for byte.
    pub details: Cow<'a, str>,
    /// The hash of event `seq` - 1.
    #[serde(serialize_with = "head::as_hex")]
    pub previous_hash: [u8; 32],
    /// The event's own hash.
    #[serde(serialize_with = "head::as_hex")]
    pub hash: [u8; 32],
}

/// The last line of a file. A file without one was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trailer {
    /// How many events the file holds.
    pub events: u64,
    /// The last of them.
    pub last: Option<Head>,
}

impl Trailer {
    /// Counts an event that was written.
    pub fn count(&mut self, event: &ExportedEvent<'_>) {
        self.events += 1;
        self.last = Some(Head { seq: event.seq, hash: event.hash });
    }
}
