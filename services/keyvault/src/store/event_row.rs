//! An event in the form that is stored and hashed: docs/audit.md documents it.

use claviger_core::audit::Event;
use claviger_crypto as chain;
use sea_orm::Set;

use super::StoreError;
use super::entity::audit_events::ActiveModel;
use super::key_row::micros;

pub(super) struct EventRow {
    seq: i64,
    time: i64,
    texts: [String; 9],
}

impl EventRow {
    pub(super) fn new(seq: i64, event: &Event) -> Result<Self, StoreError> {
        let details: serde_json::Map<_, _> =
            event.details.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_str().into())).collect();
        let origin = &event.origin;
        Ok(Self {
            seq,
            time: micros(event.time),
            texts: [
                event.tenant.to_string(),
                event.action.as_str().to_owned(),
                event.target.clone(),
                origin.actor.clone(),
                origin.on_behalf_of.clone(),
                origin.peer.clone(),
                origin.request_id.clone(),
                origin.trace_id.clone(),
                serde_json::to_string(&details).map_err(|_| StoreError::Corrupt("audit_events"))?,
            ],
        })
    }

    pub(super) fn hash(&self, previous: &[u8; 32]) -> [u8; 32] {
        let (seq, time) = (self.seq.to_be_bytes(), self.time.to_be_bytes());
        let mut fields: Vec<&[u8]> = vec![&seq, &time];
        fields.extend(self.texts.iter().map(String::as_bytes));
        chain::event_hash(previous, &fields)
    }

    pub(super) fn into_active(self, hash: [u8; 32]) -> ActiveModel {
        let [tenant, action, target, actor, on_behalf_of, peer, request_id, trace_id, details] = self.texts.map(Set);
        ActiveModel {
            seq: Set(self.seq),
            hash: Set(hash.to_vec()),
            event_time: Set(self.time),
            tenant,
            action,
            target,
            actor,
            on_behalf_of,
            peer,
            request_id,
            trace_id,
            details,
        }
    }
}
