//! Change a workspace's policy.

use claviger_core::audit::{Action, Detail, Origin};
use claviger_core::command::{PolicyChanges, UpdateWorkspace};
use claviger_core::fault::Fault;
use claviger_core::workspace::{Policy, Workspace};

use super::{Workspaces, check_default, effects, told};
use crate::store::{Kept, WriteTxn};
use crate::usecase::{Answer, Call, now, policy};

impl Workspaces {
    /// Changes a workspace's policy. What is named and stays as it is counts as no change.
    ///
    /// # Errors
    /// `WORKSPACE_NOT_FOUND`, `ETAG_MISMATCH`, `WORKSPACE_READ_ONLY` for more than `read_only` and `plan`, `INVALID_FIELD`,
    /// `WORKSPACE_ALTERED`, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn update(
        &self,
        command: UpdateWorkspace,
        call: Call<Kept<Workspace>>,
    ) -> Result<Answer<Kept<Workspace>>, Fault> {
        let UpdateWorkspace { id, changes, etag } = command;
        let changes = self.named(changes)?;
        let origin = call.origin.clone();
        call.write(&self.store, move |txn| {
            Box::pin(async move {
                let kept = policy::workspace(txn, &id).await?;
                policy::check_etag(etag.as_deref(), kept.seq)?;
                if reaches_beyond_the_lock(&changes) {
                    policy::check_writable(&kept.value.policy)?;
                }
                let after = changed(&kept.value.policy, changes);
                check_default(&after)?;
                keep(txn, kept, after, &origin).await
            })
        })
        .await
    }

    /// Changes with providers by their own ids.
    fn named(&self, given: PolicyChanges) -> Result<PolicyChanges, Fault> {
        let allowed = given.allowed_providers.map(|given| self.allowed_providers(&given)).transpose()?;
        let default = given.default_provider.map(|given| self.default_provider(given.as_ref())).transpose()?;
        Ok(PolicyChanges { allowed_providers: allowed, default_provider: default, ..given })
    }
}

/// Whether anything is named that a read-only workspace refuses.
fn reaches_beyond_the_lock(changes: &PolicyChanges) -> bool {
    let PolicyChanges {
        plan: _,
        read_only: _,
        default_mode,
        consent,
        allowed_providers,
        default_provider,
        default_model,
    } = changes;
    default_mode.is_some()
        || consent.is_some()
        || allowed_providers.is_some()
        || default_provider.is_some()
        || default_model.is_some()
}

fn changed(policy: &Policy, changes: PolicyChanges) -> Policy {
    let before = policy.clone();
    Policy {
        plan: changes.plan.unwrap_or(before.plan),
        read_only: changes.read_only.unwrap_or(before.read_only),
        default_mode: changes.default_mode.unwrap_or(before.default_mode),
        consent: changes.consent.unwrap_or(before.consent),
        allowed_providers: changes.allowed_providers.unwrap_or(before.allowed_providers),
        default_provider: changes.default_provider.unwrap_or(before.default_provider),
        default_model: changes.default_model.unwrap_or(before.default_model),
    }
}

async fn keep(
    txn: &mut WriteTxn,
    kept: Kept<Workspace>,
    after: Policy,
    origin: &Origin,
) -> Result<Kept<Workspace>, Fault> {
    let fields = differences(&kept.value.policy, &after);
    if fields.is_empty() {
        return Ok(kept);
    }
    let workspace = Workspace { policy: after, update_time: now(), ..kept.value };
    let details = [vec![(Detail::Fields, fields.join(","))], effects(&workspace.policy)].concat();
    let stamp = told(txn, &workspace, Action::WorkspaceUpdated, origin, details).await?;
    txn.put_workspace(&workspace, &stamp).await?;
    Ok(Kept { value: workspace, seq: txn.base().seq })
}

/// The names of the fields that differ.
fn differences(before: &Policy, after: &Policy) -> Vec<&'static str> {
    let fields = [
        ("plan", before.plan != after.plan),
        ("read_only", before.read_only != after.read_only),
        ("default_mode", before.default_mode != after.default_mode),
        ("fallback_consent", before.consent != after.consent),
        ("allowed_providers", before.allowed_providers != after.allowed_providers),
        ("default_provider", before.default_provider != after.default_provider),
        ("default_model", before.default_model != after.default_model),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}
