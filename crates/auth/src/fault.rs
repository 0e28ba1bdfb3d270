//! What a refused caller hears.

use claviger_core::fault::Fault;
use claviger_core::reason::Reason;

use crate::AuthError;

/// The refusal as the caller hears it: which of the two it is, and nothing of the identity that was presented.
#[must_use]
pub fn fault(error: &AuthError) -> Fault {
    match error {
        AuthError::Unknown(_) => Fault::new(
            Reason::CallerUnknown,
            "the caller has no identity here: present a certificate with exactly one SPIFFE URI of the trust domain",
        ),
        AuthError::NotAllowed { .. } => Fault::new(Reason::NotAllowed, "the caller may not reach this service"),
    }
}
