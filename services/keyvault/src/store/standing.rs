//! Standing orders' rows, to and from the domain: agents' routes and sessions' bindings.

use claviger_core::ids::{AgentId, KeySlug, ModelId, ProviderId, SessionId, UserId, WorkspaceId};
use claviger_core::workspace::{AgentMode, AgentRoute, Consent, SessionBinding};

use super::StoreError;
use super::bound::bound;
use super::entity::{agent_routes, session_bindings};
use super::key_row::{micros, time};

bound!(agent_routes::Model, "agent_routes", free [], |row| {
    format!("workspaces/{}/agents/{}/route", row.workspace, row.agent)
});

impl TryFrom<agent_routes::Model> for AgentRoute {
    type Error = StoreError;

    fn try_from(row: agent_routes::Model) -> Result<Self, StoreError> {
        route(row).ok_or(StoreError::Corrupt("agent_routes"))
    }
}

fn route(row: agent_routes::Model) -> Option<AgentRoute> {
    Some(AgentRoute {
        workspace: WorkspaceId::parse(&row.workspace).ok()?,
        agent: AgentId::parse(&row.agent).ok()?,
        mode: AgentMode::parse(&row.mode)?,
        provider: row.provider.map(|p| ProviderId::parse(&p)).transpose().ok()?,
        slug: row.key_slug.map(|s| KeySlug::parse(&s)).transpose().ok()?,
        model: row.model.map(|m| ModelId::parse(&m)).transpose().ok()?,
        consent: match row.fallback_consent {
            None => None,
            Some(consent) => Some(Consent::parse(&consent)?),
        },
        create_time: time(row.create_time)?,
        update_time: time(row.update_time)?,
        updater: row.updater,
    })
}

/// A route's row, not yet bound to an event.
pub(super) fn route_row(route: &AgentRoute) -> agent_routes::Model {
    agent_routes::Model {
        workspace: route.workspace.to_string(),
        agent: route.agent.to_string(),
        mode: route.mode.as_str().to_owned(),
        provider: route.provider.as_ref().map(ToString::to_string),
        key_slug: route.slug.as_ref().map(ToString::to_string),
        model: route.model.as_ref().map(ToString::to_string),
        fallback_consent: route.consent.map(|consent| consent.as_str().to_owned()),
        create_time: micros(route.create_time),
        update_time: micros(route.update_time),
        updater: route.updater.clone(),
        last_seq: 0,
        mac: Vec::new(),
    }
}

bound!(session_bindings::Model, "session_bindings", free [], |row| {
    format!("workspaces/{}/sessions/{}/binding", row.workspace, row.session)
});

impl TryFrom<session_bindings::Model> for SessionBinding {
    type Error = StoreError;

    fn try_from(row: session_bindings::Model) -> Result<Self, StoreError> {
        binding(row).ok_or(StoreError::Corrupt("session_bindings"))
    }
}

fn binding(row: session_bindings::Model) -> Option<SessionBinding> {
    Some(SessionBinding {
        workspace: WorkspaceId::parse(&row.workspace).ok()?,
        session: SessionId::parse(&row.session).ok()?,
        slug: KeySlug::parse(&row.key_slug).ok()?,
        user: row.owner_user.map(|u| UserId::parse(&u)).transpose().ok()?,
        provider: row.provider.map(|p| ProviderId::parse(&p)).transpose().ok()?,
        model: row.model.map(|m| ModelId::parse(&m)).transpose().ok()?,
        create_time: time(row.create_time)?,
        creator: row.creator,
        expire_time: time(row.expire_time)?,
    })
}

/// A binding's row, not yet bound to an event.
pub(super) fn binding_row(binding: &SessionBinding) -> session_bindings::Model {
    session_bindings::Model {
        workspace: binding.workspace.to_string(),
        session: binding.session.to_string(),
        key_slug: binding.slug.to_string(),
        owner_user: binding.user.as_ref().map(ToString::to_string),
        provider: binding.provider.as_ref().map(ToString::to_string),
        model: binding.model.as_ref().map(ToString::to_string),
        create_time: micros(binding.create_time),
        creator: binding.creator.clone(),
        expire_time: micros(binding.expire_time),
        last_seq: 0,
        mac: Vec::new(),
    }
}
