//! The tables, one module each.

pub(super) mod agent_routes;
pub(super) mod audit_events;
pub(super) mod audit_head;
pub(super) mod audit_segments;
pub(super) mod journals;
pub(super) mod key_health;
pub(super) mod key_uses;
pub(super) mod master_keys;
pub(super) mod provider_keys;
pub(super) mod request_ids;
pub(super) mod service_keys;
pub(super) mod session_bindings;
pub(super) mod usage_hours;
pub(super) mod vault;
pub(super) mod workspace_keys;
pub(super) mod workspaces;
