//! `claviger.keyvault.v1`: parse, call, convert. No rules.

pub mod catalog;
pub mod key_feed;
pub mod key_vault;
pub mod workspaces;

use claviger_auth::Caller;
use claviger_core::audit::Origin;
use claviger_core::fault::Fault;
use claviger_proto::status;
use claviger_runtime::layers::RequestId;
use claviger_runtime::{propagation, tls};
use tonic::{Extensions, Response, Status};

/// Who calls, for the record.
fn origin(extensions: &Extensions) -> Origin {
    let text = |value: Option<String>| value.unwrap_or_default();
    Origin {
        actor: text(extensions.get::<Caller>().map(ToString::to_string)),
        peer: text(tls::peer_address(extensions).map(|address| address.to_string())),
        request_id: text(extensions.get::<RequestId>().map(|id| id.as_str().to_owned())),
        trace_id: text(propagation::trace_id()),
    }
}

fn answer<T>(result: Result<T, Fault>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|fault| status::of(&fault))
}
