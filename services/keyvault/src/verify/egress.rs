//! Where live tests may connect: public addresses, and what the operator allows besides.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use claviger_core::catalog::{EgressAllow, check_host, is_public_address};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// A destination that may not be connected to. It does not say which, as that is the caller's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the base URL leads to a private, loopback or otherwise reserved address; the operator can allow it (CLAVIGER_EGRESS_ALLOW)"
)]
pub struct Forbidden;

/// The rule where connections may go, checked when a key is stored and again at each connection.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    allow: Arc<EgressAllow>,
}

impl Egress {
    /// Public addresses and the operator's exceptions.
    #[must_use]
    pub fn new(allow: EgressAllow) -> Self {
        Self { allow: Arc::new(allow) }
    }

    /// The operator's exceptions.
    #[must_use]
    pub fn allow(&self) -> &EgressAllow {
        &self.allow
    }

    /// Checks the host of a URL: an address as it is, a name by all that it resolves to now. A name that does
    /// not resolve passes: the test that follows will say that it cannot be reached.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub async fn check(&self, canonical: &str) -> Result<(), Forbidden> {
        let url = Url::parse(canonical).map_err(|_| Forbidden)?;
        let port = url.port_or_known_default().ok_or(Forbidden)?;
        check_host(canonical, &self.allow).map_err(|_| Forbidden)?;
        match url.host() {
            Some(Host::Domain(name)) if !self.allow.allows_host(name, port) => {
                let found = tokio::net::lookup_host((name, port)).await.map(Vec::from_iter).unwrap_or_default();
                if found.iter().all(|address| self.permits(address.ip())) { Ok(()) } else { Err(Forbidden) }
            }
            _ => Ok(()),
        }
    }

    fn permits(&self, address: IpAddr) -> bool {
        is_public_address(address) || self.allow.allows_ip(address)
    }
}

/// Resolves names for the HTTP client, and hands it permitted addresses alone: what was checked is what is connected to.
impl Resolve for Egress {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if egress.allow.allows_name(name.as_str()) || found.iter().all(|a| egress.permits(a.ip())) {
                let addresses: Addrs = Box::new(found.into_iter());
                return Ok(addresses);
            }
            Err(Forbidden.into())
        })
    }
}
