//! Who is calling, and what each may reach.
//!
//! A service wraps its routes in an [`IdentityLayer`], which names the [`Caller`] of every RPC or refuses it:
//!
//! ```
//! use claviger_auth::{AuthError, Gates, IdentityLayer, Mode, SpiffeId, TrustDomain};
//! use tonic::Status;
//!
//! # fn certificates(_: &http::Extensions) -> Option<std::sync::Arc<Vec<rustls_pki_types::CertificateDer<'static>>>> { None }
//! fn refuse(error: AuthError) -> Status {
//!     match error {
//!         AuthError::Unknown(_) => Status::unauthenticated("the caller is not known"),
//!         AuthError::NotAllowed { .. } => Status::permission_denied("the caller is not allowed to"),
//!     }
//! }
//!
//! let routing: SpiffeId = "spiffe://example.org/routing".parse()?;
//! let layer = IdentityLayer::new(Mode::Mtls(TrustDomain::new("example.org")?), certificates, refuse)
//!     .with_gates(Gates::new().only("claviger.keyvault.v1.KeyFeed", [routing]));
//! # Ok::<(), claviger_auth::IdentityError>(())
//! ```

mod fault;
mod gate;
mod identity;
mod layer;

pub use fault::fault;
pub use gate::Gates;
pub use identity::{IdentityError, SpiffeId, TrustDomain, identify};
pub use layer::{Caller, Certificates, IdentityLayer, IdentityService, Mode};

/// Why a call is refused. The service turns it into its own status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The caller has no identity of the trust domain.
    #[error("the caller is not known")]
    Unknown(#[source] IdentityError),
    /// The caller is known, and may not reach this service.
    #[error("the caller may not reach this service")]
    NotAllowed {
        /// Who asked.
        caller: SpiffeId,
        /// The full name of the service asked for, one of those that a gate names.
        service: &'static str,
    },
}
