//! The way out to the providers: by a proxy or directly, and whose certificates are believed.

use std::fmt;

use http::Uri;
use reqwest::Certificate;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Egress, Forbidden};

/// How providers are reached. The default: directly, believing the system's roots.
#[derive(Debug, Clone, Default)]
pub struct Outbound {
    /// The proxy that all connections go to.
    pub proxy: Option<EgressProxy>,
    /// CAs that are believed beside the system's roots.
    pub roots: ExtraRoots,
}

/// An HTTP proxy. Its `Debug` shows nothing, as the URL may hold a password.
#[derive(Clone)]
pub struct EgressProxy {
    url: SecretString,
    host: String,
}

/// A proxy's URL that cannot be used. It does not hold the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a URL of the form http://[user:password@]host:port")]
pub struct ProxyError;

/// CA certificates of the operator's.
#[derive(Debug, Clone, Default)]
pub struct ExtraRoots(Vec<Certificate>);

/// A bundle that holds no CA certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a PEM file with at least one certificate")]
pub struct RootsError;

impl EgressProxy {
    /// Reads `http://[user:password@]host[:port]`; user and password are percent-encoded where they hold `:`, `@` or `/`.
    ///
    /// # Errors
    /// For anything else: another scheme, a path, a query.
    pub fn parse(text: &SecretString) -> Result<Self, ProxyError> {
        let url = Url::parse(text.expose_secret()).map_err(|_| ProxyError)?;
        let bare = url.scheme() == "http" && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        // the HTTP library drops a proxy that it cannot parse, and would connect directly
        let understood = Uri::try_from(url.as_str()).is_ok_and(|uri| uri.authority().is_some());
        match url.host_str() {
            Some(host) if bare && understood && url.port() != Some(0) => {
                Ok(Self { host: host.to_owned(), url: SecretString::from(String::from(url)) })
            }
            _ => Err(ProxyError),
        }
    }

    pub(super) fn to_reqwest(&self) -> reqwest::Result<reqwest::Proxy> {
        reqwest::Proxy::all(self.url.expose_secret())
    }

    /// Resolves the proxy's own name, to whatever address: the operator chose it.
    pub(super) fn resolver(&self, egress: Egress) -> ProxyResolver {
        ProxyResolver { host: self.host.clone(), egress }
    }
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressProxy").finish_non_exhaustive()
    }
}

impl ExtraRoots {
    /// Reads a PEM bundle.
    ///
    /// # Errors
    /// When no certificate is in it. Whether each is well-formed shows when a client is made.
    pub fn parse(pem: &[u8]) -> Result<Self, RootsError> {
        let certificates = Certificate::from_pem_bundle(pem).map_err(|_| RootsError)?;
        if certificates.is_empty() { Err(RootsError) } else { Ok(Self(certificates)) }
    }

    pub(super) fn certificates(&self) -> Vec<Certificate> {
        self.0.clone()
    }
}

/// The resolver of a client that connects to its proxy alone: any other name would be a connection past it.
pub(super) struct ProxyResolver {
    host: String,
    egress: Egress,
}

impl Resolve for ProxyResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (egress, is_proxy) = (self.egress.clone(), name.as_str() == self.host);
        Box::pin(async move {
            if !is_proxy {
                return Err(Forbidden.into());
            }
            let addresses: Addrs = Box::new(egress.lookup(name.as_str(), 0).await?.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_proxy_is_a_bare_http_url_and_is_never_shown() {
        for good in
            ["http://proxy.lan:3128", "http://10.0.0.1:8080/", "http://[fd00::1]:1", "http://u:p%40{}w@proxy:3128"]
        {
            let proxy = EgressProxy::parse(&good.into()).unwrap();
            assert!(format!("{:?}", proxy.to_reqwest()).starts_with("Ok"), "{good}");
            assert_eq!(format!("{proxy:?}"), "EgressProxy { .. }");
        }
        for bad in [
            "",
            "proxy:3128",
            "https://proxy:3128",
            "socks5://proxy:1080",
            "http://",
            "http://proxy:0",
            "http://proxy:99999",
            "http://proxy:3128/path",
            "http://proxy:3128?x",
            "http://proxy:3128#x",
        ] {
            assert_eq!(EgressProxy::parse(&bad.into()).unwrap_err(), ProxyError, "{bad}");
        }
    }

    #[test]
    fn a_bundle_without_a_certificate_is_refused() {
        for bad in ["", "nothing", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(ExtraRoots::parse(bad.as_bytes()).unwrap_err(), RootsError, "{bad}");
        }
    }
}
