//! The hash of an event, computed from what docs/audit.md says.

use sha2::{Digest, Sha256};

use super::ExportedEvent;

const LABEL: &[u8; 17] = b"claviger/audit/v1";

/// The hash that the event must have, after the one that it names as the one before.
pub(super) fn hash(event: &ExportedEvent<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(LABEL);
    hash.update(event.previous_hash);
    for number in [event.seq, event.event_time] {
        field(&mut hash, &number.to_be_bytes());
    }
    let texts = [&event.tenant, &event.action, &event.target, &event.actor, &event.on_behalf_of];
    let more = [&event.peer, &event.request_id, &event.trace_id, &event.details];
    for text in texts.into_iter().chain(more) {
        field(&mut hash, text.as_bytes());
    }
    hash.finalize().into()
}

fn field(hash: &mut Sha256, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX); // never so long: a line is at most 1 MiB
    hash.update(length.to_be_bytes());
    hash.update(bytes);
}
