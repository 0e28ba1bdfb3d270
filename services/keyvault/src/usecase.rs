//! What the vault does, step by step: test, seal, store, audit. No wire type, no column.

pub mod audit;
mod call;
pub mod custody;
pub mod destination;
pub mod feed;
pub mod journal;
pub mod keyring_check;
pub mod keys;
pub mod master_keys;
mod page;
pub mod policy;
pub mod reload;
pub mod usage;
pub mod workspaces;

pub use call::{Answer, Call};
pub use page::Page;

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::ids::Tenant;
use time::OffsetDateTime;

/// An event of now, for a resource.
fn event(
    now: OffsetDateTime,
    tenant: &Tenant,
    action: Action,
    target: String,
    origin: &Origin,
    details: Vec<(Detail, String)>,
) -> Event {
    Event { time: now, tenant: tenant.clone(), action, target, origin: origin.clone(), details }
}

/// Now, to the microsecond that rows keep.
pub(crate) fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_microsecond(now.microsecond()).unwrap_or(now)
}
