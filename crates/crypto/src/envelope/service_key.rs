//! Keys of the vault as a whole: for fingerprints, row tags, page tokens, resolution ids.

use std::fmt;

use hmac::Mac;
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::error::{OpenError, SealError};
use super::wrap;
use crate::encode;
use crate::kdf;
use crate::keyring::RootKey;
use crate::secret::{self, KEY_LEN, SecretKey};

const WRAP_LABEL: &[u8] = b"claviger/service-key/v1";

/// A random key for one purpose. It is stored wrapped by a root key and rewrapped with it, so that what was computed
/// under it outlives a rotation of the root.
pub struct ServiceKey(SecretKey);

impl ServiceKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn generate() -> Result<Self, SealError> {
        Ok(Self(secret::generate()?))
    }

    /// Wraps the key for storing, for this purpose alone.
    ///
    /// # Errors
    /// [`SealError::NotPrimary`] unless the root key is primary, [`SealError::Random`].
    pub fn wrap(&self, root: &RootKey, purpose: &str) -> Result<Vec<u8>, SealError> {
        wrap::wrap(root, WRAP_LABEL, &place(purpose), self.0.expose_secret())
    }

    /// Unwraps what [`ServiceKey::wrap`] made with the same root key and purpose.
    ///
    /// # Errors
    /// [`OpenError::OtherKey`] if another root key wrapped it; any other [`OpenError`] if it has another purpose or
    /// was altered.
    pub fn unwrap(root: &RootKey, purpose: &str, wrapped: &[u8]) -> Result<Self, OpenError> {
        wrap::unwrap(root, WRAP_LABEL, &place(purpose), wrapped).map(Self)
    }

    /// HMAC-SHA-256 over the domain and then each part, each behind its length (64 bits, big-endian).
    pub fn mac(&self, domain: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = kdf::hmac(self.0.expose_secret());
        for part in [domain.as_bytes()].iter().chain(parts) {
            mac.update(&encode::length(part));
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` is the [`ServiceKey::mac`] of these parts, compared in constant time.
    pub fn verify(&self, domain: &str, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.mac(domain, parts).as_slice().ct_eq(tag).into()
    }

    /// To derive another key from. A service key is good for that or for [`ServiceKey::mac`], never for both.
    pub(crate) fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKey(redacted)")
    }
}

fn place(purpose: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    encode::field(&mut out, purpose.as_bytes());
    out
}
