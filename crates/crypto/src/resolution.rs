//! Resolution ids: how reports name a key that was handed out. All routing processes of a vault seal them with one key,
//! so each takes the others' reports, and nobody else can make one up.
//!
//! An id is, in base64url without padding:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | format, 1 |
//! | 16 | origin: the process that resolved, a UUIDv7 made when it started |
//! | 8 | number of the resolution at that process, from 1 (big-endian) |
//! | n + 16 | ciphertext, tag |
//!
//! AES-256-GCM. The first 25 bytes are authenticated. The nonce is the number. The key comes of the resolution key, the
//! origin and the number's upper half, so that it seals 2^32 ids at most, and no other process ever has it.

mod error;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, ExposeSecretMut};
use uuid::Uuid;
use zeroize::Zeroizing;

pub use self::error::{NotAResolution, ResolutionError};
use crate::aead::{Cipher, TAG_LEN, counter_nonce};
use crate::envelope::ServiceKey;
use crate::kdf::{self, OutputTooLong};
use crate::random;
use crate::secret::{self, KEY_LEN, SecretKey};

const FORMAT: u8 = 1;

/// From the vault's service key to the resolution key.
const KEY_LABEL: &[u8] = b"claviger/resolution-key/v1";
/// From the resolution key to the key of 2^32 ids.
const ID_LABEL: &[u8] = b"claviger/resolution-id/v1";

/// Longest id in characters.
const MAX_TEXT: usize = 2_048;
const HEADER_LEN: usize = 1 + 16 + 8;
/// What fits into the longest id.
const MAX_PLAINTEXT: usize = MAX_TEXT / 4 * 3 - HEADER_LEN - TAG_LEN;

/// The key that all routing processes of a vault seal resolution ids with. Wiped on drop.
pub struct ResolutionKey(SecretKey);

impl ResolutionKey {
    /// The one that comes of the vault's service key for this purpose, which itself never leaves the vault.
    ///
    /// # Errors
    /// Never: 32 bytes can always be derived.
    pub fn of(service: &ServiceKey) -> Result<Self, ResolutionError> {
        let mut key = SecretKey::default();
        kdf::expand(service.expose(), &[KEY_LABEL], key.expose_secret_mut())?;
        Ok(Self(key))
    }

    /// Opens what any [`ResolutionSealer::seal`] made with this key.
    ///
    /// # Errors
    /// [`NotAResolution`], whatever is wrong.
    pub fn open(&self, id: &str) -> Result<OpenedResolution, NotAResolution> {
        if id.len() > MAX_TEXT {
            return Err(NotAResolution);
        }
        let bytes = URL_SAFE_NO_PAD.decode(id).map_err(|_| NotAResolution)?;
        let (place, sealed) = Place::split(&bytes).ok_or(NotAResolution)?;
        let plaintext = self.cipher(&place)?.open(&place.nonce(), &place.header(), sealed)?;
        Ok(OpenedResolution { origin: place.origin, number: place.number, plaintext })
    }

    /// Copies a key out of a buffer that the caller wipes; `None` unless it is exactly 32 bytes long.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        secret::from_slice(bytes).map(Self)
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose_secret()
    }

    fn cipher(&self, place: &Place) -> Result<Cipher, OutputTooLong> {
        let run = (place.number >> 32).to_be_bytes();
        let mut key = Zeroizing::new([0; KEY_LEN]);
        kdf::expand(self.expose(), &[ID_LABEL, place.origin.as_bytes(), &run], key.as_mut_slice())?;
        Ok(Cipher::new(&key))
    }
}

impl fmt::Debug for ResolutionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResolutionKey(redacted)")
    }
}

/// Numbers a process's resolutions and seals their ids. One is enough for a process: it outlives the keys, as its numbers
/// go on when the vault hands out another. To be shared between tasks by reference.
#[derive(Debug)]
pub struct ResolutionSealer {
    origin: Uuid,
    /// The last number taken.
    numbered: AtomicU64,
}

impl ResolutionSealer {
    /// With an origin of its own, so that no two seal under one nonce: a UUIDv7 of the time, in milliseconds since 1970, and
    /// the operating system's randomness.
    ///
    /// # Errors
    /// [`ResolutionError::Random`].
    pub fn new(unix_millis: u64) -> Result<Self, ResolutionError> {
        let origin = uuid::Builder::from_unix_timestamp_millis(unix_millis, &random::array()?).into_uuid();
        Ok(Self { origin, numbered: AtomicU64::new(0) })
    }

    /// Names the process.
    pub fn origin(&self) -> Uuid {
        self.origin
    }

    /// Seals what a key was handed out for. Returns the id, 2,048 characters at most, and the resolution's number.
    ///
    /// # Errors
    /// [`ResolutionError::TooLong`] for more than 1,495 bytes, [`ResolutionError::Exhausted`] past 2^64 - 1 ids.
    pub fn seal(&self, key: &ResolutionKey, plaintext: &[u8]) -> Result<(String, u64), ResolutionError> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(ResolutionError::TooLong);
        }
        let place = Place { origin: self.origin, number: self.next()? };
        let header = place.header();
        let mut out = Vec::with_capacity(HEADER_LEN + plaintext.len() + TAG_LEN);
        out.extend_from_slice(&header);
        key.cipher(&place)?.seal(&place.nonce(), &header, plaintext, &mut out)?;
        Ok((URL_SAFE_NO_PAD.encode(out), place.number))
    }

    /// Takes a number that no other call gets.
    fn next(&self) -> Result<u64, ResolutionError> {
        let step = |last: u64| last.checked_add(1);
        let last = self.numbered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        last.map(|last| last + 1).map_err(|_| ResolutionError::Exhausted)
    }
}

/// A resolution id, opened.
pub struct OpenedResolution {
    /// The process that resolved.
    pub origin: Uuid,
    /// The number of the resolution there, from 1.
    pub number: u64,
    /// What the key was handed out for.
    pub plaintext: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for OpenedResolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("OpenedResolution");
        shown.field("origin", &self.origin).field("number", &self.number).finish_non_exhaustive()
    }
}

/// Which resolution an id is of. No two have the same.
struct Place {
    origin: Uuid,
    number: u64,
}

impl Place {
    /// Takes it off the front of an id's bytes.
    fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let ([FORMAT], rest) = bytes.split_first_chunk()? else { return None };
        let (origin, rest) = rest.split_first_chunk()?;
        let (number, sealed) = rest.split_first_chunk()?;
        Some((Self { origin: Uuid::from_bytes(*origin), number: u64::from_be_bytes(*number) }, sealed))
    }

    fn header(&self) -> [u8; HEADER_LEN] {
        let mut header = [FORMAT; HEADER_LEN];
        let (_, rest) = header.split_at_mut(1);
        let (origin, number) = rest.split_at_mut(16);
        origin.copy_from_slice(self.origin.as_bytes());
        number.copy_from_slice(&self.number.to_be_bytes());
        header
    }

    fn nonce(&self) -> [u8; crate::aead::NONCE_LEN] {
        counter_nonce(self.number.to_be_bytes())
    }
}

#[cfg(test)]
mod tests;
