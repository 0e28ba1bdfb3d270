//! Workspace keys, and the records under them.

use std::fmt;

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::construction::{self, Identity};
use super::context::{Purpose, RecordContext};
use super::error::{OpenError, SealError};
use super::wrap;
use crate::encode;
use crate::keyring::RootKey;
use crate::secret::{self, SecretKey};

const WRAP_LABEL: &[u8] = b"claviger/workspace-key/v1";

/// The random key of one workspace, in one version. It is stored wrapped by a root key; forgetting every version of it
/// makes all records of the workspace unreadable.
///
/// It does not know its own tenant and version: whoever fetched it passes them, and a wrong pair opens nothing.
pub struct WorkspaceKey(SecretKey);

impl WorkspaceKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn generate() -> Result<Self, SealError> {
        Ok(Self(secret::generate()?))
    }

    /// Wraps the key for storing, as this version of this tenant's.
    ///
    /// # Errors
    /// [`SealError::NotPrimary`] unless the root key is primary, [`SealError::Random`].
    pub fn wrap(&self, root: &RootKey, tenant: &str, version: u32) -> Result<Vec<u8>, SealError> {
        wrap::wrap(root, WRAP_LABEL, &place(tenant, version), self.0.expose_secret())
    }

    /// Unwraps what [`WorkspaceKey::wrap`] made with the same root key, tenant and version.
    ///
    /// # Errors
    /// [`OpenError::OtherKey`] if another root key wrapped it (see
    /// [`wrapping_root_id`](crate::wrapping_root_id)); any other [`OpenError`] if it belongs elsewhere or was altered.
    pub fn unwrap(root: &RootKey, tenant: &str, version: u32, wrapped: &[u8]) -> Result<Self, OpenError> {
        wrap::unwrap(root, WRAP_LABEL, &place(tenant, version), wrapped).map(Self)
    }

    /// Seals a secret for storing. 82 bytes longer than the plaintext.
    ///
    /// # Errors
    /// [`SealError::Random`], [`SealError::Refused`].
    pub fn seal(
        &self,
        workspace_key_version: u32,
        context: &RecordContext<'_>,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (derivation, aad) = (context.derivation(), context.aad());
        let identity = Identity { label: Purpose::Storage.label(), derivation: &derivation, aad: &aad };
        construction::seal(self.0.expose_secret(), &workspace_key_version.to_be_bytes(), &identity, plaintext)
    }

    /// Opens what [`WorkspaceKey::seal`] made with the same key, version and context.
    ///
    /// # Errors
    /// [`OpenError::OtherKey`] if another version of the workspace key sealed it (see
    /// [`workspace_key_version`](crate::workspace_key_version)); any other [`OpenError`] if it belongs elsewhere or
    /// was altered.
    pub fn open(
        &self,
        workspace_key_version: u32,
        context: &RecordContext<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (derivation, aad) = (context.derivation(), context.aad());
        let identity = Identity { label: Purpose::Storage.label(), derivation: &derivation, aad: &aad };
        construction::open(self.0.expose_secret(), &workspace_key_version.to_be_bytes(), &identity, sealed)
    }
}

impl fmt::Debug for WorkspaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkspaceKey(redacted)")
    }
}

/// The version of the workspace key that sealed this record, as its header says. It is authenticated only by opening.
///
/// # Errors
/// [`OpenError::Truncated`], [`OpenError::Format`], [`OpenError::Algorithm`].
pub fn workspace_key_version(sealed: &[u8]) -> Result<u32, OpenError> {
    let (version, _) = construction::after_format(sealed)?.split_first_chunk().ok_or(OpenError::Truncated)?;
    Ok(u32::from_be_bytes(*version))
}

fn place(tenant: &str, version: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(80);
    encode::field(&mut out, tenant.as_bytes());
    out.extend_from_slice(&version.to_be_bytes());
    out
}
