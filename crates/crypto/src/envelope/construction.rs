//! The one construction: a single-use key out of a long-lived one, a commitment to it, AES-256-GCM.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::error::{OpenError, SealError};
use crate::aead::{Cipher, NONCE_LEN, TAG_LEN};
use crate::kdf;
use crate::random;
use crate::secret::KEY_LEN;

const FORMAT: u8 = 1;
const ALGORITHM: u8 = 1;

const SALT_LEN: usize = 16;
const COMMITMENT_LEN: usize = 32;
const BODY_OVERHEAD: usize = SALT_LEN + COMMITMENT_LEN + NONCE_LEN + TAG_LEN;

/// What a sealed thing is, as the two computations see it.
pub(super) struct Identity<'a> {
    /// Tells this use of the long-lived key from every other.
    pub(super) label: &'static [u8],
    /// Chooses the single-use key, together with label and salt.
    pub(super) derivation: &'a [u8],
    /// Authenticated besides the header and the label.
    pub(super) aad: &'a [u8],
}

/// Seals behind a header that names the key: format ‖ algorithm ‖ `key_name` ‖ body.
pub(super) fn seal(
    key: &[u8; KEY_LEN],
    key_name: &[u8],
    identity: &Identity<'_>,
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let salt = random::array::<SALT_LEN>()?;
    let nonce = random::array::<NONCE_LEN>()?;
    let single_use = SingleUse::derive(key, &salt, identity)?;

    let mut out = Vec::with_capacity(2 + key_name.len() + BODY_OVERHEAD + plaintext.len());
    out.extend_from_slice(&[FORMAT, ALGORITHM]);
    out.extend_from_slice(key_name);
    let aad = aad(&out, identity);
    out.extend_from_slice(&salt);
    out.extend_from_slice(single_use.commitment());
    out.extend_from_slice(&nonce);
    single_use.cipher().seal(&nonce, &aad, plaintext, &mut out)?;
    Ok(out)
}

/// Opens what [`seal`] made behind the very same key name.
pub(super) fn open(
    key: &[u8; KEY_LEN],
    key_name: &[u8],
    identity: &Identity<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let named = after_format(sealed)?;
    let body = named.strip_prefix(key_name).ok_or(OpenError::OtherKey)?;
    let header = sealed.get(..sealed.len() - body.len()).ok_or(OpenError::Truncated)?;
    let (salt, body) = body.split_first_chunk::<SALT_LEN>().ok_or(OpenError::Truncated)?;
    let (commitment, body) = body.split_first_chunk::<COMMITMENT_LEN>().ok_or(OpenError::Truncated)?;
    let (nonce, body) = body.split_first_chunk::<NONCE_LEN>().ok_or(OpenError::Truncated)?;
    if body.len() < TAG_LEN {
        return Err(OpenError::Truncated);
    }

    let single_use = SingleUse::derive(key, salt, identity)?;
    if !bool::from(single_use.commitment().ct_eq(commitment)) {
        return Err(OpenError::Commitment);
    }
    Ok(single_use.cipher().open(nonce, &aad(header, identity), body)?)
}

/// What follows the format and algorithm bytes, if they are known.
pub(super) fn after_format(sealed: &[u8]) -> Result<&[u8], OpenError> {
    match sealed {
        [FORMAT, ALGORITHM, rest @ ..] => Ok(rest),
        [FORMAT, _, ..] => Err(OpenError::Algorithm),
        [FORMAT] | [] => Err(OpenError::Truncated),
        _ => Err(OpenError::Format),
    }
}

/// The header's end is known from its own bytes, and the labels from one another: plain concatenation is unambiguous.
fn aad(header: &[u8], identity: &Identity<'_>) -> Vec<u8> {
    [identity.label, header, identity.aad].concat()
}

/// `K_enc ‖ K_commit`, from HKDF-Expand(key, label ‖ salt ‖ derivation).
struct SingleUse(Zeroizing<[[u8; KEY_LEN]; 2]>);

impl SingleUse {
    fn derive(key: &[u8; KEY_LEN], salt: &[u8; SALT_LEN], identity: &Identity<'_>) -> Result<Self, kdf::OutputTooLong> {
        let mut keys = Zeroizing::new([[0; KEY_LEN]; 2]);
        kdf::expand(key, &[identity.label, salt, identity.derivation], keys.as_flattened_mut())?;
        Ok(Self(keys))
    }

    fn cipher(&self) -> Cipher {
        let [encryption, _] = &*self.0;
        Cipher::new(encryption)
    }

    fn commitment(&self) -> &[u8] {
        let [_, commitment] = &*self.0;
        commitment
    }
}
