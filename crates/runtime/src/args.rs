//! The settings that both services share, as `clap` groups to flatten into a service's own.
//!
//! Each is a flag and an environment variable. Listen addresses differ per service and belong to it.

use std::{path::PathBuf, time::Duration};

use clap::builder::BoolishValueParser;

use crate::{listen, telemetry, tls};

/// Default bound of one request message: 64 KiB.
pub const DEFAULT_MAX_REQUEST_BYTES: usize = 64 * 1024;

/// What every service needs to be told.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Process")]
pub struct Common {
    /// Development mode: INSECURE. Plaintext, callers are not identified; listens on loopback alone
    #[arg(long, env = "CLAVIGER_DEV", value_parser = BoolishValueParser::new())]
    pub dev: bool,

    /// What to log: a level or a list such as `info,claviger_keyvault=debug`. Libraries never log more than info, as below
    /// it they print what passes through them; traces are exported whatever this says
    #[arg(long, env = "CLAVIGER_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// OTLP/gRPC endpoint that traces are exported to, such as `http://collector:4317`; none: not exported
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// How long in-flight calls may take to finish after SIGTERM, in seconds
    #[arg(long, env = "CLAVIGER_SHUTDOWN_GRACE", default_value = "20", value_name = "SECONDS", value_parser = seconds)]
    pub shutdown_grace: Duration,

    /// Largest request message accepted, in bytes, at least 1024; messages that carry a secret may have 128 KiB all the same
    #[arg(long, env = "CLAVIGER_MAX_REQUEST_BYTES", default_value_t = DEFAULT_MAX_REQUEST_BYTES, value_name = "BYTES", value_parser = request_bytes)]
    pub max_request_bytes: usize,

    /// The certificate of this service.
    #[command(flatten)]
    pub tls: Tls,
}

impl Common {
    /// The telemetry of a service of this name.
    pub fn telemetry(&self, service_name: &'static str) -> telemetry::Config {
        telemetry::Config { service_name, log: self.log.clone(), otlp_endpoint: self.otlp_endpoint.clone() }
    }
}

/// Where the certificate, its key and the callers' CA lie: PEM files, read again when they change.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS (required outside --dev)")]
pub struct Tls {
    /// PEM file of this service's certificate chain, its own certificate first
    #[arg(id = "tls_cert", long = "tls-cert", env = "CLAVIGER_TLS_CERT", value_name = "FILE")]
    pub cert: Option<PathBuf>,

    /// PEM file of the certificate's private key
    #[arg(id = "tls_key", long = "tls-key", env = "CLAVIGER_TLS_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// PEM file of the CAs that sign callers' certificates
    #[arg(id = "tls_client_ca", long = "tls-client-ca", env = "CLAVIGER_TLS_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    /// The three files, or `None` if none is set.
    ///
    /// # Errors
    /// If some are set and others are not.
    pub fn files(&self) -> Result<Option<tls::Files>, listen::Error> {
        match (&self.cert, &self.key, &self.client_ca) {
            (None, None, None) => Ok(None),
            (Some(cert), Some(key), Some(client_ca)) => {
                Ok(Some(tls::Files { cert: cert.clone(), key: key.clone(), client_ca: client_ca.clone() }))
            }
            (None, ..) => Err(listen::Error::TlsFileMissing("CLAVIGER_TLS_CERT")),
            (_, None, _) => Err(listen::Error::TlsFileMissing("CLAVIGER_TLS_KEY")),
            (.., None) => Err(listen::Error::TlsFileMissing("CLAVIGER_TLS_CLIENT_CA")),
        }
    }
}

fn request_bytes(text: &str) -> Result<usize, &'static str> {
    const LEAST: usize = 1024;
    text.parse().ok().filter(|bytes| *bytes >= LEAST).ok_or("must be a number of bytes, at least 1024")
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Service {
        #[command(flatten)]
        common: Common,
    }

    #[test]
    fn every_setting_has_a_flag_an_environment_variable_and_help() {
        Service::command().debug_assert();
        for arg in Service::command().get_arguments() {
            assert!(
                arg.get_long().is_some() && arg.get_env().is_some() && arg.get_help().is_some(),
                "{}",
                arg.get_id()
            );
        }
    }

    #[test]
    fn defaults_are_secure() {
        let common = Service::parse_from(["service"]).common;
        assert!(!common.dev);
        assert_eq!(common.shutdown_grace, Duration::from_secs(20));
        assert_eq!(common.tls.files().unwrap(), None);
    }

    #[test]
    fn half_a_tls_setting_is_refused_by_name() {
        let common = Service::parse_from(["service", "--tls-cert=a", "--tls-client-ca=c"]).common;
        assert!(common.tls.files().unwrap_err().to_string().contains("CLAVIGER_TLS_KEY"));
    }
}
