//! What is wrong with a file.

use std::fmt;
use std::path::PathBuf;

/// The first thing that is wrong, and where. It shows nothing of an event but its seq.
#[derive(Debug, thiserror::Error)]
pub struct VerifyError {
    /// The file; none for what is missing in all of them.
    pub file: Option<PathBuf>,
    /// The line in it, from 1; 0 for the file as a whole.
    pub line: u64,
    /// The event, where it is known.
    pub seq: Option<i64>,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("not verified")?,
        }
        if self.line > 0 {
            write!(f, ": line {}", self.line)?;
        }
        self.seq.map_or(Ok(()), |seq| write!(f, ": seq {seq}"))
    }
}

/// What is wrong. Fields are called by the names of docs/audit.md.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be opened or read.
    #[error("cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// The file ends before its trailer.
    #[error("the file ends before its trailer: it was cut short")]
    CutShort,
    /// Lines are bounded.
    #[error("the line is longer than 1 MiB")]
    LineTooLong,
    /// Files are UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// Each line is a JSON object.
    #[error("the line is not one JSON object")]
    NotJson,
    /// The first line names another format, or none.
    #[error("the file is not of the format claviger/audit-export/v1")]
    Format,
    /// A field is missing.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A field is there more than once.
    #[error("the field {0} is there more than once")]
    Twice(&'static str),
    /// A field is of another type or form, or must not be in such a line.
    #[error("the field {0} is not as it must be")]
    Field(&'static str),
    /// A field that the format does not have.
    #[error("there is a field that the format does not have")]
    Foreign,
    /// The file is of another history than the one before.
    #[error("the file is of another epoch than the file before")]
    Epoch,
    /// The file is of another scope than the one before.
    #[error("the file is of another scope than the file before")]
    Scope,
    /// Events are missing.
    #[error("seq {expected} must be here: events before this one are missing")]
    Gap {
        /// The first missing one.
        expected: i64,
    },
    /// An event is there again, or too late.
    #[error("seq does not increase: an event is repeated, or out of its place")]
    Order,
    /// The link to the event before is broken.
    #[error("previous_hash is not the hash of the event before")]
    Link,
    /// The event was changed.
    #[error("the event was changed: its hash is another")]
    Hash,
    /// The event is another tenant's.
    #[error("the event is not of the file's scope")]
    Tenant,
    /// The trailer tells of other events.
    #[error("the trailer does not agree with the events: {0} is another")]
    Trailer(&'static str),
    /// The trailer is not the end.
    #[error("there is more after the trailer")]
    AfterTrailer,
    /// A witnessed event is another in the files.
    #[error("the event was seen with another hash (--head)")]
    HeadDiffers,
    /// A witnessed event is not in the files.
    #[error("the event that was seen (--head) is not in the files")]
    HeadMissing,
}
