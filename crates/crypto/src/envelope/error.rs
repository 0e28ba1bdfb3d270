//! Why something could not be sealed or opened.

use thiserror::Error;

use crate::aead::Refused;
use crate::kdf::OutputTooLong;
use crate::random::NoRandomness;

/// Why something could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Random,
    /// The root key is not the primary one: pending keys do not wrap yet, decrypt-only keys no more.
    #[error("only the primary root key wraps")]
    NotPrimary,
    /// The cipher refused: the plaintext is past its limit of 64 GiB.
    #[error("the cipher refused the plaintext")]
    Refused,
}

/// Why something could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// It is shorter than the smallest sealed thing, or cut inside its header.
    #[error("the sealed bytes are cut short")]
    Truncated,
    /// Its format byte is unknown: written by a newer release, or never sealed at all.
    #[error("the sealed bytes have an unknown format")]
    Format,
    /// Its algorithm byte is unknown.
    #[error("the sealed bytes name an unknown algorithm")]
    Algorithm,
    /// It names another key version or root key than the one given.
    #[error("the sealed bytes were sealed with another key than the one given")]
    OtherKey,
    /// The commitment does not match: another key with the same name, another tenant, key or version, or tampering.
    #[error("the sealed bytes do not belong to this key and place")]
    Commitment,
    /// The tag does not match: another context, or tampering.
    #[error("the sealed bytes were altered or do not belong here")]
    Tag,
}

impl From<NoRandomness> for SealError {
    fn from(_: NoRandomness) -> Self {
        Self::Random
    }
}

impl From<OutputTooLong> for SealError {
    fn from(_: OutputTooLong) -> Self {
        Self::Refused
    }
}

impl From<Refused> for SealError {
    fn from(_: Refused) -> Self {
        Self::Refused
    }
}

impl From<OutputTooLong> for OpenError {
    fn from(_: OutputTooLong) -> Self {
        Self::Commitment
    }
}

impl From<Refused> for OpenError {
    fn from(_: Refused) -> Self {
        Self::Tag
    }
}
