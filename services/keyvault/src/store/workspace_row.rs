//! A workspace's row, to and from the domain.

use claviger_core::ids::{ModelId, PlanId, ProviderId, WorkspaceId};
use claviger_core::workspace::{Consent, DefaultMode, Policy, Workspace};

use super::StoreError;
use super::bound::bound;
use super::entity::workspaces::Model;
use super::key_row::{micros, optional_time, time};

const TABLE: &str = "workspaces";

bound!(Model, "workspaces", free [], |row| format!("workspaces/{}", row.id));

impl TryFrom<Model> for Workspace {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        domain(row).ok_or(StoreError::Corrupt(TABLE))
    }
}

fn domain(row: Model) -> Option<Workspace> {
    Some(Workspace {
        id: WorkspaceId::parse(&row.id).ok()?,
        policy: Policy {
            plan: row.plan.map(|p| PlanId::parse(&p)).transpose().ok()?,
            read_only: row.read_only,
            default_mode: DefaultMode::parse(&row.default_mode)?,
            consent: Consent::parse(&row.fallback_consent)?,
            allowed_providers: providers(&row.allowed_providers)?,
            default_provider: row.default_provider.map(|p| ProviderId::parse(&p)).transpose().ok()?,
            default_model: row.default_model.map(|m| ModelId::parse(&m)).transpose().ok()?,
        },
        create_time: time(row.create_time)?,
        creator: row.creator,
        update_time: time(row.update_time)?,
        delete_time: optional_time(row.delete_time)?,
    })
}

fn providers(json: &str) -> Option<Vec<ProviderId>> {
    let names: Vec<String> = serde_json::from_str(json).ok()?;
    names.iter().map(|name| ProviderId::parse(name).ok()).collect()
}

/// A workspace's row, not yet bound to an event.
pub(super) fn row(workspace: &Workspace) -> Result<Model, StoreError> {
    let policy = &workspace.policy;
    let providers: Vec<_> = policy.allowed_providers.iter().map(ProviderId::as_str).collect();
    Ok(Model {
        id: workspace.id.to_string(),
        plan: policy.plan.as_ref().map(ToString::to_string),
        read_only: policy.read_only,
        default_mode: policy.default_mode.as_str().to_owned(),
        fallback_consent: policy.consent.as_str().to_owned(),
        allowed_providers: serde_json::to_string(&providers).map_err(|_| StoreError::Corrupt(TABLE))?,
        default_provider: policy.default_provider.as_ref().map(ToString::to_string),
        default_model: policy.default_model.as_ref().map(ToString::to_string),
        create_time: micros(workspace.create_time),
        creator: workspace.creator.clone(),
        update_time: micros(workspace.update_time),
        delete_time: workspace.delete_time.map(micros),
        last_seq: 0,
        mac: Vec::new(),
    })
}
