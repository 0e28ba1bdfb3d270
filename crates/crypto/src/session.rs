//! The feed's cipher, between one vault and one routing replica, for one subscription.
//!
//! Routing makes a [`Handshake`] and sends its public key; the vault answers with an encapsulated key and holds a
//! [`SessionSealer`]; routing turns the answer into a [`SessionOpener`]. The exchange is HPKE (RFC 9180) in base mode:
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. Who is at the other end, mTLS says; HPKE keeps the records
//! closed to whatever lies between the two processes' memories.
//!
//! HPKE's own sealing opens in order and once. Routing opens a record on every resolve, in any order, so the session
//! key is exported and records are sealed with AES-256-GCM: nonce = a counter of 64 bits, which stands big-endian in
//! front of the ciphertext. One side alone seals, and the counter belongs to it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::aead::{Cipher, Refused, TAG_LEN, counter_nonce};
use crate::encode;
use crate::envelope::{Purpose, RecordContext};
use crate::random::{self, NoRandomness, OsRandom};
use crate::resolution::ResolutionKey;
use crate::secret::KEY_LEN;

const LABEL: &[u8] = b"claviger/feed/v1";

/// What is authenticated with the key of resolution ids. No record's begins so: see [`Purpose::label`].
const RESOLUTION_KEY: &[u8] = b"claviger/feed/resolution-key/v1";

/// Longest binding in bytes. HPKE's own limit is 64 KiB.
const MAX_BINDING: usize = 1024;

/// Records under one session key. NIST SP 800-38D allows 2^32 where nonces are random; a counter could go on, but the
/// subscription is renewed then.
const MAX_RECORDS: u64 = 1 << 32;

const COUNTER_LEN: usize = size_of::<u64>();

/// Why a session could not be made, or a record not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Random,
    /// The other side's public or encapsulated key is no usable X25519 key.
    #[error("the peer's key is not usable")]
    PeerKey,
    /// The binding is longer than 1,024 bytes.
    #[error("the session binding is too long")]
    Binding,
    /// 2^32 records were sealed: a new session is due.
    #[error("the session has sealed all the records it may")]
    Exhausted,
    /// The cipher refused: the plaintext is past its limit of 64 GiB.
    #[error("the cipher refused the plaintext")]
    Refused,
    /// The record was altered, or belongs to another session or context.
    #[error("the record was altered or does not belong here")]
    Record,
}

/// Routing's half of the exchange: an X25519 key for one subscription. Wiped on drop.
pub struct Handshake {
    /// On the heap, so that moving the handshake leaves no copy.
    private: Box<<X25519HkdfSha256 as Kem>::PrivateKey>,
    public: [u8; 32],
}

impl Handshake {
    /// A new random key.
    ///
    /// # Errors
    /// [`SessionError::Random`].
    pub fn new() -> Result<Self, SessionError> {
        let mut seed = Zeroizing::new([0; KEY_LEN]);
        random::fill(seed.as_mut_slice())?;
        let (private, public) = X25519HkdfSha256::derive_keypair(seed.as_slice());
        Ok(Self { private: Box::new(private), public: public.to_bytes().into() })
    }

    /// What the vault is to seal for.
    pub fn public_key(&self) -> [u8; 32] {
        self.public
    }

    /// Ends the exchange with the vault's answer. `binding` must be the vault's, byte for byte: with another one (or
    /// another vault's answer) the session comes about, but opens nothing.
    ///
    /// # Errors
    /// [`SessionError::PeerKey`], [`SessionError::Binding`].
    pub fn accept(self, encapsulated: &[u8], binding: &[u8]) -> Result<SessionOpener, SessionError> {
        let info = info(binding)?;
        let encapsulated =
            <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| SessionError::PeerKey)?;
        let context = hpke::setup_receiver::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &encapsulated,
            &info,
        )
        .map_err(|_| SessionError::PeerKey)?;
        Ok(SessionOpener { cipher: cipher(|key| context.export(LABEL, key))? })
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshake(redacted)")
    }
}

/// The vault's end of a session: it seals. To be shared between tasks by reference; wiped on drop.
pub struct SessionSealer {
    cipher: Cipher,
    /// How many records were sealed: the next nonce.
    sealed: AtomicU64,
}

impl SessionSealer {
    /// Makes a session for the holder of `public_key`. Returns what it needs to join, and the sealer. `binding` (the
    /// session's id and epoch, at most 1,024 bytes) goes into the session key.
    ///
    /// # Errors
    /// [`SessionError::PeerKey`], [`SessionError::Binding`], [`SessionError::Random`].
    pub fn establish(public_key: &[u8], binding: &[u8]) -> Result<(Vec<u8>, Self), SessionError> {
        let info = info(binding)?;
        let peer = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(public_key).map_err(|_| SessionError::PeerKey)?;
        let mut random = OsRandom::default();
        let (encapsulated, context) = hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &peer,
            &info,
            &mut random,
        )
        .map_err(|_| SessionError::PeerKey)?;
        random.finish()?;
        let cipher = cipher(|key| context.export(LABEL, key))?;
        Ok((encapsulated.to_bytes().to_vec(), Self { cipher, sealed: AtomicU64::new(0) }))
    }

    /// Seals a record. 24 bytes longer than the plaintext.
    ///
    /// # Errors
    /// [`SessionError::Exhausted`] past 2^32 records, [`SessionError::Refused`].
    pub fn seal(&self, context: &RecordContext<'_>, plaintext: &[u8]) -> Result<Vec<u8>, SessionError> {
        self.seal_as(&aad(context), plaintext)
    }

    /// Seals the key of resolution ids. It opens as that alone, never as a record, nor a record as it.
    ///
    /// # Errors
    /// As [`SessionSealer::seal`].
    pub fn seal_resolution_key(&self, key: &ResolutionKey) -> Result<Vec<u8>, SessionError> {
        self.seal_as(RESOLUTION_KEY, key.expose())
    }

    fn seal_as(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SessionError> {
        let counter = self.next()?;
        let mut out = Vec::with_capacity(COUNTER_LEN + plaintext.len() + TAG_LEN);
        out.extend_from_slice(&counter);
        self.cipher.seal(&counter_nonce(counter), aad, plaintext, &mut out).map_err(|Refused| SessionError::Refused)?;
        Ok(out)
    }

    /// Takes a number that no other call gets, and none past the limit.
    fn next(&self) -> Result<[u8; COUNTER_LEN], SessionError> {
        let step = |sealed| (sealed < MAX_RECORDS).then_some(sealed + 1);
        let number = self.sealed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        number.map(u64::to_be_bytes).map_err(|_| SessionError::Exhausted)
    }
}

impl fmt::Debug for SessionSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionSealer").field("sealed", &self.sealed).finish_non_exhaustive()
    }
}

/// Routing's end of a session: it opens, any record any number of times. Wiped on drop.
pub struct SessionOpener {
    cipher: Cipher,
}

impl SessionOpener {
    /// Opens what the session's [`SessionSealer::seal`] made under the same context.
    ///
    /// # Errors
    /// [`SessionError::Record`].
    pub fn open(&self, context: &RecordContext<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SessionError> {
        self.open_as(&aad(context), sealed)
    }

    /// Opens what the session's [`SessionSealer::seal_resolution_key`] made.
    ///
    /// # Errors
    /// [`SessionError::Record`].
    pub fn open_resolution_key(&self, sealed: &[u8]) -> Result<ResolutionKey, SessionError> {
        ResolutionKey::from_slice(&self.open_as(RESOLUTION_KEY, sealed)?).ok_or(SessionError::Record)
    }

    fn open_as(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SessionError> {
        let (counter, body) = sealed.split_first_chunk().ok_or(SessionError::Record)?;
        self.cipher.open(&counter_nonce(*counter), aad, body).map_err(|Refused| SessionError::Record)
    }
}

impl fmt::Debug for SessionOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionOpener(redacted)")
    }
}

impl From<NoRandomness> for SessionError {
    fn from(_: NoRandomness) -> Self {
        Self::Random
    }
}

fn info(binding: &[u8]) -> Result<Vec<u8>, SessionError> {
    if binding.len() > MAX_BINDING {
        return Err(SessionError::Binding);
    }
    let mut info = LABEL.to_vec();
    encode::field(&mut info, binding);
    Ok(info)
}

/// The session's cipher, out of HPKE's exporter.
fn cipher(export: impl FnOnce(&mut [u8]) -> Result<(), hpke::HpkeError>) -> Result<Cipher, SessionError> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    export(key.as_mut_slice()).map_err(|_| SessionError::PeerKey)?;
    Ok(Cipher::new(&key))
}

fn aad(context: &RecordContext<'_>) -> Vec<u8> {
    [Purpose::Feed.label(), &context.aad()].concat()
}

#[cfg(test)]
mod tests;
