//! Workspaces and standing orders.

use claviger_core::command::{
    BindSession, CreateWorkspace, DeleteAgentRoute, DeleteWorkspace, ListAgentRoutes, ListWorkspaces, PolicyChanges,
    SetAgentRoute, UnbindSession, UpdateWorkspace,
};
use claviger_core::fault::Fault;
use claviger_core::ids::{
    AgentId, KeySlug, ModelId, Owner, PlanId, ProviderId, SessionId, Tenant, UserId, WorkspaceId,
};
use claviger_core::position::{Position, etag};
use claviger_core::workspace::{AgentMode, AgentRoute, Consent, DefaultMode, Policy, SessionBinding, Workspace};

use super::keys::{ALL, new_key};
use super::{listing, token};
use crate::convert::{self, filled, optional, text, time, timestamp, unknown_enum};
use crate::keyvault_v1 as kv;

const MOST_PROVIDERS: usize = 100;

impl TryFrom<kv::CreateWorkspaceRequest> for CreateWorkspace {
    type Error = Fault;

    fn try_from(request: kv::CreateWorkspaceRequest) -> Result<Self, Fault> {
        let given = request.workspace.unwrap_or_default();
        let id = WorkspaceId::parse(&request.workspace_id).map_err(Fault::id("workspace_id"))?;
        let owner = Owner { tenant: Tenant::Workspace(id.clone()), user: None };
        let first_key =
            request.first_key.map(|first| new_key(owner, first.provider_key, first.secret, first.verification));
        Ok(Self {
            id,
            policy: Policy {
                plan: plan(&given)?,
                read_only: given.read_only,
                default_mode: default_mode(&given)?,
                consent: consent(&given)?,
                allowed_providers: providers(&given.allowed_providers)?,
                default_provider: default_provider(&given)?,
                default_model: default_model(&given)?,
            },
            first_key: first_key.transpose()?,
        })
    }
}

impl TryFrom<kv::UpdateWorkspaceRequest> for UpdateWorkspace {
    type Error = Fault;

    fn try_from(request: kv::UpdateWorkspaceRequest) -> Result<Self, Fault> {
        const KNOWN: [&str; 7] = [
            "plan",
            "read_only",
            "default_mode",
            "fallback_consent",
            "allowed_providers",
            "default_provider",
            "default_model",
        ];
        let given = request.workspace.ok_or_else(|| Fault::field("workspace", "must be set"))?;
        let mut changes = PolicyChanges::default();
        for path in listing::paths(request.update_mask.as_ref(), &KNOWN)? {
            match path {
                "plan" => changes.plan = Some(plan(&given)?),
                "read_only" => changes.read_only = Some(given.read_only),
                "default_mode" => changes.default_mode = Some(default_mode(&given)?),
                "fallback_consent" => changes.consent = Some(consent(&given)?),
                "allowed_providers" => changes.allowed_providers = Some(changed_providers(&given.allowed_providers)?),
                "default_provider" => changes.default_provider = Some(default_provider(&given)?),
                _ => changes.default_model = Some(default_model(&given)?),
            }
        }
        let id = named_workspace("workspace.name", &given.name)?;
        Ok(Self { id, changes, etag: filled(&given.etag).map(str::to_owned) })
    }
}

fn plan(given: &kv::Workspace) -> Result<Option<PlanId>, Fault> {
    optional("workspace.plan", &given.plan, PlanId::parse)
}

fn default_mode(given: &kv::Workspace) -> Result<DefaultMode, Fault> {
    Ok(convert::default_mode_from("workspace.default_mode", given.default_mode)?.unwrap_or_default())
}

fn consent(given: &kv::Workspace) -> Result<Consent, Fault> {
    Ok(convert::consent_from("workspace.fallback_consent", given.fallback_consent)?.unwrap_or_default())
}

fn default_provider(given: &kv::Workspace) -> Result<Option<ProviderId>, Fault> {
    optional("workspace.default_provider", &given.default_provider, ProviderId::parse)
}

fn default_model(given: &kv::Workspace) -> Result<Option<ModelId>, Fault> {
    optional("workspace.default_model", &given.default_model, ModelId::parse)
}

/// The only providers; `*` alone is all of them.
fn providers(names: &[String]) -> Result<Vec<ProviderId>, Fault> {
    const FIELD: &str = "workspace.allowed_providers";
    if names == [ALL] {
        return Ok(Vec::new());
    }
    if names.len() > MOST_PROVIDERS {
        return Err(Fault::field(FIELD, "must name at most 100 providers, or `*` alone for all"));
    }
    names.iter().map(|name| ProviderId::parse(name).map_err(Fault::id(FIELD))).collect()
}

fn changed_providers(names: &[String]) -> Result<Vec<ProviderId>, Fault> {
    if names.is_empty() {
        let rule = "must not be empty in an update, which could mean none or all: `*` allows all";
        return Err(Fault::field("workspace.allowed_providers", rule));
    }
    providers(names)
}

impl TryFrom<kv::ListWorkspacesRequest> for ListWorkspaces {
    type Error = Fault;

    fn try_from(request: kv::ListWorkspacesRequest) -> Result<Self, Fault> {
        Ok(Self {
            filter: listing::filter(&request.filter, &Self::FIELDS)?,
            page: listing::page(request.page_size, &request.page_token)?,
        })
    }
}

impl TryFrom<kv::DeleteWorkspaceRequest> for DeleteWorkspace {
    type Error = Fault;

    fn try_from(request: kv::DeleteWorkspaceRequest) -> Result<Self, Fault> {
        Ok(Self { id: workspace_name(&request.name)?, etag: filled(&request.etag).map(str::to_owned) })
    }
}

impl TryFrom<kv::SetAgentRouteRequest> for SetAgentRoute {
    type Error = Fault;

    fn try_from(request: kv::SetAgentRouteRequest) -> Result<Self, Fault> {
        let given = request.agent_route.ok_or_else(|| Fault::field("agent_route", "must be set"))?;
        let (workspace, agent) = named_route("agent_route.name", &given.name)?;
        let mode = match given.mode() {
            kv::AgentMode::Auto => AgentMode::Auto,
            kv::AgentMode::Metered => AgentMode::Metered,
            kv::AgentMode::Byok => AgentMode::Byok,
            kv::AgentMode::Unspecified => return Err(unknown_enum("agent_route.mode")),
        };
        let provider = optional("agent_route.provider", &given.provider, ProviderId::parse)?;
        let slug = optional("agent_route.key_slug", &given.key_slug, KeySlug::parse)?;
        match (mode, &provider, &slug) {
            (AgentMode::Byok, None, _) => Err(Fault::field("agent_route.provider", "must be set for AGENT_MODE_BYOK")),
            (AgentMode::Auto | AgentMode::Metered, _, Some(_)) => {
                Err(Fault::field("agent_route.key_slug", "must be set for AGENT_MODE_BYOK alone"))
            }
            _ => Ok(Self {
                workspace,
                agent,
                mode,
                provider,
                slug,
                model: optional("agent_route.model", &given.model, ModelId::parse)?,
                consent: convert::consent_from("agent_route.fallback_consent", given.fallback_consent)?,
                etag: filled(&given.etag).map(str::to_owned),
            }),
        }
    }
}

impl TryFrom<kv::ListAgentRoutesRequest> for ListAgentRoutes {
    type Error = Fault;

    fn try_from(request: kv::ListAgentRoutesRequest) -> Result<Self, Fault> {
        Ok(Self {
            workspace: named_workspace("parent", &request.parent)?,
            page: listing::page(request.page_size, &request.page_token)?,
        })
    }
}

impl TryFrom<kv::DeleteAgentRouteRequest> for DeleteAgentRoute {
    type Error = Fault;

    fn try_from(request: kv::DeleteAgentRouteRequest) -> Result<Self, Fault> {
        let (workspace, agent) = agent_route_of(&request.name)?;
        Ok(Self { workspace, agent })
    }
}

impl TryFrom<kv::BindSessionRequest> for BindSession {
    type Error = Fault;

    fn try_from(request: kv::BindSessionRequest) -> Result<Self, Fault> {
        let given = request.session_binding.ok_or_else(|| Fault::field("session_binding", "must be set"))?;
        let (workspace, session) = named_binding("session_binding.name", &given.name)?;
        Ok(Self {
            workspace,
            session,
            slug: KeySlug::parse(&given.key_slug).map_err(Fault::id("session_binding.key_slug"))?,
            user: optional("session_binding.user", &given.user, UserId::parse)?,
            provider: optional("session_binding.provider", &given.provider, ProviderId::parse)?,
            model: optional("session_binding.model", &given.model, ModelId::parse)?,
            expire_time: given.expire_time.as_ref().map(|t| time("session_binding.expire_time", t)).transpose()?,
        })
    }
}

impl TryFrom<kv::UnbindSessionRequest> for UnbindSession {
    type Error = Fault;

    fn try_from(request: kv::UnbindSessionRequest) -> Result<Self, Fault> {
        let (workspace, session) = session_binding_of(&request.name)?;
        Ok(Self { workspace, session })
    }
}

/// A request's `name` field that names a workspace.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn workspace_name(name: &str) -> Result<WorkspaceId, Fault> {
    named_workspace("name", name)
}

fn named_workspace(field: &'static str, name: &str) -> Result<WorkspaceId, Fault> {
    let id = name.strip_prefix("workspaces/").and_then(|id| WorkspaceId::parse(id).ok());
    id.ok_or_else(|| Fault::field(field, "must be a resource name of the form workspaces/{workspace}"))
}

/// A request's `name` field that names an agent's route.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn agent_route_of(name: &str) -> Result<(WorkspaceId, AgentId), Fault> {
    named_route("name", name)
}

fn named_route(field: &'static str, name: &str) -> Result<(WorkspaceId, AgentId), Fault> {
    let ids = within(name, "/agents/", "/route");
    let ids = ids.and_then(|(workspace, agent)| Some((workspace, AgentId::parse(agent).ok()?)));
    ids.ok_or_else(|| {
        Fault::field(field, "must be a resource name of the form workspaces/{workspace}/agents/{agent}/route")
    })
}

/// A request's `name` field that names a session's binding.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn session_binding_of(name: &str) -> Result<(WorkspaceId, SessionId), Fault> {
    named_binding("name", name)
}

fn named_binding(field: &'static str, name: &str) -> Result<(WorkspaceId, SessionId), Fault> {
    const FORM: &str = "must be a resource name of the form workspaces/{workspace}/sessions/{session}/binding";
    let ids = within(name, "/sessions/", "/binding");
    let ids = ids.and_then(|(workspace, session)| Some((workspace, SessionId::parse(session).ok()?)));
    ids.ok_or_else(|| Fault::field(field, FORM))
}

/// The workspace and the id in `workspaces/{workspace}{middle}{id}{end}`.
fn within<'n>(name: &'n str, middle: &str, end: &str) -> Option<(WorkspaceId, &'n str)> {
    let (workspace, rest) = name.strip_prefix("workspaces/")?.split_once(middle)?;
    Some((WorkspaceId::parse(workspace).ok()?, rest.strip_suffix(end)?))
}

/// A workspace as callers see it.
#[must_use]
pub fn workspace_message(workspace: &Workspace, seq: u64, at: Position) -> kv::Workspace {
    let policy = &workspace.policy;
    kv::Workspace {
        name: format!("workspaces/{}", workspace.id),
        plan: text(policy.plan.as_ref()),
        read_only: policy.read_only,
        default_mode: convert::default_mode(policy.default_mode).into(),
        fallback_consent: convert::consent(policy.consent).into(),
        allowed_providers: policy.allowed_providers.iter().map(ToString::to_string).collect(),
        default_provider: text(policy.default_provider.as_ref()),
        default_model: text(policy.default_model.as_ref()),
        create_time: Some(timestamp(workspace.create_time)),
        creator: workspace.creator.clone(),
        update_time: Some(timestamp(workspace.update_time)),
        consistency_token: token(at),
        etag: etag(seq),
        first_key: None,
    }
}

/// An agent's standing order as callers see it.
#[must_use]
pub fn agent_route_message(route: &AgentRoute, seq: u64, at: Position) -> kv::AgentRoute {
    let mode = match route.mode {
        AgentMode::Auto => kv::AgentMode::Auto,
        AgentMode::Metered => kv::AgentMode::Metered,
        AgentMode::Byok => kv::AgentMode::Byok,
    };
    kv::AgentRoute {
        name: route.name(),
        mode: mode.into(),
        provider: text(route.provider.as_ref()),
        key_slug: text(route.slug.as_ref()),
        model: text(route.model.as_ref()),
        fallback_consent: route.consent.map(|consent| convert::consent(consent).into()).unwrap_or_default(),
        create_time: Some(timestamp(route.create_time)),
        update_time: Some(timestamp(route.update_time)),
        updater: route.updater.clone(),
        etag: etag(seq),
        consistency_token: token(at),
    }
}

/// A session's binding as callers see it.
#[must_use]
pub fn session_binding_message(binding: &SessionBinding, at: Position) -> kv::SessionBinding {
    kv::SessionBinding {
        name: binding.name(),
        key_slug: binding.slug.to_string(),
        provider: text(binding.provider.as_ref()),
        model: text(binding.model.as_ref()),
        user: text(binding.user.as_ref()),
        expire_time: Some(timestamp(binding.expire_time)),
        create_time: Some(timestamp(binding.create_time)),
        creator: binding.creator.clone(),
        consistency_token: token(at),
    }
}
