//! Standing orders as calls obey them: one whose row is gone though nobody ended it is altered, not absent. Ignoring it
//! would let its calls slide to other keys.

use claviger_core::audit::Action;
use claviger_core::ids::{AgentId, SessionId, WorkspaceId};
use claviger_core::workspace::{AgentRoute, SessionBinding, agent_route_name, session_binding_name};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::workspaces::{agent_route, session_binding};
use crate::store::bound::Binder;
use crate::store::entity::audit_events::{Column, Entity};
use crate::store::{Kept, StoreError};

/// What a session is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// Nothing, and nobody bound it or the binding was ended.
    Never,
    /// This, until it expires.
    To(Box<Kept<SessionBinding>>),
    /// Its row is gone, and no event ended it: it expired at this time and was forgotten, or else someone took it away.
    Gone(OffsetDateTime),
}

pub(super) async fn route(
    db: &impl ConnectionTrait,
    binder: &Binder,
    workspace: &WorkspaceId,
    agent: &AgentId,
) -> Result<Option<Kept<AgentRoute>>, StoreError> {
    let found = agent_route(db, binder, workspace, agent).await?;
    let name = agent_route_name(workspace, agent);
    if found.is_none() && newest(db, &name).await?.is_some_and(|(action, _)| action == Action::AgentRouteSet.as_str()) {
        return Err(StoreError::Altered("agent_routes", name));
    }
    Ok(found)
}

pub(super) async fn binding(
    db: &impl ConnectionTrait,
    binder: &Binder,
    workspace: &WorkspaceId,
    session: &SessionId,
) -> Result<Bound, StoreError> {
    if let Some(found) = session_binding(db, binder, workspace, session).await? {
        return Ok(Bound::To(Box::new(found)));
    }
    match newest(db, &session_binding_name(workspace, session)).await? {
        Some((action, details)) if action == Action::SessionBound.as_str() => expiry(&details).map(Bound::Gone),
        _ => Ok(Bound::Never),
    }
}

/// The newest thing that was done to a resource, with its details.
async fn newest(db: &impl ConnectionTrait, target: &str) -> Result<Option<(String, String)>, StoreError> {
    let events = Entity::find().select_only().columns([Column::Action, Column::Details]);
    let newest = events.filter(Column::Target.eq(target)).order_by_desc(Column::Seq).limit(1);
    Ok(newest.into_tuple().one(db).await?)
}

fn expiry(details: &str) -> Result<OffsetDateTime, StoreError> {
    #[derive(Deserialize)]
    struct Details {
        expire_time: String,
    }
    const CORRUPT: StoreError = StoreError::Corrupt("audit_events");
    let details: Details = serde_json::from_str(details).map_err(|_| CORRUPT)?;
    OffsetDateTime::parse(&details.expire_time, &Rfc3339).map_err(|_| CORRUPT)
}
