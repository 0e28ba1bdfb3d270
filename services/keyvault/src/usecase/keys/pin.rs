//! Which key a standing order's slug names.

use claviger_core::fault::Fault;
use claviger_core::ids::{KeySlug, Owner, ProviderId};
use claviger_core::reason::Reason;

use super::check_usable;
use crate::store::WriteTxn;

/// Makes sure that the first of these owners who has an unrevoked key of this slug has it of this provider, if one is named.
///
/// # Errors
/// `KEY_NOT_FOUND`, `PROVIDER_MISMATCH`, `KEY_ALTERED`.
pub(in crate::usecase) async fn check_pin(
    txn: &WriteTxn,
    owners: &[Owner],
    slug: &KeySlug,
    provider: Option<&ProviderId>,
) -> Result<(), Fault> {
    for owner in owners {
        let Some(stored) = txn.key_of_slug(owner, slug).await? else { continue };
        check_usable(&stored)?;
        return match provider {
            Some(provider) if *provider != stored.key.provider => {
                Err(Fault::new(Reason::ProviderMismatch, "the key of this slug is of another provider"))
            }
            _ => Ok(()),
        };
    }
    Err(Fault::new(Reason::KeyNotFound, "no unrevoked key that the order could name has this slug"))
}
