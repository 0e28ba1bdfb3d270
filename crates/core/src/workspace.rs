//! A workspace's policy, and the standing orders of its agents and sessions.

use time::OffsetDateTime;

use crate::ids::{AgentId, InvalidId, KeySlug, ModelId, PlanId, ProviderId, SessionId, UserId, WorkspaceId};

/// How far a call may fall to a platform key. Ordered: the smaller is the tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Consent {
    /// Never to a platform key.
    Never,
    /// Only if there is no own key for the need, revoked ones aside.
    NoKey,
    /// Whenever no own key can be used.
    #[default]
    Any,
}

impl Consent {
    /// The name in rows and audit events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "NEVER",
            Self::NoKey => "NO_KEY",
            Self::Any => "ANY",
        }
    }

    /// Reads a name from a row.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Never, Self::NoKey, Self::Any].into_iter().find(|c| c.as_str() == name)
    }
}

/// How calls that nothing else directs are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DefaultMode {
    /// Own keys first.
    #[default]
    Auto,
    /// The platform's keys.
    Metered,
}

impl DefaultMode {
    /// The name in rows and audit events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "AUTO",
            Self::Metered => "METERED",
        }
    }

    /// Reads a name from a row.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Auto, Self::Metered].into_iter().find(|m| m.as_str() == name)
    }
}

/// What rules a workspace's calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// What the workspace pays for, as the platform names it.
    pub plan: Option<PlanId>,
    /// Takes no changes.
    pub read_only: bool,
    /// How calls that nothing else directs are served.
    pub default_mode: DefaultMode,
    /// How far calls may fall to a platform key.
    pub consent: Consent,
    /// The only providers that it may use; empty is all.
    pub allowed_providers: Vec<ProviderId>,
    /// Narrows calls that nothing else narrows.
    pub default_provider: Option<ProviderId>,
    /// The model of such calls.
    pub default_model: Option<ModelId>,
}

impl Policy {
    /// Whether the workspace may use a provider.
    #[must_use]
    pub fn allows(&self, provider: &ProviderId) -> bool {
        self.allowed_providers.is_empty() || self.allowed_providers.contains(provider)
    }
}

/// Which plans include own keys: the operator's choice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plans(Option<Vec<PlanId>>);

impl Plans {
    /// Reads plans separated by commas; the empty text is all plans, and workspaces without one.
    ///
    /// # Errors
    /// When one is not `[a-z0-9][a-z0-9-]{0,62}`.
    pub fn parse(list: &str) -> Result<Self, InvalidId> {
        if list.trim().is_empty() {
            return Ok(Self::default());
        }
        list.split(',').map(|plan| PlanId::parse(plan.trim())).collect::<Result<_, _>>().map(|plans| Self(Some(plans)))
    }

    /// Whether a plan includes own keys. Where plans are named, having none is not enough.
    #[must_use]
    pub fn include(&self, plan: Option<&PlanId>) -> bool {
        self.0.as_ref().is_none_or(|plans| plan.is_some_and(|plan| plans.contains(plan)))
    }
}

/// A workspace's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Which workspace.
    pub id: WorkspaceId,
    /// Its policy.
    pub policy: Policy,
    /// When the record was made.
    pub create_time: OffsetDateTime,
    /// The identity that made it.
    pub creator: String,
    /// When it last changed.
    pub update_time: OffsetDateTime,
    /// When it was deleted.
    pub delete_time: Option<OffsetDateTime>,
}

/// Whose keys an agent's calls use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentMode {
    /// Own keys first.
    Auto,
    /// The platform's keys.
    Metered,
    /// Own keys of one provider.
    Byok,
}

impl AgentMode {
    /// The name in rows and audit events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "AUTO",
            Self::Metered => "METERED",
            Self::Byok => "BYOK",
        }
    }

    /// Reads a name from a row.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Auto, Self::Metered, Self::Byok].into_iter().find(|m| m.as_str() == name)
    }
}

/// An agent's standing order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRoute {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent.
    pub agent: AgentId,
    /// Whose keys its calls use.
    pub mode: AgentMode,
    /// The provider of its calls.
    pub provider: Option<ProviderId>,
    /// The workspace key that comes first.
    pub slug: Option<KeySlug>,
    /// The model of its calls that name none.
    pub model: Option<ModelId>,
    /// Tightens the workspace's consent.
    pub consent: Option<Consent>,
    /// When the agent first got an order.
    pub create_time: OffsetDateTime,
    /// When it last changed.
    pub update_time: OffsetDateTime,
    /// The identity that set it last.
    pub updater: String,
}

impl AgentRoute {
    /// The resource's name.
    #[must_use]
    pub fn name(&self) -> String {
        agent_route_name(&self.workspace, &self.agent)
    }
}

/// `workspaces/{workspace}/agents/{agent}/route`.
#[must_use]
pub fn agent_route_name(workspace: &WorkspaceId, agent: &AgentId) -> String {
    format!("workspaces/{workspace}/agents/{agent}/route")
}

/// What pins a session to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionBinding {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The session.
    pub session: SessionId,
    /// The key, by what callers pin it by.
    pub slug: KeySlug,
    /// Whose personal keys the slug may name.
    pub user: Option<UserId>,
    /// The key's provider, as a safety check.
    pub provider: Option<ProviderId>,
    /// The model of the session's calls that name none.
    pub model: Option<ModelId>,
    /// When the session was bound.
    pub create_time: OffsetDateTime,
    /// The identity that bound it.
    pub creator: String,
    /// When the binding ends.
    pub expire_time: OffsetDateTime,
}

impl SessionBinding {
    /// The resource's name.
    #[must_use]
    pub fn name(&self) -> String {
        session_binding_name(&self.workspace, &self.session)
    }
}

/// `workspaces/{workspace}/sessions/{session}/binding`.
#[must_use]
pub fn session_binding_name(workspace: &WorkspaceId, session: &SessionId) -> String {
    format!("workspaces/{workspace}/sessions/{session}/binding")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tighter_consent_is_the_smaller_one() {
        assert!(Consent::Never < Consent::NoKey && Consent::NoKey < Consent::Any);
        for consent in [Consent::Never, Consent::NoKey, Consent::Any] {
            assert_eq!(Consent::parse(consent.as_str()), Some(consent));
        }
    }

    #[test]
    fn all_plans_include_own_keys_unless_some_are_named() {
        let (pro, free) = (PlanId::parse("pro").ok(), PlanId::parse("free").ok());
        let all = Plans::parse("").unwrap_or_else(|_| Plans(Some(Vec::new())));
        assert!(all.include(None) && all.include(free.as_ref()));
        let some = Plans::parse("pro, team").unwrap_or_default();
        assert!(some.include(pro.as_ref()) && !some.include(free.as_ref()) && !some.include(None));
        assert!(Plans::parse("pro,,").is_err() && Plans::parse("Pro").is_err());
    }

    #[test]
    fn modes_read_what_they_write() {
        for mode in [AgentMode::Auto, AgentMode::Metered, AgentMode::Byok] {
            assert_eq!(AgentMode::parse(mode.as_str()), Some(mode));
        }
        for mode in [DefaultMode::Auto, DefaultMode::Metered] {
            assert_eq!(DefaultMode::parse(mode.as_str()), Some(mode));
        }
    }
}
