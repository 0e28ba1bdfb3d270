//! Why a keyring is refused.

use thiserror::Error;

use crate::random::NoRandomness;

/// Why a keyring could not be made. The text names a key by its id and repeats nothing else of the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyringError {
    /// The text is no TOML.
    #[error("the key file is not valid TOML near line {line}")]
    Syntax {
        /// Counted from 1.
        line: usize,
    },
    /// `format` is absent or not 1.
    #[error("the key file must say `format = 1`")]
    Format,
    /// A setting beside `format` and `[[key]]`. Its name stays unsaid: it may be a secret in the wrong place.
    #[error("the key file has a setting other than `format` and `[[key]]`")]
    UnknownSetting,
    /// `key` is absent or not a list of tables.
    #[error("the key file has no `[[key]]` tables")]
    NoKeys,
    /// A key's id is absent or not a slug (`[a-z0-9][a-z0-9-]{0,62}`).
    #[error("the id of `[[key]]` number {position} is missing or not a slug of 1 to 63 characters")]
    Id {
        /// Counted from 1, in the order of the file.
        position: usize,
    },
    /// Something is wrong with one key of a file.
    #[error("key {id}: {problem}")]
    Key {
        /// The key's id.
        id: String,
        /// What is wrong.
        problem: KeyProblem,
    },
    /// Something is wrong with a key that came without a file.
    #[error("the base64 master key: {0}")]
    Bare(KeyProblem),
    /// No key is primary.
    #[error("no key is primary; exactly one must be")]
    NoPrimary,
    /// A key that is to become primary does not exist or is not pending.
    #[error("no pending key has that id")]
    NotPending,
    /// The key that is to be removed is the primary one.
    #[error("that key is primary: promote another one first")]
    RetiresPrimary,
    /// The key that is to be removed does not exist.
    #[error("no key has that id")]
    NoSuchKey,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Random,
}

/// What is wrong with one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyProblem {
    /// A field that format 1 does not have. Its name stays unsaid: it may be a secret in the wrong place.
    #[error("it has a field other than id, state, create_time, secret and check")]
    UnknownField,
    /// A field is absent or not a string.
    #[error("`{0}` is missing or not a string")]
    Field(&'static str),
    /// `state` is none of the three.
    #[error("`state` must be pending, primary or decrypt-only")]
    State,
    /// `create_time` has characters that an RFC 3339 time has not, or is longer than 40.
    #[error("`create_time` is not an RFC 3339 time")]
    CreateTime,
    /// `secret` is not base64 (standard alphabet, padded).
    #[error("the secret is not padded standard base64")]
    SecretEncoding,
    /// The secret is not 32 bytes long.
    #[error("the secret is not 32 bytes long")]
    SecretLength,
    /// All bytes of the secret are the same: a placeholder, no key.
    #[error("the secret is a placeholder: all its bytes are alike")]
    WeakSecret,
    /// `check` is not 16 bytes in hexadecimal.
    #[error("`check` is not 32 hexadecimal digits")]
    CheckEncoding,
    /// `check` belongs to another secret or another id.
    #[error("`check` does not match the secret and id: the file was mistyped or mixed up")]
    CheckMismatch,
    /// An earlier key has this id.
    #[error("an earlier key has the same id")]
    DuplicateId,
    /// An earlier key has this secret.
    #[error("an earlier key has the same secret")]
    DuplicateSecret,
    /// An earlier key is primary too.
    #[error("an earlier key is primary too; exactly one must be")]
    SecondPrimary,
}

impl KeyProblem {
    pub(super) fn of(self, id: &str) -> KeyringError {
        KeyringError::Key { id: id.to_owned(), problem: self }
    }
}

impl From<NoRandomness> for KeyringError {
    fn from(_: NoRandomness) -> Self {
        Self::Random
    }
}
