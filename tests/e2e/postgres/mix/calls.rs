//! What is asked, and what came of it.

use claviger_proto::keyvault_v1::reorder_provider_keys_request::Group;
use claviger_proto::keyvault_v1::{
    CreateProviderKeyRequest, ProviderKey, ReorderProviderKeysRequest, ReplaceProviderKeySecretRequest, Secret,
    UpdateProviderKeyRequest, Verification, secret,
};
use claviger_tests::fleet::create_request;
use claviger_tests::reason;
use tonic::{Code, Status};

use super::super::load::WORKSPACE;

/// A change, with what only its caller knows.
#[derive(Debug)]
pub(super) enum Kind {
    Created(String),
    /// One more in the label.
    Counted,
    Placed(i32),
    Ordered(i32),
    Replaced(String),
    Tested,
    Revoked,
}

/// An acknowledged change of a key.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) kind: Kind,
    /// The etag that was given with it; empty without.
    pub(super) etag: String,
    pub(super) after: ProviderKey,
}

/// An acknowledged order, and the point of history at which it was so.
pub(super) struct Order {
    pub(super) seq: u64,
    pub(super) names: Vec<String>,
}

/// A call that was refused.
pub(super) struct Refusal {
    pub(super) call: &'static str,
    pub(super) reason: String,
    /// The key by the name and etag of the request, where it is about one.
    pub(super) asked: Option<Asked>,
}

/// A key as a request names it.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) etag: String,
}

/// All that one client was answered.
#[derive(Default)]
pub(super) struct Log {
    pub(super) changes: Vec<Change>,
    pub(super) reads: Vec<ProviderKey>,
    pub(super) orders: Vec<Order>,
    pub(super) refusals: Vec<Refusal>,
}

impl Log {
    pub(super) fn changed(&mut self, kind: Kind, etag: &str, after: ProviderKey) {
        self.changes.push(Change { kind, etag: etag.to_owned(), after });
    }

    /// The call must have been refused for one of these reasons.
    pub(super) fn refused(&mut self, call: &'static str, asked: Option<&Asked>, status: &Status, reasons: &[&str]) {
        let reason = reason(status);
        let code = if reason == "ETAG_MISMATCH" { Code::Aborted } else { Code::FailedPrecondition };
        assert!(reasons.contains(&reason.as_str()) && status.code() == code, "{call}: {status:?}");
        self.refusals.push(Refusal { call, reason, asked: asked.cloned() });
    }
}

pub(super) fn creation(secret: &str, id: String) -> CreateProviderKeyRequest {
    let mut request = create_request(WORKSPACE, "anthropic", secret);
    request.provider_key.as_mut().unwrap().label = "0".into();
    request.set_verification(Verification::Skip);
    CreateProviderKeyRequest { request_id: id, ..request }
}

fn update(key: ProviderKey, path: &str) -> UpdateProviderKeyRequest {
    let mut request = UpdateProviderKeyRequest { provider_key: Some(key), ..Default::default() };
    request.update_mask.get_or_insert_default().paths = vec![path.to_owned()];
    request
}

/// One more than was read, if it still is what was read.
pub(super) fn increment(read: &ProviderKey) -> UpdateProviderKeyRequest {
    let label = (read.label.parse::<u32>().unwrap() + 1).to_string();
    update(ProviderKey { label, ..read.clone() }, "label")
}

/// Another priority, whatever the key is now.
pub(super) fn placement(name: &str, rotation_priority: i32) -> UpdateProviderKeyRequest {
    update(ProviderKey { name: name.to_owned(), rotation_priority, ..Default::default() }, "rotation_priority")
}

pub(super) fn replacement(asked: &Asked, secret: &str, verification: Verification) -> ReplaceProviderKeySecretRequest {
    ReplaceProviderKeySecretRequest {
        name: asked.name.clone(),
        secret: Some(Secret { kind: Some(secret::Kind::ApiKey(secret.to_owned())) }),
        verification: verification.into(),
        etag: asked.etag.clone(),
        ..Default::default()
    }
}

pub(super) fn order(names: &[String]) -> ReorderProviderKeysRequest {
    ReorderProviderKeysRequest {
        parent: WORKSPACE.into(),
        group: Some(Group::Provider("anthropic".into())),
        names: names.to_vec(),
        ..Default::default()
    }
}
