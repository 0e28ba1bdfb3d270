//! Identities by connection: a certificate is parsed once, not once a call.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, Weak},
};

use rustls_pki_types::CertificateDer;

use crate::{IdentityError, SpiffeId, TrustDomain, identify};

type Chain = Vec<CertificateDer<'static>>;

/// Above this many entries, those of closed connections are swept out.
const SWEEP_ABOVE: usize = 256;

/// Keyed by the chain's address. The `Weak` keeps that address from being used again while its entry stands, so an
/// entry can never answer for another chain. Failures are not kept: they are answered anew each time.
#[derive(Default)]
pub(super) struct Known(RwLock<Table>);

#[derive(Default)]
struct Table {
    identities: HashMap<usize, (Weak<Chain>, SpiffeId)>,
    sweep_at: usize,
}

impl Known {
    pub(super) fn identify(&self, chain: &Arc<Chain>, trust_domain: &TrustDomain) -> Result<SpiffeId, IdentityError> {
        let key = Arc::as_ptr(chain) as usize;
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, id)) = table.identities.get(&key) {
            return Ok(id.clone());
        }
        drop(table);
        let id = identify(chain, trust_domain)?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, chain, id.clone());
        Ok(id)
    }
}

impl Table {
    fn insert(&mut self, key: usize, chain: &Arc<Chain>, id: SpiffeId) {
        if self.identities.len() >= self.sweep_at.max(SWEEP_ABOVE) {
            self.identities.retain(|_, (chain, _)| chain.strong_count() > 0);
            self.sweep_at = self.identities.len() * 2;
        }
        self.identities.insert(key, (Arc::downgrade(chain), id));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn chain(path: &str) -> Arc<Chain> {
        crate::layer::tests::chain(&[&format!("spiffe://example.org/{path}")])
    }

    #[test]
    fn entries_of_closed_connections_go_and_never_answer_for_others() {
        let (known, domain) = (Known::default(), TrustDomain::new("example.org").unwrap());
        let held = chain("held");
        known.identify(&held, &domain).unwrap();
        let (one, two) = (chain("one"), chain("two"));
        for _ in 0..SWEEP_ABOVE {
            // New connections of the same two callers, closed at once: the allocator likes to give their place again.
            for (name, chain) in [("/one", &one), ("/two", &two)] {
                let connection = Arc::new(Chain::clone(chain));
                assert_eq!(known.identify(&connection, &domain).unwrap().path(), name);
                assert_eq!(known.identify(&connection, &domain).unwrap().path(), name);
            }
        }
        let table = known.0.read().unwrap();
        assert!(table.identities.len() <= SWEEP_ABOVE);
        assert!(table.identities.contains_key(&(Arc::as_ptr(&held) as usize)));
    }
}
