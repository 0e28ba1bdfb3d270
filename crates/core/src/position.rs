//! A point of the vault's history, which consistency tokens stand for.

use std::fmt;

use uuid::Uuid;

/// One point of one vault's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Names the history; made with the database.
    pub epoch: Uuid,
    /// The audit sequence number, from 0 (an empty log).
    pub seq: u64,
}

impl Position {
    /// Reads what [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(token: &str) -> Option<Self> {
        let (epoch, seq) = token.split_once('.')?;
        let position = Self { epoch: Uuid::try_parse(epoch).ok()?, seq: u64::from_str_radix(seq, 16).ok()? };
        (position.to_string() == token).then_some(position)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}", self.epoch.simple(), self.seq)
    }
}

/// A resource's etag: the audit event that left it so.
#[must_use]
pub fn etag(seq: u64) -> String {
    format!("{seq:x}")
}

/// What a feed subscription's cipher is bound to: its session and the history that it tells of.
#[must_use]
pub fn session_binding(session: Uuid, epoch: Uuid) -> [u8; 32] {
    let mut binding = [0; 32];
    binding[..16].copy_from_slice(session.as_bytes());
    binding[16..].copy_from_slice(epoch.as_bytes());
    binding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_nothing_else_parses() {
        let position = Position { epoch: Uuid::from_u128(7), seq: 4_711 };
        assert_eq!(Position::parse(&position.to_string()), Some(position));
        for bad in ["", ".", "x.1", "00000000000000000000000000000007.", "00000000000000000000000000000007.+1"] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
    }
}
