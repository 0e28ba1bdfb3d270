//! Services that some callers alone may reach.

use std::collections::HashSet;

use crate::{AuthError, Caller, SpiffeId};

/// The first rules that a known caller meets: by service name, before any role is looked at.
///
/// A service without a gate is open to every caller of the trust domain.
#[derive(Clone, Debug, Default)]
pub struct Gates(Vec<Gate>);

#[derive(Clone, Debug)]
struct Gate {
    service: &'static str,
    admits: HashSet<SpiffeId>,
}

impl Gates {
    /// No gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a service (its full name, `claviger.keyvault.v1.KeyFeed`) to these callers alone; to nobody, if there is
    /// none. In development mode, where callers have no identity, to anyone.
    #[must_use]
    pub fn only(mut self, service: &'static str, callers: impl IntoIterator<Item = SpiffeId>) -> Self {
        self.0.push(Gate { service, admits: callers.into_iter().collect() });
        self
    }

    /// Whether `caller` may reach the RPC at `path` (`/service/method`). Each gate of the service must admit it.
    ///
    /// # Errors
    /// [`AuthError::NotAllowed`].
    pub fn check(&self, caller: &Caller, path: &str) -> Result<(), AuthError> {
        let Caller::Peer(id) = caller else {
            return Ok(());
        };
        let refusing = self.0.iter().find(|gate| gate.covers(path) && !gate.admits.contains(id));
        match refusing {
            None => Ok(()),
            Some(gate) => Err(AuthError::NotAllowed { caller: id.clone(), service: gate.service }),
        }
    }
}

impl Gate {
    fn covers(&self, path: &str) -> bool {
        path.strip_prefix('/')
            .and_then(|path| path.strip_prefix(self.service))
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const FEED: &str = "/claviger.keyvault.v1.KeyFeed/Subscribe";

    fn peer(path: &str) -> Caller {
        Caller::Peer(format!("spiffe://example.org/{path}").parse().unwrap())
    }

    fn gates() -> Gates {
        let routing = "spiffe://example.org/routing".parse().unwrap();
        Gates::new().only("claviger.keyvault.v1.KeyFeed", [routing])
    }

    #[test]
    fn a_gated_service_admits_the_named_caller_alone() {
        assert_eq!(gates().check(&peer("routing"), FEED), Ok(()));
        for other in ["Routing", "routing2", "routing/x", "rout"] {
            let error = gates().check(&peer(other), FEED).unwrap_err();
            assert!(matches!(error, AuthError::NotAllowed { service: "claviger.keyvault.v1.KeyFeed", .. }), "{other}");
        }
    }

    #[test]
    fn other_services_are_open_and_development_mode_is_open() {
        assert_eq!(gates().check(&peer("settings"), "/claviger.keyvault.v1.KeyVault/GetProviderKey"), Ok(()));
        assert_eq!(gates().check(&peer("settings"), "/claviger.keyvault.v1.KeyFeedback/Send"), Ok(()));
        assert_eq!(gates().check(&Caller::Development, FEED), Ok(()));
    }

    #[test]
    fn an_empty_gate_admits_nobody() {
        let closed = Gates::new().only("claviger.keyvault.v1.KeyFeed", []);
        assert!(closed.check(&peer("routing"), FEED).is_err());
    }
}
