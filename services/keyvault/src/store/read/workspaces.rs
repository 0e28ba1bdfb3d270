//! Reads of workspaces, their standing orders and the keys that their records are sealed under.

use claviger_core::filter::Filter;
use claviger_core::ids::{AgentId, SessionId, Tenant, WorkspaceId};
use claviger_core::workspace::{AgentRoute, SessionBinding, Workspace};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, TransactionTrait};

use crate::store::bound::{Binder, intact};
use crate::store::entity::{agent_routes, audit_events, session_bindings, workspace_keys as keys, workspaces};
use crate::store::filter::filtered;
use crate::store::{Kept, Store, StoreError, WorkspaceKeyRow};

impl Store {
    /// A workspace's record, a deleted one's too.
    ///
    /// # Errors
    /// [`StoreError::Altered`]; or when the database fails or the row is corrupt.
    pub async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Kept<Workspace>>, StoreError> {
        let txn = self.read.begin().await?;
        let found = workspace(&txn, &self.binder, id).await?;
        txn.commit().await?;
        Ok(found)
    }

    /// The workspaces that are not deleted, by id; at most `limit`, from behind `after`.
    ///
    /// # Errors
    /// [`StoreError::Altered`]; or when the database fails or a row is corrupt.
    pub async fn workspaces(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Kept<Workspace>>, StoreError> {
        use workspaces::Column;
        let mut query = workspaces::Entity::find()
            .filter(Column::DeleteTime.is_null())
            .filter(filtered(filter, column)?)
            .order_by_asc(Column::Id);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after));
        }
        let txn = self.read.begin().await?;
        let found = intact(&txn, &self.binder, query.limit(limit)).await?;
        txn.commit().await?;
        Ok(found)
    }

    /// An agent's standing order.
    ///
    /// # Errors
    /// [`StoreError::Altered`]; or when the database fails or the row is corrupt.
    pub async fn agent_route(
        &self,
        workspace: &WorkspaceId,
        agent: &AgentId,
    ) -> Result<Option<Kept<AgentRoute>>, StoreError> {
        let txn = self.read.begin().await?;
        let found = agent_route(&txn, &self.binder, workspace, agent).await?;
        txn.commit().await?;
        Ok(found)
    }

    /// A workspace's standing orders by agent; at most `limit`, from behind `after`.
    ///
    /// # Errors
    /// [`StoreError::Altered`]; or when the database fails or a row is corrupt.
    pub async fn agent_routes(
        &self,
        workspace: &WorkspaceId,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Kept<AgentRoute>>, StoreError> {
        use agent_routes::Column;
        let mut query =
            agent_routes::Entity::find().filter(Column::Workspace.eq(workspace.as_str())).order_by_asc(Column::Agent);
        if let Some(after) = after {
            query = query.filter(Column::Agent.gt(after));
        }
        let txn = self.read.begin().await?;
        let found = intact(&txn, &self.binder, query.limit(limit)).await?;
        txn.commit().await?;
        Ok(found)
    }

    /// A session's binding, expired or not.
    ///
    /// # Errors
    /// [`StoreError::Altered`]; or when the database fails or the row is corrupt.
    pub async fn session_binding(
        &self,
        workspace: &WorkspaceId,
        session: &SessionId,
    ) -> Result<Option<Kept<SessionBinding>>, StoreError> {
        let txn = self.read.begin().await?;
        let found = session_binding(&txn, &self.binder, workspace, session).await?;
        txn.commit().await?;
        Ok(found)
    }
}

/// The column of a filter's field.
fn column(field: &str) -> Option<workspaces::Column> {
    use workspaces::Column;
    Some(match field {
        "plan" => Column::Plan,
        "default_mode" => Column::DefaultMode,
        "fallback_consent" => Column::FallbackConsent,
        "read_only" => Column::ReadOnly,
        "create_time" => Column::CreateTime,
        _ => return None,
    })
}

pub(in crate::store) async fn workspace(
    db: &impl ConnectionTrait,
    binder: &Binder,
    id: &WorkspaceId,
) -> Result<Option<Kept<Workspace>>, StoreError> {
    let found = intact(db, binder, workspaces::Entity::find_by_id(id.as_str())).await?.pop();
    if found.is_none() {
        assert_never_was(db, id).await?;
    }
    Ok(found)
}

/// Records are never deleted, only marked so: what has events has a record.
async fn assert_never_was(db: &impl ConnectionTrait, id: &WorkspaceId) -> Result<(), StoreError> {
    use audit_events::Column;
    let name = format!("workspaces/{id}");
    let first = audit_events::Entity::find().select_only().column(Column::Seq).filter(Column::Target.eq(&name));
    match first.limit(1).into_tuple::<i64>().one(db).await? {
        Some(_) => Err(StoreError::Altered("workspaces", name)),
        None => Ok(()),
    }
}

pub(in crate::store) async fn agent_route(
    db: &impl ConnectionTrait,
    binder: &Binder,
    workspace: &WorkspaceId,
    agent: &AgentId,
) -> Result<Option<Kept<AgentRoute>>, StoreError> {
    let query = agent_routes::Entity::find_by_id((workspace.to_string(), agent.to_string()));
    Ok(intact(db, binder, query).await?.pop())
}

pub(in crate::store) async fn session_binding(
    db: &impl ConnectionTrait,
    binder: &Binder,
    workspace: &WorkspaceId,
    session: &SessionId,
) -> Result<Option<Kept<SessionBinding>>, StoreError> {
    let query = session_bindings::Entity::find_by_id((workspace.to_string(), session.to_string()));
    Ok(intact(db, binder, query).await?.pop())
}

/// A tenant's keys that records are sealed under, the newest last.
pub(in crate::store) async fn workspace_keys(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
) -> Result<Vec<WorkspaceKeyRow>, StoreError> {
    let rows = keys::Entity::find()
        .filter(keys::Column::Tenant.eq(tenant.to_string()))
        .order_by_asc(keys::Column::Version)
        .all(db)
        .await?;
    let domain = |row: keys::Model| {
        let version = u32::try_from(row.version).map_err(|_| StoreError::Corrupt("workspace_keys"))?;
        Ok(WorkspaceKeyRow { version, master_key: row.master_key, wrapped: row.wrapped })
    };
    rows.into_iter().map(domain).collect()
}
