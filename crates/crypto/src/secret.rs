//! The one form in which this crate keeps a key: 32 bytes on the heap, wiped on drop, with a redacted `Debug`.

use secrecy::{ExposeSecretMut, SecretBox};

use crate::random::{self, NoRandomness};

/// Length in bytes of every symmetric key here.
pub(crate) const KEY_LEN: usize = 32;

/// A 32-byte key. It stays where it was allocated, so moving its owner leaves no copy behind.
pub(crate) type SecretKey = SecretBox<[u8; KEY_LEN]>;

/// A new key from the operating system's randomness.
pub(crate) fn generate() -> Result<SecretKey, NoRandomness> {
    let mut key = SecretKey::default();
    random::fill(key.expose_secret_mut())?;
    Ok(key)
}

/// Copies a key out of a buffer that the caller wipes; `None` unless it is exactly 32 bytes long.
pub(crate) fn from_slice(bytes: &[u8]) -> Option<SecretKey> {
    if bytes.len() != KEY_LEN {
        return None;
    }
    let mut key = SecretKey::default();
    key.expose_secret_mut().copy_from_slice(bytes);
    Some(key)
}
