//! A channel to another service: plaintext in development mode, else mTLS.
//!
//! The certificate files are read again for each new connection, so a renewed certificate is used from the next
//! reconnect on, and a bad file fails that connect alone: the channel tries again.

mod connect;

use std::{path::PathBuf, time::Duration};

use http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::tls;

/// Time to connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Without PINGs a channel never notices a partition: TCP alone takes a quarter of an hour.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where another service is, and how to talk to it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Such as `http://127.0.0.1:7300` or `https://keyvault:7300`; the scheme must fit `security`.
    pub target: String,
    /// Plaintext or mTLS.
    pub security: Security,
}

/// How a channel talks.
#[derive(Clone, Debug)]
pub enum Security {
    /// Development mode.
    Plaintext,
    /// mTLS.
    Mtls {
        /// PEM of this service's certificate and key; `client_ca` is not read.
        files: tls::Files,
        /// PEM of the CAs that sign the server's certificate.
        server_ca: PathBuf,
        /// DNS name that the server's certificate must carry.
        server_name: String,
    },
}

/// Why a channel cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target is not `http://host:port` (plaintext) or `https://host:port` (mTLS).
    #[error("the target must be http://host:port in development mode, else https://host:port")]
    Target,
    /// The server's name is not a DNS name.
    #[error("the server name is not a DNS name")]
    ServerName,
    /// The certificate files cannot be used.
    #[error("cannot use the client certificate")]
    Tls(#[from] tls::Error),
}

/// A channel that connects on first use and reconnects by itself.
///
/// Use [`crate::propagation::inject`] on each call's metadata.
///
/// # Errors
/// If the target is malformed, or the TLS files are bad now: a service does not start on bad files.
pub fn channel(config: &Config) -> Result<Channel, Error> {
    let uri: Uri = config.target.parse().map_err(|_| Error::Target)?;
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(Error::Target);
    };
    match (&config.security, scheme) {
        (Security::Plaintext, "http") => Ok(endpoint(uri).connect_lazy()),
        (Security::Mtls { files, server_ca, server_name }, "https") => {
            let address = format!("{host}:{}", uri.port_u16().unwrap_or(443));
            let dialer = connect::Dialer::new(address, files.clone(), server_ca.clone(), server_name)?;
            // tonic would ask for its own TLS on https; ours comes with the connector, and calls still say https.
            let plain: Uri =
                format!("http://{}", uri.authority().ok_or(Error::Target)?).parse().map_err(|_| Error::Target)?;
            Ok(endpoint(plain).origin(uri).connect_with_connector_lazy(dialer.connector()))
        }
        _ => Err(Error::Target),
    }
}

fn endpoint(uri: Uri) -> Endpoint {
    Endpoint::from(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
}
