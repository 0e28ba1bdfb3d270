//! Writes of workspaces and their standing orders.

use claviger_core::ids::{AgentId, SessionId, WorkspaceId};
use claviger_core::workspace::{AgentRoute, SessionBinding, Workspace};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, Condition, EntityTrait, Iterable, QueryFilter, QuerySelect};
use time::OffsetDateTime;

use super::WriteTxn;
use crate::store::bound::{Stamp, whole};
use crate::store::entity::{agent_routes, session_bindings, workspaces};
use crate::store::key_row::micros;
use crate::store::standing::{binding_row, route_row};
use crate::store::{Kept, StoreError, read, workspace_row};

impl WriteTxn {
    /// A workspace's record as this write finds it, a deleted one's too.
    ///
    /// # Errors
    /// [`StoreError::Altered`]; or when the database fails or the row is corrupt.
    pub async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Kept<Workspace>>, StoreError> {
        read::workspace(&self.txn, &self.binder, id).await
    }

    /// Writes a workspace's record as it is now, in place of the one before if there is one, bound to the event that tells
    /// of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_workspace(&self, workspace: &Workspace, stamp: &Stamp) -> Result<(), StoreError> {
        let mut row = workspace_row::row(workspace)?;
        self.binder.bind(&mut row, stamp)?;
        let in_place = OnConflict::column(workspaces::Column::Id).update_columns(workspaces::Column::iter()).to_owned();
        workspaces::Entity::insert(whole::<_, workspaces::ActiveModel>(row))
            .on_conflict(in_place)
            .exec_without_returning(&self.txn)
            .await?;
        Ok(())
    }
}

/// Agents' standing orders.
impl WriteTxn {
    /// An agent's standing order as this write finds it.
    ///
    /// # Errors
    /// [`StoreError::Altered`]; or when the database fails or the row is corrupt.
    pub async fn agent_route(
        &self,
        workspace: &WorkspaceId,
        agent: &AgentId,
    ) -> Result<Option<Kept<AgentRoute>>, StoreError> {
        read::agent_route(&self.txn, &self.binder, workspace, agent).await
    }

    /// The agents of a workspace that have a standing order, altered or not; at most `limit`.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn routed_agents(&self, workspace: &WorkspaceId, limit: u64) -> Result<Vec<AgentId>, StoreError> {
        use agent_routes::Column;
        let of_workspace = agent_routes::Entity::find().filter(Column::Workspace.eq(workspace.as_str()));
        let agents = of_workspace.select_only().column(Column::Agent).limit(limit).into_tuple().all(&self.txn);
        let agents: Vec<String> = agents.await?;
        agents.iter().map(|agent| AgentId::parse(agent).map_err(|_| StoreError::Corrupt("agent_routes"))).collect()
    }

    /// Writes an agent's standing order in place of the one before, bound to the event that tells of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_agent_route(&self, route: &AgentRoute, stamp: &Stamp) -> Result<(), StoreError> {
        let mut row = route_row(route);
        self.binder.bind(&mut row, stamp)?;
        agent_routes::Entity::delete_by_id((row.workspace.clone(), row.agent.clone())).exec(&self.txn).await?;
        agent_routes::Entity::insert(whole::<_, agent_routes::ActiveModel>(row))
            .exec_without_returning(&self.txn)
            .await?;
        Ok(())
    }

    /// Ends an agent's standing order, altered or not; whether there was one. The stamp's event tells so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_agent_route(
        &self,
        workspace: &WorkspaceId,
        agent: &AgentId,
        _: &Stamp,
    ) -> Result<bool, StoreError> {
        let id = (workspace.to_string(), agent.to_string());
        Ok(agent_routes::Entity::delete_by_id(id).exec(&self.txn).await?.rows_affected == 1)
    }
}

/// Sessions' bindings.
impl WriteTxn {
    /// A session's binding as this write finds it, expired or not.
    ///
    /// # Errors
    /// [`StoreError::Altered`]; or when the database fails or the row is corrupt.
    pub async fn session_binding(
        &self,
        workspace: &WorkspaceId,
        session: &SessionId,
    ) -> Result<Option<Kept<SessionBinding>>, StoreError> {
        read::session_binding(&self.txn, &self.binder, workspace, session).await
    }

    /// The sessions of a workspace that are bound, expired and altered bindings included; at most `limit`.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn bound_sessions(&self, workspace: &WorkspaceId, limit: u64) -> Result<Vec<SessionId>, StoreError> {
        use session_bindings::Column;
        let of_workspace = session_bindings::Entity::find().filter(Column::Workspace.eq(workspace.as_str()));
        let sessions = of_workspace.select_only().column(Column::Session).limit(limit).into_tuple().all(&self.txn);
        let sessions: Vec<String> = sessions.await?;
        let id = |session: &String| SessionId::parse(session).map_err(|_| StoreError::Corrupt("session_bindings"));
        sessions.iter().map(id).collect()
    }

    /// Writes a session's binding in place of the one before, bound to the event that tells of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_session_binding(&self, binding: &SessionBinding, stamp: &Stamp) -> Result<(), StoreError> {
        let mut row = binding_row(binding);
        self.binder.bind(&mut row, stamp)?;
        session_bindings::Entity::delete_by_id((row.workspace.clone(), row.session.clone())).exec(&self.txn).await?;
        session_bindings::Entity::insert(whole::<_, session_bindings::ActiveModel>(row))
            .exec_without_returning(&self.txn)
            .await?;
        Ok(())
    }

    /// Ends a session's binding, altered or not; whether there was one. The stamp's event tells so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_session_binding(
        &self,
        workspace: &WorkspaceId,
        session: &SessionId,
        _: &Stamp,
    ) -> Result<bool, StoreError> {
        let id = (workspace.to_string(), session.to_string());
        Ok(session_bindings::Entity::delete_by_id(id).exec(&self.txn).await?.rows_affected == 1)
    }

    /// Removes at most `limit` rows, of any workspace, of bindings that expired before a time. They ended by themselves, so
    /// no event tells of it; such a row put back has still expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_expired_bindings(&self, before: OffsetDateTime, limit: u64) -> Result<(), StoreError> {
        use session_bindings::Column;
        let old: Vec<(String, String)> = session_bindings::Entity::find()
            .select_only()
            .columns([Column::Workspace, Column::Session])
            .filter(Column::ExpireTime.lt(micros(before)))
            .limit(limit)
            .into_tuple()
            .all(&self.txn)
            .await?;
        if old.is_empty() {
            return Ok(());
        }
        let row = |(workspace, session)| {
            Condition::all().add(Column::Workspace.eq::<String>(workspace)).add(Column::Session.eq::<String>(session))
        };
        let rows = old.into_iter().map(row).fold(Condition::any(), Condition::add);
        session_bindings::Entity::delete_many().filter(rows).exec(&self.txn).await?;
        Ok(())
    }
}
