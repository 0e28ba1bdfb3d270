//! SPIFFE identities, from the certificates that TLS has verified.
//!
//! An X.509-SVID carries exactly one URI SAN (SPIFFE X.509-SVID, section 2). Names are compared byte for byte:
//! nothing is folded, decoded or trimmed, so there is one spelling of each name and all others are someone else.

use std::{fmt, str::FromStr, sync::Arc};

use rustls_pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
};

/// Longest SPIFFE ID, in bytes (SPIFFE-ID, section 2.3).
const MAX_LENGTH: usize = 2048;
/// Longest trust domain name, in bytes (SPIFFE-ID, section 2.1).
const MAX_TRUST_DOMAIN: usize = 255;
const SCHEME: &str = "spiffe://";

/// Why certificates name nobody. Never holds what they said: it came from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The connection carries no certificate.
    #[error("no client certificate")]
    NoCertificate,
    /// The certificate is not one.
    #[error("the client certificate cannot be read")]
    Malformed,
    /// The certificate names no URI.
    #[error("the client certificate has no URI name")]
    NoUri,
    /// The certificate names several URIs: which one would be meant?
    #[error("the client certificate has more than one URI name")]
    SeveralUris,
    /// The URI does not begin with `spiffe://`, in just these bytes.
    #[error("the name is not a SPIFFE ID")]
    Scheme,
    /// The trust domain is empty, too long, or has other characters than `[a-z0-9._-]`.
    #[error("the SPIFFE ID's trust domain is malformed")]
    TrustDomain,
    /// The path is absent, has an empty, `.` or `..` segment, or other characters than `[A-Za-z0-9._-]`.
    #[error("the SPIFFE ID's path is malformed")]
    Path,
    /// More than 2,048 bytes.
    #[error("the SPIFFE ID is too long")]
    TooLong,
    /// A well-formed identity of someone else's.
    #[error("the caller is of another trust domain")]
    ForeignTrustDomain,
}

/// The name of those whom one authority identifies, such as `example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Checks a name.
    ///
    /// # Errors
    /// [`IdentityError::TrustDomain`].
    pub fn new(name: &str) -> Result<Self, IdentityError> {
        check_trust_domain(name)?;
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = IdentityError;

    fn from_str(name: &str) -> Result<Self, IdentityError> {
        Self::new(name)
    }
}

/// `spiffe://<trust domain>/<path>`, well-formed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    /// Where the path's slash is.
    path: usize,
}

impl SpiffeId {
    /// The whole ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.path]
    }

    /// The path, with its leading slash.
    pub fn path(&self) -> &str {
        &self.text[self.path..]
    }
}

impl FromStr for SpiffeId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if text.len() > MAX_LENGTH {
            return Err(IdentityError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(IdentityError::Scheme)?;
        let slash = rest.find('/').unwrap_or(rest.len());
        let (domain, path) = rest.split_at(slash);
        check_trust_domain(domain)?;
        check_path(path)?;
        Ok(Self { text: text.into(), path: SCHEME.len() + slash })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The identity in a verified chain (its own certificate first), which must be of `trust_domain`.
///
/// # Errors
/// Whatever keeps the chain from naming exactly one caller of the trust domain.
pub fn identify(chain: &[CertificateDer<'_>], trust_domain: &TrustDomain) -> Result<SpiffeId, IdentityError> {
    let leaf = chain.first().ok_or(IdentityError::NoCertificate)?;
    let id: SpiffeId = only_uri(leaf)?.parse()?;
    if id.trust_domain() != trust_domain.as_str() {
        return Err(IdentityError::ForeignTrustDomain);
    }
    Ok(id)
}

/// The certificate's one URI SAN. All SAN extensions count, and a name that cannot be read counts as malformed.
fn only_uri(der: &CertificateDer<'_>) -> Result<String, IdentityError> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::Malformed)?;
    if !rest.is_empty() {
        return Err(IdentityError::Malformed);
    }
    let mut uris = Vec::new();
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    match name {
                        GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                        GeneralName::Invalid(..) => return Err(IdentityError::Malformed),
                        _ => {}
                    }
                }
            }
            ParsedExtension::ParseError { .. } => return Err(IdentityError::Malformed),
            _ => {}
        }
    }
    match uris.len() {
        0 => Err(IdentityError::NoUri),
        1 => Ok(uris.remove(0)),
        _ => Err(IdentityError::SeveralUris),
    }
}

fn check_trust_domain(name: &str) -> Result<(), IdentityError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    let valid = (1..=MAX_TRUST_DOMAIN).contains(&name.len()) && name.bytes().all(allowed);
    if valid { Ok(()) } else { Err(IdentityError::TrustDomain) }
}

fn check_path(path: &str) -> Result<(), IdentityError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let segment = |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(allowed);
    let segments = path.strip_prefix('/').ok_or(IdentityError::Path)?;
    if segments.split('/').all(segment) { Ok(()) } else { Err(IdentityError::Path) }
}

#[cfg(test)]
mod tests;
