//! What a record is: the facts that are authenticated with it.

use crate::chain::sha256;
use crate::encode;

/// Where a provider secret belongs. It opens under exactly the context that it was sealed under.
///
/// The fields are compared as bytes: pass what is stored, in its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordContext<'a> {
    /// The workspace.
    pub tenant: &'a str,
    /// The user whose personal key it is, or "" for a key of the workspace.
    pub owner: &'a str,
    /// The key's id.
    pub key_id: [u8; 16],
    /// The version of the key's secret.
    pub version: u32,
    /// The provider it is a key of.
    pub provider: &'a str,
    /// How it authenticates.
    pub auth_type: &'a str,
    /// The key's own canonical base URL, if it has one: where the secret may be sent.
    pub base_url: Option<&'a str>,
    /// The key's location, if its provider has such.
    pub location: Option<&'a str>,
}

/// What a record is sealed for. The two never open as one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The database, under a workspace key.
    Storage,
    /// One subscription, under its session key.
    Feed,
}

impl Purpose {
    pub(crate) fn label(self) -> &'static [u8] {
        match self {
            Self::Storage => b"claviger/record/v1",
            Self::Feed => b"claviger/feed/record/v1",
        }
    }
}

impl RecordContext<'_> {
    /// What chooses the single-use key: workspace, key id, version.
    pub(crate) fn derivation(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        encode::field(&mut out, self.tenant.as_bytes());
        out.extend_from_slice(&self.key_id);
        out.extend_from_slice(&self.version.to_be_bytes());
        out
    }

    /// What is authenticated: every field, base URL and location as the hash of the destination that they make.
    pub(crate) fn aad(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        encode::field(&mut out, self.tenant.as_bytes());
        encode::field(&mut out, self.owner.as_bytes());
        out.extend_from_slice(&self.key_id);
        out.extend_from_slice(&self.version.to_be_bytes());
        encode::field(&mut out, self.provider.as_bytes());
        encode::field(&mut out, self.auth_type.as_bytes());
        out.extend_from_slice(&self.destination());
        out
    }

    fn destination(&self) -> [u8; 32] {
        let mut out = Vec::with_capacity(128);
        encode::optional(&mut out, self.base_url.map(str::as_bytes));
        encode::optional(&mut out, self.location.map(str::as_bytes));
        sha256(&out)
    }
}
