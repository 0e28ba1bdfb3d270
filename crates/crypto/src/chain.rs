//! The hash chain of the audit log.

use sha2::{Digest, Sha256};

/// What the first event of a chain names as its predecessor.
pub const GENESIS: [u8; 32] = [0; 32];

const LABEL: &[u8] = b"claviger/audit/v1";

/// The hash of an event: SHA-256("claviger/audit/v1" ‖ previous ‖ for each field: its length, 32 bits big-endian ‖ its
/// bytes).
///
/// The lengths keep apart lists of fields whose bytes run together. A field of 4 GiB or more is counted as 2^32 - 1:
/// audit fields come out of messages of at most 128 KiB.
pub fn event_hash(previous: &[u8; 32], fields: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(LABEL);
    hash.update(previous);
    for field in fields {
        hash.update(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

/// SHA-256 (FIPS 180-4), for what is not secret: a hash of a secret is a [`ServiceKey`](crate::ServiceKey)'s work.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of a text, in hexadecimal.
#[must_use]
pub fn sha256_hex(text: &str) -> String {
    hex::encode(sha256(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(hex::encode(sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let first = event_hash(&GENESIS, &[b"key.created", b"", b"acme"]);
        assert_eq!(hex::encode(first), "14b367b346ebf5a405649e7d372090aecee9d6c34152f6181d44fc5d62543690");
        assert_eq!(
            hex::encode(event_hash(&first, &[])),
            "4d2c0f1b83ef27f423ffbe996357b06baecda7cc174602c3e2a0f05ce182af7e"
        );
    }

    #[test]
    fn every_part_counts() {
        let hash = event_hash(&GENESIS, &[b"ab", b"c"]);
        let others = [
            event_hash(&[1; 32], &[b"ab", b"c"]),
            event_hash(&GENESIS, &[b"a", b"bc"]),
            event_hash(&GENESIS, &[b"c", b"ab"]),
            event_hash(&GENESIS, &[b"ab", b"c", b""]),
            event_hash(&GENESIS, &[b"abc"]),
            event_hash(&GENESIS, &[b"ab", b"d"]),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(&hash, other, "variant {index}");
        }
    }
}
