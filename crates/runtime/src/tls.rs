//! Server-side mTLS over PEM files that may change while the service runs.
//!
//! tonic's own TLS configuration is fixed at the start, so certificates of a few hours' life need an acceptor of our
//! own. The files' content is read again every ten seconds; a good set replaces the old for new connections, a bad
//! one is logged and changes nothing.

mod reload;
mod stream;

use std::{path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

pub use reload::{Certificates, RELOAD_INTERVAL};
pub use stream::{PeerInfo, Stream, peer_address, peer_certificates};

/// Where the PEM files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// This service's certificate chain, its own certificate first.
    pub cert: PathBuf,
    /// The private key of the first certificate.
    pub key: PathBuf,
    /// The CAs that sign callers' certificates.
    pub client_ca: PathBuf,
}

/// Why a set of TLS files cannot be used. Says which file, and nothing of its content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read the TLS file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not PEM of what it should hold.
    #[error("{} holds no usable PEM {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The files do not make a working whole, such as a key that is not the certificate's.
    #[error("certificate, key and CA do not fit together")]
    Unusable(#[source] rustls::Error),
    /// The CA file cannot verify anyone.
    #[error("the CA file cannot verify certificates")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

/// The files' content, as read in one go.
pub(crate) struct Pem {
    pub(crate) cert: Vec<u8>,
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) ca: Vec<u8>,
}

impl Pem {
    pub(crate) fn read(files: &Files) -> Result<Self, Error> {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source });
        Ok(Self { cert: read(&files.cert)?, key: Zeroizing::new(read(&files.key)?), ca: read(&files.client_ca)? })
    }
}

/// Parsed certificates and key.
pub(crate) struct Parsed {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) roots: Arc<RootCertStore>,
}

impl Parsed {
    pub(crate) fn new(files: &Files, pem: &Pem) -> Result<Self, Error> {
        let bad = |path: &PathBuf, what| Error::Pem { path: path.clone(), what };
        let chain = certificates(&pem.cert).ok_or_else(|| bad(&files.cert, "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| bad(&files.key, "private key"))?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&pem.ca).ok_or_else(|| bad(&files.client_ca, "CA certificate"))? {
            roots.add(root).map_err(|_| bad(&files.client_ca, "CA certificate"))?;
        }
        Ok(Self { chain, key, roots: Arc::new(roots) })
    }
}

/// All certificates of a PEM text; `None` if there is none or one is broken.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty())
}

fn server_config(parsed: Parsed) -> Result<ServerConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(parsed.roots, provider.clone()).build().map_err(Error::Verifier)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(parsed.chain, parsed.key)
        .map_err(Error::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session is not verified anew: it would outlive its certificate. Connections are long, handshakes few.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[cfg(test)]
mod tests;
