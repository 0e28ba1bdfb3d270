//! One root key.

use std::fmt;

use hmac::Mac;
use secrecy::ExposeSecret;

use super::error::{KeyProblem, KeyringError};
use crate::kdf;
use crate::secret::{self, KEY_LEN, SecretKey};

const CHECK_LABEL: &[u8] = b"claviger/check/v1";

/// Where a root key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Known to the replicas, wraps nothing yet.
    Pending,
    /// Wraps what is new, opens what it wrapped.
    Primary,
    /// Opens what it wrapped.
    DecryptOnly,
}

impl KeyState {
    /// The word in the key file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Primary => "primary",
            Self::DecryptOnly => "decrypt-only",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Primary, Self::DecryptOnly].into_iter().find(|state| state.as_str() == word)
    }
}

/// A root key. Its secret leaves it only into the key file; it is wiped on drop, and `Debug` leaves it out.
pub struct RootKey {
    id: String,
    state: KeyState,
    create_time: String,
    secret: SecretKey,
}

impl RootKey {
    /// The name that everything wrapped by this key carries: a slug of at most 63 characters.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is in its life.
    pub fn state(&self) -> KeyState {
        self.state
    }

    /// When it was made, for people: an RFC 3339 time, or "unknown".
    pub fn create_time(&self) -> &str {
        &self.create_time
    }

    /// Tells this key from any other without telling what it is: the first 16 bytes of HMAC-SHA-256(secret,
    /// "claviger/check/v1" ‖ id). Not secret. The database keeps it, so that a wrong key is noticed at the start.
    pub fn check_value(&self) -> [u8; 16] {
        check_value(self.expose(), &self.id)
    }

    pub(super) fn generate(state: KeyState, create_time: &str) -> Result<Self, KeyringError> {
        let key = Self::with_derived_id(state, create_time, secret::generate()?);
        if !is_time(create_time) {
            return Err(KeyProblem::CreateTime.of(&key.id));
        }
        Ok(key)
    }

    /// The id comes from the secret (by the check value of the empty id), so the same bytes get the same id.
    pub(super) fn with_derived_id(state: KeyState, create_time: &str, secret: SecretKey) -> Self {
        let [a, b, c, d, e, f, ..] = check_value(secret.expose_secret(), "");
        let id = format!("root-{}", hex::encode([a, b, c, d, e, f]));
        Self { id, state, create_time: create_time.to_owned(), secret }
    }

    /// A key as a file describes it; the id is a slug already.
    pub(super) fn from_parts(
        id: &str,
        state: KeyState,
        create_time: &str,
        secret: SecretKey,
    ) -> Result<Self, KeyProblem> {
        if !is_time(create_time) {
            return Err(KeyProblem::CreateTime);
        }
        Ok(Self { id: id.to_owned(), state, create_time: create_time.to_owned(), secret })
    }

    pub(super) fn set_state(&mut self, state: KeyState) {
        self.state = state;
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_LEN] {
        self.secret.expose_secret()
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKey")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("create_time", &self.create_time)
            .finish_non_exhaustive()
    }
}

pub(super) fn check_value(secret: &[u8; KEY_LEN], id: &str) -> [u8; 16] {
    let mut mac = kdf::hmac(secret);
    mac.update(CHECK_LABEL);
    mac.update(id.as_bytes());
    let full: [u8; 32] = mac.finalize().into_bytes().into();
    let mut check = [0; 16];
    check.copy_from_slice(&full[..16]);
    check
}

/// Not a parser of times: it keeps out what would need escaping, or would not be a time at all.
fn is_time(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-:.".contains(&byte);
    (1..=40).contains(&text.len()) && text.bytes().all(plain)
}
