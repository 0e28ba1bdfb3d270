//! The audit log.

use claviger_core::command::{AuditScope, ListEvents};
use claviger_core::fault::Fault;
use claviger_core::filter::{Field, Kind};
use claviger_core::ids::Tenant;

use super::listing;
use crate::keyvault_v1 as kv;

/// What the listing can be filtered by.
const FIELDS: [Field; 8] = [
    Field::new("action", Kind::Text),
    Field::new("target", Kind::Text),
    Field::new("actor", Kind::Text),
    Field::new("on_behalf_of", Kind::Text),
    Field::new("request_id", Kind::Text),
    Field::new("trace_id", Kind::Text),
    Field::new("event_time", Kind::Time),
    Field::new("seq", Kind::Number),
];

impl TryFrom<kv::ListAuditEventsRequest> for ListEvents {
    type Error = Fault;

    fn try_from(request: kv::ListAuditEventsRequest) -> Result<Self, Fault> {
        Ok(Self {
            scope: export_scope(&request.parent)?,
            filter: listing::filter(&request.filter, &FIELDS)?,
            page: listing::page(request.page_size, &request.page_token)?,
        })
    }
}

/// A request's `parent` field that says whose events.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn export_scope(parent: &str) -> Result<AuditScope, Fault> {
    const FORM: &str = "must be workspaces/{workspace}, platform, or workspaces/- for all";
    if parent == "workspaces/-" {
        return Ok(AuditScope::All);
    }
    Tenant::parse(parent).map(AuditScope::Tenant).map_err(|_| Fault::field("parent", FORM))
}
