//! Where a key's calls may go: its own base URL and location, checked before anything is sent there.

use claviger_core::catalog::provider::is_location;
use claviger_core::catalog::{BaseUrlError, Provider};
use claviger_core::fault::Fault;
use claviger_core::reason::Reason;

use crate::verify::{Egress, Forbidden};

const BASE_URL: &str = "provider_key.base_url";
const LOCATION: &str = "provider_key.location";

/// A key's own destination, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Destination {
    /// Set when the key brings its own base URL.
    pub base_url: Option<String>,
    /// Set when the provider has locations and the key names one.
    pub location: Option<String>,
}

/// Checks what a key says of its destination.
///
/// # Errors
/// `BASE_URL_NOT_ALLOWED` or `INVALID_FIELD`.
pub async fn check(
    provider: &Provider,
    base_url: Option<&str>,
    location: Option<&str>,
    egress: &Egress,
) -> Result<Destination, Fault> {
    let location = check_location(provider, location)?;
    // plain HTTP passes here only for the check below, which admits it for listed hosts alone
    let permit_http = !egress.allow().is_empty();
    let base_url = provider.check_base_url(base_url, permit_http).map_err(|error| refused(provider, &error))?;
    if let Some(url) = &base_url {
        egress.check(url).await.map_err(forbidden)?;
    }
    Ok(Destination { base_url, location })
}

fn check_location(provider: &Provider, given: Option<&str>) -> Result<Option<String>, Fault> {
    match (&provider.location, given) {
        (None, Some(_)) => Err(Fault::field(LOCATION, format!("must not be set: {} has no locations", provider.name))),
        (Some(rule), None) if rule.required && rule.default.is_none() => {
            Err(Fault::field(LOCATION, format!("must be set for {}", provider.name)))
        }
        (_, None) => Ok(None),
        (Some(_), Some(text)) if !is_location(text) => {
            Err(Fault::field(LOCATION, "must be 1 to 40 characters of a-z, 0-9 and '-'"))
        }
        (Some(_), Some(text)) => Ok(Some(text.to_owned())),
    }
}

fn refused(provider: &Provider, error: &BaseUrlError) -> Fault {
    match error {
        BaseUrlError::Required => Fault::field(BASE_URL, format!("must be set for {}", provider.name)),
        other => Fault::new(Reason::BaseUrlNotAllowed, format!("the base URL {other}")).at(BASE_URL),
    }
}

/// A destination that leads where no key may be sent.
pub fn forbidden(error: Forbidden) -> Fault {
    Fault::new(Reason::BaseUrlNotAllowed, error.to_string()).at(BASE_URL)
}
