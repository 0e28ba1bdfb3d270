//! Why an id could not be sealed or opened.

use thiserror::Error;

use crate::aead::Refused;
use crate::kdf::OutputTooLong;
use crate::random::NoRandomness;

/// Why an id could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ResolutionError {
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Random,
    /// The plaintext is longer than 1,495 bytes.
    #[error("the resolution does not fit into an id")]
    TooLong,
    /// 2^64 - 1 ids were sealed.
    #[error("the process has no number left for another resolution")]
    Exhausted,
}

/// The text is no id that a routing process sealed with this key. Malformed, altered and made up are one: whoever tries
/// things out learns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an id that was sealed with this key")]
pub struct NotAResolution;

impl From<NoRandomness> for ResolutionError {
    fn from(_: NoRandomness) -> Self {
        Self::Random
    }
}

impl From<OutputTooLong> for ResolutionError {
    fn from(_: OutputTooLong) -> Self {
        Self::TooLong
    }
}

impl From<Refused> for ResolutionError {
    fn from(_: Refused) -> Self {
        Self::TooLong
    }
}

impl From<OutputTooLong> for NotAResolution {
    fn from(_: OutputTooLong) -> Self {
        Self
    }
}

impl From<Refused> for NotAResolution {
    fn from(_: Refused) -> Self {
        Self
    }
}
