//! What callers ask about workspaces, agents and sessions.

use time::OffsetDateTime;

use super::{NewKey, PageRequest};
use crate::filter::{Field, Filter, Kind};
use crate::ids::{AgentId, KeySlug, ModelId, PlanId, ProviderId, SessionId, UserId, WorkspaceId};
use crate::workspace::{AgentMode, Consent, DefaultMode, Policy};

/// Make a workspace's record.
#[derive(Debug, Clone)]
pub struct CreateWorkspace {
    /// Which workspace.
    pub id: WorkspaceId,
    /// Its policy; providers as given.
    pub policy: Policy,
    /// Its first key, owned by the workspace.
    pub first_key: Option<NewKey>,
}

/// What an update changes; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyChanges {
    /// The plan; `Some(None)` is none.
    pub plan: Option<Option<PlanId>>,
    /// Takes no changes.
    pub read_only: Option<bool>,
    /// How calls that nothing else directs are served.
    pub default_mode: Option<DefaultMode>,
    /// How far calls may fall to a platform key.
    pub consent: Option<Consent>,
    /// The only providers, as given; empty is all.
    pub allowed_providers: Option<Vec<ProviderId>>,
    /// Narrows calls that nothing else narrows, as given.
    pub default_provider: Option<Option<ProviderId>>,
    /// The model of such calls.
    pub default_model: Option<Option<ModelId>>,
}

/// Change a workspace's policy.
#[derive(Debug, Clone)]
pub struct UpdateWorkspace {
    /// Which.
    pub id: WorkspaceId,
    /// What changes.
    pub changes: PolicyChanges,
    /// What the caller knows the record by.
    pub etag: Option<String>,
}

/// List workspaces.
#[derive(Debug, Clone)]
pub struct ListWorkspaces {
    /// Which.
    pub filter: Filter,
    /// Which page.
    pub page: PageRequest,
}

impl ListWorkspaces {
    /// What the listing can be filtered by.
    pub const FIELDS: [Field; 5] = [
        Field::new("plan", Kind::Text),
        Field::new("default_mode", Kind::Text),
        Field::new("fallback_consent", Kind::Text),
        Field::new("read_only", Kind::Flag),
        Field::new("create_time", Kind::Time),
    ];
}

/// Delete a workspace and destroy its keys.
#[derive(Debug, Clone)]
pub struct DeleteWorkspace {
    /// Which.
    pub id: WorkspaceId,
    /// What the caller knows the record by.
    pub etag: Option<String>,
}

/// Give an agent a standing order.
#[derive(Debug, Clone)]
pub struct SetAgentRoute {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent.
    pub agent: AgentId,
    /// Whose keys its calls use.
    pub mode: AgentMode,
    /// The provider of its calls, as given.
    pub provider: Option<ProviderId>,
    /// The workspace key that comes first; with [`AgentMode::Byok`] alone.
    pub slug: Option<KeySlug>,
    /// The model of its calls that name none.
    pub model: Option<ModelId>,
    /// Tightens the workspace's consent.
    pub consent: Option<Consent>,
    /// What the caller knows the order by.
    pub etag: Option<String>,
}

/// List a workspace's standing orders.
#[derive(Debug, Clone)]
pub struct ListAgentRoutes {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Which page.
    pub page: PageRequest,
}

/// End an agent's standing order.
#[derive(Debug, Clone)]
pub struct DeleteAgentRoute {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent.
    pub agent: AgentId,
}

/// Pin a session to a key.
#[derive(Debug, Clone)]
pub struct BindSession {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The session.
    pub session: SessionId,
    /// The key, by what callers pin it by.
    pub slug: KeySlug,
    /// Whose personal keys the slug may name.
    pub user: Option<UserId>,
    /// The key's provider, as given.
    pub provider: Option<ProviderId>,
    /// The model of the session's calls that name none.
    pub model: Option<ModelId>,
    /// When the binding ends; 24 hours away when none.
    pub expire_time: Option<OffsetDateTime>,
}

/// End a session's binding.
#[derive(Debug, Clone)]
pub struct UnbindSession {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The session.
    pub session: SessionId,
}
