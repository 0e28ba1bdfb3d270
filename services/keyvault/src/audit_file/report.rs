//! What was verified, and what that shows.

use std::fmt;

use uuid::Uuid;

use super::{Head, Scope};

/// What was verified. Its text is a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many files.
    pub files: u64,
    /// How many events, in all of them.
    pub events: u64,
    /// The vault's history, as the files name it: nothing in a file vouches for it.
    pub epoch: Uuid,
    /// The first file's scope.
    pub scope: Scope,
    /// The first event's number.
    pub first_seq: Option<i64>,
    /// The last event.
    pub last: Option<Head>,
    /// How many witnessed heads were found: all that were given.
    pub heads: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = || "none".to_owned();
        writeln!(f, "files      {}", self.files)?;
        writeln!(f, "events     {}", self.events)?;
        writeln!(f, "scope      {}", self.scope)?;
        writeln!(f, "epoch      {}", self.epoch)?;
        writeln!(f, "first seq  {}", self.first_seq.map_or_else(none, |seq| seq.to_string()))?;
        writeln!(f, "last seq   {}", self.last.map_or_else(none, |last| last.seq.to_string()))?;
        writeln!(f, "last hash  {}", self.last.map_or_else(none, |last| hex::encode(last.hash)))?;
        writeln!(f, "witnessed  {}", if self.heads == 0 { none() } else { format!("{}, all found", self.heads) })?;
        writeln!(f, "result     {}", self.result())
    }
}

impl Report {
    fn result(&self) -> String {
        match (&self.scope, self.first_seq, self.last) {
            (Scope::All { .. }, Some(first), Some(last)) => format!("whole from seq {first} to {}", last.seq),
            (Scope::All { after }, ..) => format!("nothing after seq {}", after.seq),
            (Scope::Tenant(_), ..) => {
                "each hash is right; completeness is not shown, only an export of scope all shows it".to_owned()
            }
        }
    }
}
