//! What a workspace's policy permits its callers to change.

use claviger_core::fault::Fault;
use claviger_core::ids::{ProviderId, Tenant, WorkspaceId};
use claviger_core::position::etag;
use claviger_core::reason::Reason;
use claviger_core::workspace::{Plans, Policy, Workspace};

use crate::store::{Kept, Store, WriteTxn};

/// Whether anything may be configured.
///
/// # Errors
/// `WORKSPACE_READ_ONLY`.
pub(super) fn check_writable(policy: &Policy) -> Result<(), Fault> {
    if policy.read_only {
        return Err(Fault::new(Reason::WorkspaceReadOnly, "the workspace is read-only: it takes no changes"));
    }
    Ok(())
}

/// Whether a key of a provider may be stored.
///
/// # Errors
/// `WORKSPACE_READ_ONLY`, `PLAN_REQUIRED`, `PROVIDER_NOT_ALLOWED`.
pub(super) fn check_new_key(policy: &Policy, plans: &Plans, provider: &ProviderId) -> Result<(), Fault> {
    check_writable(policy)?;
    if !plans.include(policy.plan.as_ref()) {
        return Err(Fault::new(Reason::PlanRequired, "the workspace's plan does not include own keys"));
    }
    if !policy.allows(provider) {
        return Err(Fault::new(Reason::ProviderNotAllowed, "the workspace's allowed_providers leave the provider out"));
    }
    Ok(())
}

/// A tenant's policy, if it is a workspace with a record. A deleted workspace has none.
pub(super) async fn of_tenant(store: &Store, tenant: &Tenant) -> Result<Option<Policy>, Fault> {
    let Some(id) = tenant.workspace() else { return Ok(None) };
    Ok(living(store.workspace(id).await?).map(|kept| kept.value.policy))
}

/// The same, as a write finds it.
pub(super) async fn in_write(txn: &WriteTxn, tenant: &Tenant) -> Result<Option<Policy>, Fault> {
    let Some(id) = tenant.workspace() else { return Ok(None) };
    Ok(living(txn.workspace(id).await?).map(|kept| kept.value.policy))
}

/// A workspace's record as a write finds it.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`, also for a deleted one; `WORKSPACE_ALTERED`.
pub(super) async fn workspace(txn: &WriteTxn, id: &WorkspaceId) -> Result<Kept<Workspace>, Fault> {
    living(txn.workspace(id).await?).ok_or_else(|| not_found(id))
}

pub(super) fn living(found: Option<Kept<Workspace>>) -> Option<Kept<Workspace>> {
    found.filter(|kept| kept.value.delete_time.is_none())
}

pub(super) fn not_found(id: &WorkspaceId) -> Fault {
    Fault::new(Reason::WorkspaceNotFound, "the workspace has no record; CreateWorkspace makes one")
        .resource("claviger.dev/Workspace", format!("workspaces/{id}"))
}

/// What the caller knows a resource by must be what it is now.
///
/// # Errors
/// `ETAG_MISMATCH`.
pub(super) fn check_etag(given: Option<&str>, seq: u64) -> Result<(), Fault> {
    match given {
        Some(given) if given != etag(seq) => Err(changed()),
        _ => Ok(()),
    }
}

pub(super) fn changed() -> Fault {
    Fault::new(Reason::EtagMismatch, "it was changed meanwhile: read it again, and repeat with what is there now")
}
