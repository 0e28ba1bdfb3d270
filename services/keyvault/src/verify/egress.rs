//! Where live tests and exchanges may go: public addresses, and what the operator allows besides.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use claviger_core::catalog::{EgressAllow, check_host, is_public_address};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::{Host, Url};

/// A destination that may not be connected to. It does not say which, as that is the caller's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the base URL leads to a private, loopback or otherwise reserved address; the operator can allow it (CLAVIGER_EGRESS_ALLOW)"
)]
pub struct Forbidden;

/// Name lookups under way at most. Each holds a thread until the resolver answers, so a name whose servers are silent must
/// not take them all.
const LOOKUPS: usize = 64;
/// How long a lookup is waited for.
const LOOKUP: Duration = Duration::from_secs(3);

/// The rule where connections may go, checked when a key is stored and again at each connection.
#[derive(Debug, Clone)]
pub struct Egress {
    allow: Arc<EgressAllow>,
    lookups: Arc<Semaphore>,
}

impl Egress {
    /// Public addresses and the operator's exceptions.
    #[must_use]
    pub fn new(allow: EgressAllow) -> Self {
        Self { allow: Arc::new(allow), lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }

    /// The operator's exceptions.
    #[must_use]
    pub fn allow(&self) -> &EgressAllow {
        &self.allow
    }

    /// Checks the host of a URL: an address as it is, a name by all that it resolves to now. A name that does
    /// not resolve passes: the test that follows will say that it cannot be reached, or, with a proxy, the proxy may know
    /// it.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub async fn check(&self, canonical: &str) -> Result<(), Forbidden> {
        let url = Url::parse(canonical).map_err(|_| Forbidden)?;
        let port = url.port_or_known_default().ok_or(Forbidden)?;
        check_host(canonical, &self.allow).map_err(|_| Forbidden)?;
        match url.host() {
            Some(Host::Domain(name)) if !self.allow.allows_host(name, port) => {
                let found = self.lookup(name, port).await.unwrap_or_default();
                if found.iter().all(|address| self.permits(address.ip())) { Ok(()) } else { Err(Forbidden) }
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn lookup(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let target = (name.to_owned(), port);
        let found = async {
            let slot = self.lookups.clone().acquire_owned().await.map_err(io::Error::other)?;
            let lookup = move || {
                let _slot = slot; // kept until the resolver answers, however long nobody waits any more
                target.to_socket_addrs().map(Vec::from_iter)
            };
            tokio::task::spawn_blocking(lookup).await.map_err(io::Error::other)?
        };
        tokio::time::timeout(LOOKUP, found).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
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
            let found = egress.lookup(name.as_str(), 0).await?;
            if egress.allow.allows_name(name.as_str()) || found.iter().all(|a| egress.permits(a.ip())) {
                let addresses: Addrs = Box::new(found.into_iter());
                return Ok(addresses);
            }
            Err(Forbidden.into())
        })
    }
}
