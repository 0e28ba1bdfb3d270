//! Master keys.

use claviger_core::fault::Fault;
use time::OffsetDateTime;

use crate::convert::time;
use crate::keyvault_v1 as kv;

/// Before when a tenant's newest key must have been made to be replaced; none if none is replaced.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn reseal_made_before(request: &kv::RewrapKeysRequest) -> Result<Option<OffsetDateTime>, Fault> {
    request.reseal_made_before.as_ref().map(|value| time("reseal_made_before", value)).transpose()
}

/// A master key by its id, its state as the key file has it, and how many workspace keys, service keys and records depend
/// on it.
#[must_use]
pub fn master_key_message(id: String, state: &str, counts: [u64; 3]) -> kv::MasterKey {
    use kv::master_key::State;
    let state = match state {
        "pending" => State::Pending,
        "primary" => State::Primary,
        "decrypt-only" => State::DecryptOnly,
        _ => State::Unspecified,
    };
    let [workspace_keys, service_keys, records] = counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    kv::MasterKey {
        name: format!("masterKeys/{id}"),
        id,
        state: state.into(),
        workspace_key_count: workspace_keys,
        service_key_count: service_keys,
        record_count: records,
    }
}
