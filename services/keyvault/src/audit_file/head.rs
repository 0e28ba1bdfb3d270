//! One event's number and hash: all of the log up to it, in one line.

use std::fmt;
use std::str::FromStr;

/// An event's number and hash. Seq 0 with 32 zero bytes stands before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// The event's number, at least 0.
    pub seq: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// The text is not `SEQ:HASH`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be SEQ:HASH, a number and 64 hexadecimal digits")]
pub struct InvalidHead;

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let (seq, hex) = text.split_once(':').ok_or(InvalidHead)?;
        let seq = seq.parse().ok().filter(|seq| *seq >= 0).ok_or(InvalidHead)?;
        Ok(Self { seq, hash: hash(&hex.to_ascii_lowercase()).ok_or(InvalidHead)? })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex::encode(self.hash))
    }
}

/// A hash as files have it: 64 lower-case hexadecimal digits.
pub(super) fn hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).ok()?;
    (!text.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(hash)
}

/// Writes a hash as files have it.
pub(super) fn as_hex<S: serde::Serializer>(hash: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hex::encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_what_it_writes_and_nothing_else() {
        let head = Head { seq: 7, hash: [0xab; 32] };
        let text = head.to_string();
        assert_eq!(text.parse(), Ok(head));
        assert_eq!(text.to_uppercase().parse(), Ok(head));
        for wrong in
            ["", "7", "7:", &text[1..], &format!("-{text}"), &text[..65], &format!("{text}0"), &format!("{text} ")]
        {
            assert_eq!(wrong.parse::<Head>(), Err(InvalidHead), "{wrong}");
        }
    }
}
