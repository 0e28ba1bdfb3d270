//! Connecting providers by OAuth: none can be, and callers are told what to do instead.

use claviger_core::fault::Fault;
use claviger_core::ids::ProviderId;
use claviger_core::reason::Reason;

use super::Keys;

impl Keys {
    /// Why a provider, by its id or alias, cannot be connected by OAuth.
    #[must_use]
    pub fn refuse_oauth(&self, provider: &ProviderId) -> Fault {
        let provider = match self.provider_in("provider", provider) {
            Ok(provider) => provider,
            Err(unknown) => return unknown,
        };
        let place = provider.dashboard_url.as_deref().unwrap_or("its dashboard");
        let name = &provider.name;
        let message =
            format!("{name} cannot be connected by OAuth: make a key at {place} and store it with CreateProviderKey");
        Fault::new(Reason::OauthNotAvailable, message)
    }
}

/// Why nothing that would have been begun can be completed.
#[must_use]
pub fn nothing_begun() -> Fault {
    let message = "no provider can be connected by OAuth: make a key in the provider's dashboard, which \
        Catalog.GetProvider names, and store it with CreateProviderKey";
    Fault::new(Reason::OauthNotAvailable, message)
}
