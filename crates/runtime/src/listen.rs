//! Whether an address may be listened on: the one rule that keeps development mode off the network.

use std::net::SocketAddr;

use crate::{server::Transport, tls::Files};

/// A listen setting that must stop the start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Development mode was asked to listen beyond this machine.
    #[error("{setting}: development mode (--dev) listens on loopback alone; set a loopback address or leave --dev out")]
    NotLoopback {
        /// The setting's environment variable.
        setting: &'static str,
    },
    /// A service without `--dev` has no certificate.
    #[error(
        "{setting}: mTLS is required; set CLAVIGER_TLS_CERT, CLAVIGER_TLS_KEY and CLAVIGER_TLS_CLIENT_CA (or --dev on a developer's machine)"
    )]
    TlsRequired {
        /// The setting's environment variable.
        setting: &'static str,
    },
    /// One of the three TLS files is set without the others.
    #[error("{0}: must be set, since other TLS files are")]
    TlsFileMissing(&'static str),
}

/// How to serve RPCs on `address`, which `setting` (an environment variable's name) gave.
///
/// In development mode: plaintext, on loopback alone. Otherwise: mTLS with `files`.
///
/// # Errors
/// [`Error::NotLoopback`], [`Error::TlsRequired`].
pub fn check(setting: &'static str, address: SocketAddr, dev: bool, files: Option<Files>) -> Result<Transport, Error> {
    check_plain(setting, address, dev)?;
    match (dev, files) {
        (true, _) => Ok(Transport::Plaintext),
        (false, Some(files)) => Ok(Transport::Mtls(files)),
        (false, None) => Err(Error::TlsRequired { setting }),
    }
}

/// Whether a plaintext listener without any secret behind it (health, metrics) may use `address`: in development
/// mode, loopback alone.
///
/// # Errors
/// [`Error::NotLoopback`].
pub fn check_plain(setting: &'static str, address: SocketAddr, dev: bool) -> Result<(), Error> {
    if dev && !address.ip().to_canonical().is_loopback() {
        return Err(Error::NotLoopback { setting });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn files() -> Files {
        Files { cert: "c".into(), key: "k".into(), client_ca: "a".into() }
    }

    #[test]
    fn development_mode_listens_on_loopback_alone() {
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "192.168.1.4:1", "[::ffff:10.0.0.1]:1", "[fe80::1]:1"] {
            let error = check("X_LISTEN", address.parse().unwrap(), true, Some(files())).unwrap_err();
            assert_eq!(error, Error::NotLoopback { setting: "X_LISTEN" }, "{address}");
            assert!(error.to_string().starts_with("X_LISTEN: ") && !error.to_string().contains('\n'));
        }
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            let transport = check("X_LISTEN", address.parse().unwrap(), true, None).unwrap();
            assert!(matches!(transport, Transport::Plaintext), "{address}");
        }
    }

    #[test]
    fn outside_development_mode_tls_is_required_on_loopback_too() {
        for address in ["127.0.0.1:1", "0.0.0.0:1"] {
            let error = check("X_LISTEN", address.parse().unwrap(), false, None).unwrap_err();
            assert_eq!(error, Error::TlsRequired { setting: "X_LISTEN" });
            let transport = check("X_LISTEN", address.parse().unwrap(), false, Some(files())).unwrap();
            assert!(matches!(transport, Transport::Mtls(_)));
        }
    }
}
