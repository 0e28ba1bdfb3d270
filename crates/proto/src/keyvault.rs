//! `claviger.keyvault.v1`: requests become commands, domain values become messages.

mod audit;
mod catalog;
mod feed;
mod health;
mod journal;
mod keys;
mod listing;
mod master_keys;
mod usage;
mod workspaces;

pub use audit::export_scope;
pub use catalog::{category_message, provider_message};
pub use feed::{SnapshotHead, TenantPart, sealed_key_from, sealed_key_message, snapshot_messages, tenant_part, wanted};
pub use health::health_message;
pub use journal::{entry_from, entry_message, journal_part, payer, use_bytes, use_from_bytes};
pub use keys::{KeyView, key_message, key_name, oauth_start, owner_name};
pub use master_keys::{master_key_message, reseal_made_before};
pub use usage::{caller_message, usage_row};
pub use workspaces::{
    agent_route_message, agent_route_of, session_binding_message, session_binding_of, workspace_message, workspace_name,
};

use prost::Message;

use claviger_core::fault::Fault;
use claviger_core::position::Position;

/// A message of the wire.
pub trait Wire: Message + Default {}

impl<M: Message + Default> Wire for M {}

/// A message's bytes, the same for the same message.
#[must_use]
pub fn encoded(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

/// How many bytes [`encoded`] gives.
#[must_use]
pub fn encoded_len(message: &impl Message) -> usize {
    message.encoded_len()
}

/// Reads what [`encoded`] wrote.
///
/// # Errors
/// `INTERNAL`: the bytes are our own.
pub fn decoded<M: Wire>(bytes: &[u8]) -> Result<M, Fault> {
    M::decode(bytes).map_err(|_| Fault::internal())
}

/// A request's id: 1 to 64 characters of `A-Z a-z 0-9 . _ -`; none when it is empty.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn request_id(text: &str) -> Result<Option<&str>, Fault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.len() {
        0 => Ok(None),
        1..=64 if text.bytes().all(allowed) => Ok(Some(text)),
        _ => Err(Fault::field("request_id", "must be 1 to 64 characters of A-Z, a-z, 0-9 and . _ -")),
    }
}

/// What an answer says of the moment that it shows.
fn token(at: Position) -> String {
    at.to_string()
}
