//! Rows that are bound to events, a page at a time with whether each is as its newest event left it.

use std::collections::{BTreeSet, HashMap};

use claviger_core::ids::Tenant;
use claviger_core::key::KeyState;
use sea_orm::sea_query::{Expr, Value};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, TransactionTrait,
};

use crate::store::bound::{Binder, Bound, Told, told};
use crate::store::entity::{agent_routes, audit_events, provider_keys, session_bindings, workspaces};
use crate::store::key_row::stored;
use crate::store::{Store, StoreError, StoredKey, WorkspaceKeyRow, read};

/// A table whose rows are bound to events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundTable {
    /// Keys.
    ProviderKeys,
    /// Workspaces' records.
    Workspaces,
    /// Agents' standing orders.
    AgentRoutes,
    /// Sessions' bindings.
    SessionBindings,
}

impl BoundTable {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ProviderKeys, Self::Workspaces, Self::AgentRoutes, Self::SessionBindings];
}

/// A row, as far as its tag is concerned.
#[derive(Debug)]
pub struct CheckedRow {
    /// The resource that it says it is of.
    pub target: String,
    /// That resource's newest event; 0 for none.
    pub newest: u64,
    /// It is as that event left it.
    pub intact: bool,
    /// An intact key's row, for the seal of its secret is its own.
    pub key: Option<StoredKey>,
}

/// Where a walk through a table goes on.
pub type Cursor = Vec<String>;

/// Some rows at one moment.
#[derive(Debug)]
pub struct RowPage {
    /// The rows.
    pub rows: Vec<CheckedRow>,
    /// What the keys among them are sealed under.
    pub workspace_keys: Vec<(Tenant, WorkspaceKeyRow)>,
    /// Where to go on, unless this is the end.
    pub next: Option<Cursor>,
}

impl Store {
    /// Rows of a table from behind a cursor; at most `limit`. All from one snapshot of the database, so that no change
    /// that is under way looks like an alteration.
    ///
    /// # Errors
    /// When the database fails, or an intact row is corrupt.
    pub async fn check_rows(
        &self,
        table: BoundTable,
        after: Option<&Cursor>,
        limit: u64,
    ) -> Result<RowPage, StoreError> {
        use {agent_routes as routes, session_bindings as bindings};
        let txn = self.read.begin().await?;
        let (db, binder) = (&txn, &*self.binder);
        let page = match table {
            BoundTable::ProviderKeys => keys(db, binder, after, limit).await?,
            BoundTable::Workspaces => {
                other::<workspaces::Entity, _>(db, binder, &[workspaces::Column::Id], after, limit).await?
            }
            BoundTable::AgentRoutes => {
                let key = [routes::Column::Workspace, routes::Column::Agent];
                orders::<routes::Entity, _>(db, binder, &key, after, limit).await?
            }
            BoundTable::SessionBindings => {
                let key = [bindings::Column::Workspace, bindings::Column::Session];
                orders::<bindings::Entity, _>(db, binder, &key, after, limit).await?
            }
        };
        txn.commit().await?;
        Ok(page)
    }
}

async fn keys(
    db: &impl ConnectionTrait,
    binder: &Binder,
    after: Option<&Cursor>,
    limit: u64,
) -> Result<RowPage, StoreError> {
    let (rows, next) = page::<provider_keys::Entity, _>(db, binder, &[provider_keys::Column::Id], after, limit).await?;
    let ended = deleted(db, rows.iter().filter_map(|(_, about)| workspace_of(&about.target))).await?;
    let mut checked = Vec::with_capacity(rows.len());
    for (row, mut about) in rows {
        let revoked = KeyState::parse(&row.state).is_some_and(KeyState::is_revoked);
        about.intact &= revoked || !is_ended(&ended, &about); // a workspace's end revokes all of its keys
        if about.intact {
            about.key = Some(stored(row, true)?);
        }
        checked.push(about);
    }
    let tenants: BTreeSet<_> =
        checked.iter().filter_map(|row| Some(row.key.as_ref()?.key.name.owner.tenant.clone())).collect();
    let mut workspace_keys = Vec::new();
    for tenant in tenants {
        let rows = read::workspace_keys(db, &tenant).await?;
        workspace_keys.extend(rows.into_iter().map(|row| (tenant.clone(), row)));
    }
    Ok(RowPage { rows: checked, workspace_keys, next })
}

async fn other<E, M>(
    db: &impl ConnectionTrait,
    binder: &Binder,
    key: &[E::Column],
    after: Option<&Cursor>,
    limit: u64,
) -> Result<RowPage, StoreError>
where
    E: EntityTrait<Model = M>,
    M: Bound<Entity = E>,
{
    let (rows, next) = page::<E, M>(db, binder, key, after, limit).await?;
    let rows = rows.into_iter().map(|(_, about)| about).collect();
    Ok(RowPage { rows, workspace_keys: Vec::new(), next })
}

/// Standing orders end with their workspace, whose event tells so for all of them: none may be older than that.
async fn orders<E, M>(
    db: &impl ConnectionTrait,
    binder: &Binder,
    key: &[E::Column],
    after: Option<&Cursor>,
    limit: u64,
) -> Result<RowPage, StoreError>
where
    E: EntityTrait<Model = M>,
    M: Bound<Entity = E>,
{
    let mut page = other::<E, M>(db, binder, key, after, limit).await?;
    let ended = deleted(db, page.rows.iter().filter_map(|row| workspace_of(&row.target))).await?;
    for row in &mut page.rows {
        row.intact &= !is_ended(&ended, row);
    }
    Ok(page)
}

/// Whether its workspace was deleted since its newest event.
fn is_ended(ended: &HashMap<String, i64>, row: &CheckedRow) -> bool {
    let end = ended.get(workspace_of(&row.target).unwrap_or_default());
    end.is_some_and(|end| u64::try_from(*end).is_ok_and(|end| end > row.newest))
}

/// `workspaces/{workspace}` of a resource in it.
pub(super) fn workspace_of(target: &str) -> Option<&str> {
    let id = target.strip_prefix("workspaces/")?.split('/').next()?;
    target.get(.."workspaces/".len() + id.len())
}

/// When each of these workspaces was last deleted, if ever.
pub(super) async fn deleted(
    db: &impl ConnectionTrait,
    workspaces: impl Iterator<Item = &str>,
) -> Result<HashMap<String, i64>, StoreError> {
    use audit_events::Column;
    let workspaces: BTreeSet<&str> = workspaces.collect();
    let rows: Vec<(String, i64)> = audit_events::Entity::find()
        .select_only()
        .column(Column::Target)
        .column_as(Column::Seq.max(), "seq")
        .filter(Column::Target.is_in(workspaces))
        .filter(Column::Action.eq("workspace.deleted"))
        .group_by(Column::Target)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Rows by their primary key, which is of texts, with whether each is as its newest event left it.
async fn page<E, M>(
    db: &impl ConnectionTrait,
    binder: &Binder,
    key: &[E::Column],
    after: Option<&Cursor>,
    limit: u64,
) -> Result<(Vec<(M, CheckedRow)>, Option<Cursor>), StoreError>
where
    E: EntityTrait<Model = M>,
    M: Bound<Entity = E>,
{
    let mut query = E::find();
    if let Some(after) = after {
        let position = Expr::tuple(key.iter().map(|column| Expr::col(*column)));
        query = query.filter(position.gt(Expr::tuple(after.iter().map(|text| Expr::value(text.clone())))));
    }
    for column in key {
        query = query.order_by_asc(*column);
    }
    let found = told::<E, M>(db, query.limit(limit)).await?;
    let full = found.len() as u64 == limit;
    let text = |value| if let Value::String(Some(text)) = value { text } else { String::new() };
    let place = |told: &Told<M>| key.iter().map(|column| text(told.row.get(*column))).collect();
    let next = found.last().filter(|_| full).map(place);
    let mut rows = Vec::with_capacity(found.len());
    for told in found {
        let (target, intact) = (told.row.target(), binder.is_intact(&told)?);
        let newest = if intact { told.row.last_seq() } else { newest(db, &target).await? };
        let newest = u64::try_from(newest).unwrap_or_default();
        rows.push((told.row, CheckedRow { target, newest, intact, key: None }));
    }
    Ok((rows, next))
}

/// A resource's newest event; 0 for none.
async fn newest(db: &impl ConnectionTrait, target: &str) -> Result<i64, StoreError> {
    use audit_events::Column;
    let events = audit_events::Entity::find().select_only().column(Column::Seq).filter(Column::Target.eq(target));
    Ok(events.order_by_desc(Column::Seq).limit(1).into_tuple().one(db).await?.unwrap_or_default())
}
