//! `claviger.keyvault.v1`: parse, call, convert. No rules.

pub mod audit_log;
pub mod catalog;
pub mod key_feed;
pub mod key_vault;
pub mod master_keys;
mod mutation;
mod streams;
pub mod usage;
pub mod workspaces;

use claviger_auth::Caller;
use claviger_core::audit::Origin;
use claviger_core::fault::Fault;
use claviger_core::ids::UserId;
use claviger_proto::status;
use claviger_runtime::layers::RequestId;
use claviger_runtime::{propagation, tls};
use tonic::{Request, Response, Status};

pub use mutation::Mutations;

/// Names the person that a caller acts for. What it says is recorded, and gives no rights.
const ON_BEHALF_OF: &str = "x-on-behalf-of";

/// Who calls, for the record.
fn origin<T>(request: &Request<T>) -> Result<Origin, Fault> {
    let extensions = request.extensions();
    let text = |value: Option<String>| value.unwrap_or_default();
    Ok(Origin {
        actor: text(extensions.get::<Caller>().map(ToString::to_string)),
        on_behalf_of: on_behalf_of(request)?,
        peer: text(tls::peer_address(extensions).map(|address| address.to_string())),
        request_id: text(extensions.get::<RequestId>().map(|id| id.as_str().to_owned())),
        trace_id: text(propagation::trace_id()),
    })
}

fn on_behalf_of<T>(request: &Request<T>) -> Result<String, Fault> {
    let mut values = request.metadata().get_all(ON_BEHALF_OF).iter();
    let Some(value) = values.next() else { return Ok(String::new()) };
    let user = value.to_str().ok().and_then(|text| UserId::parse(text).ok()).filter(|_| values.next().is_none());
    let rule = "must be given once: 1 to 128 characters of A-Z, a-z, 0-9 and . _ @ : | + = ~ -, and start with a letter or digit";
    user.map(|user| user.to_string()).ok_or_else(|| Fault::field(ON_BEHALF_OF, rule))
}

fn answer<T>(result: Result<T, Fault>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|fault| status::of(&fault))
}
