//! Keys under a root key.

use zeroize::Zeroizing;

use super::construction::{self, Identity};
use super::error::{OpenError, SealError};
use crate::keyring::{KeyState, RootKey};
use crate::secret::{self, KEY_LEN, SecretKey};

/// The id of the root key that wrapped this, as its header says. It is authenticated only by unwrapping.
///
/// # Errors
/// [`OpenError::Truncated`], [`OpenError::Format`], [`OpenError::Algorithm`].
pub fn wrapping_root_id(wrapped: &[u8]) -> Result<&str, OpenError> {
    let (length, rest) = construction::after_format(wrapped)?.split_first().ok_or(OpenError::Truncated)?;
    let id = rest.get(..usize::from(*length)).ok_or(OpenError::Truncated)?;
    str::from_utf8(id).map_err(|_| OpenError::Format)
}

/// Wraps a key as what `label` and `place` say. Only the primary root key does.
pub(super) fn wrap(
    root: &RootKey,
    label: &'static [u8],
    place: &[u8],
    key: &[u8; KEY_LEN],
) -> Result<Vec<u8>, SealError> {
    if root.state() != KeyState::Primary {
        return Err(SealError::NotPrimary);
    }
    let identity = Identity { label, derivation: place, aad: place };
    construction::seal(root.expose(), &key_name(root), &identity, key)
}

/// Unwraps what [`wrap`] made of the same root key, label and place.
pub(super) fn unwrap(
    root: &RootKey,
    label: &'static [u8],
    place: &[u8],
    wrapped: &[u8],
) -> Result<SecretKey, OpenError> {
    let identity = Identity { label, derivation: place, aad: place };
    let key: Zeroizing<Vec<u8>> = construction::open(root.expose(), &key_name(root), &identity, wrapped)?;
    secret::from_slice(&key).ok_or(OpenError::Truncated)
}

/// A root key's id has at most 63 characters.
fn key_name(root: &RootKey) -> Vec<u8> {
    let id = root.id().as_bytes();
    let mut name = vec![u8::try_from(id.len()).unwrap_or(u8::MAX)];
    name.extend_from_slice(id);
    name
}
