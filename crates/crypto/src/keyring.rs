//! The root keys, as the operator holds them.
//!
//! A root key lives through `pending` (every replica has it, nothing is wrapped with it yet), `primary` (it wraps what
//! is new) and `decrypt-only` (it opens what is old), until the operator deletes it. What it wraps names it, so the
//! right one is fetched by id and none is ever tried out.

mod error;
mod file;
mod root_key;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use self::error::{KeyProblem, KeyringError};
pub use self::root_key::{KeyState, RootKey};
use crate::secret::{self, KEY_LEN, SecretKey};

/// The root keys, exactly one of them primary.
#[derive(Debug)]
pub struct Keyring {
    primary: RootKey,
    others: Vec<RootKey>,
}

impl Keyring {
    /// A new keyring of one random key, which is primary.
    ///
    /// `create_time` is what the file says to its readers, an RFC 3339 time.
    ///
    /// # Errors
    /// [`KeyringError::Random`], or [`KeyProblem::CreateTime`] for a time of other characters than RFC 3339 uses.
    pub fn generate(create_time: &str) -> Result<Self, KeyringError> {
        Ok(Self::of_one(RootKey::generate(KeyState::Primary, create_time)?))
    }

    /// Reads a key file of format 1, as [`Keyring::to_text`] writes it. The caller wipes the text.
    ///
    /// # Errors
    /// Anything but a complete keyring whose every check value matches; see [`KeyringError`].
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        Self::from_keys(file::parse(text)?)
    }

    /// A keyring of one primary key, from the base64 (standard alphabet, padded) of its 32 bytes. White space around
    /// it, as a file's last newline, is ignored. The key's id is the one that [`Keyring::generate`] would give to
    /// these bytes, so that a key which moves into a file by [`Keyring::to_text`] still opens what it wrapped.
    ///
    /// # Errors
    /// [`KeyringError::Bare`] with [`KeyProblem::SecretEncoding`], [`KeyProblem::SecretLength`] or
    /// [`KeyProblem::WeakSecret`].
    pub fn from_base64(text: &str) -> Result<Self, KeyringError> {
        let secret = decode_secret(text.trim_ascii()).map_err(KeyringError::Bare)?;
        Ok(Self::of_one(RootKey::with_derived_id(KeyState::Primary, "unknown", secret)))
    }

    /// The key file: a commented header, then one table a key. It holds the secrets in the clear.
    pub fn to_text(&self) -> Zeroizing<String> {
        file::write(self.iter())
    }

    /// The key that wraps what is new.
    pub fn primary(&self) -> &RootKey {
        &self.primary
    }

    /// The key of that id, in whatever state.
    pub fn get(&self, id: &str) -> Option<&RootKey> {
        self.iter().find(|key| key.id() == id)
    }

    /// Every key: the primary one first, the others as the file has them.
    pub fn iter(&self) -> impl Iterator<Item = &RootKey> + Clone {
        std::iter::once(&self.primary).chain(&self.others)
    }

    /// Adds a random key that wraps nothing yet, the first step of a rotation, and returns its id.
    ///
    /// # Errors
    /// As [`Keyring::generate`].
    pub fn add_pending(&mut self, create_time: &str) -> Result<String, KeyringError> {
        let key = RootKey::generate(KeyState::Pending, create_time)?;
        let id = key.id().to_owned();
        self.others.push(key);
        Ok(id)
    }

    /// Makes a pending key primary and the primary one decrypt-only: the second step of a rotation, once every replica
    /// has the new key.
    ///
    /// # Errors
    /// [`KeyringError::NotPending`]; the keyring is then as it was.
    pub fn promote(&mut self, id: &str) -> Result<(), KeyringError> {
        let is_it = |key: &&mut RootKey| key.id() == id && key.state() == KeyState::Pending;
        let next = self.others.iter_mut().find(is_it).ok_or(KeyringError::NotPending)?;
        std::mem::swap(&mut self.primary, next);
        self.primary.set_state(KeyState::Primary);
        next.set_state(KeyState::DecryptOnly);
        Ok(())
    }

    /// Takes out a key that is not primary, the last step of a rotation. Whatever is still wrapped with it will never
    /// be opened again: the caller makes sure that nothing is.
    ///
    /// # Errors
    /// [`KeyringError::RetiresPrimary`] and [`KeyringError::NoSuchKey`]; the keyring is then as it was.
    pub fn retire(&mut self, id: &str) -> Result<RootKey, KeyringError> {
        if self.primary.id() == id {
            return Err(KeyringError::RetiresPrimary);
        }
        let index = self.others.iter().position(|key| key.id() == id).ok_or(KeyringError::NoSuchKey)?;
        Ok(self.others.remove(index))
    }

    fn of_one(primary: RootKey) -> Self {
        Self { primary, others: Vec::new() }
    }

    fn from_keys(keys: Vec<RootKey>) -> Result<Self, KeyringError> {
        refuse_duplicates(&keys)?;
        let mut primary = None;
        let mut others = Vec::new();
        for key in keys {
            if key.state() != KeyState::Primary {
                others.push(key);
            } else if primary.is_some() {
                return Err(KeyProblem::SecondPrimary.of(key.id()));
            } else {
                primary = Some(key);
            }
        }
        Ok(Self { primary: primary.ok_or(KeyringError::NoPrimary)?, others })
    }
}

fn refuse_duplicates(keys: &[RootKey]) -> Result<(), KeyringError> {
    for (index, key) in keys.iter().enumerate() {
        let earlier = || keys.iter().take(index);
        if earlier().any(|other| other.id() == key.id()) {
            return Err(KeyProblem::DuplicateId.of(key.id()));
        }
        if earlier().any(|other| other.expose().ct_eq(key.expose()).into()) {
            return Err(KeyProblem::DuplicateSecret.of(key.id()));
        }
    }
    Ok(())
}

/// Reads the base64 of 32 bytes that are not all alike.
fn decode_secret(text: &str) -> Result<SecretKey, KeyProblem> {
    // Room for a little more than a key, so that a slightly longer one is refused for its length and not its form.
    let mut buffer = Zeroizing::new([0_u8; KEY_LEN + 4]);
    let length = STANDARD.decode_slice(text, buffer.as_mut_slice()).map_err(|error| match error {
        base64::DecodeSliceError::DecodeError(_) => KeyProblem::SecretEncoding,
        base64::DecodeSliceError::OutputSliceTooSmall => KeyProblem::SecretLength,
    })?;
    let bytes = buffer.get(..length).ok_or(KeyProblem::SecretLength)?;
    let secret = secret::from_slice(bytes).ok_or(KeyProblem::SecretLength)?;
    if bytes.windows(2).all(|pair| pair.first() == pair.last()) {
        return Err(KeyProblem::WeakSecret);
    }
    Ok(secret)
}

/// What the key's check value would be under another id.
#[cfg(test)]
pub(crate) fn check_value_of(key: &RootKey, id: &str) -> [u8; 16] {
    root_key::check_value(key.expose(), id)
}

#[cfg(test)]
mod tests;
