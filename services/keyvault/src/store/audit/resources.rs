//! Resources that the events tell of, and that have no row.

use std::collections::{BTreeSet, HashSet};

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, TransactionTrait,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::rows::{deleted, workspace_of};
use crate::store::entity::audit_events::{Column, Entity};
use crate::store::entity::{agent_routes, provider_keys, session_bindings, workspaces};
use crate::store::{Store, StoreError};

/// A resource without a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrowed {
    /// Its name.
    pub target: String,
    /// Its newest event, which says that it exists.
    pub newest: u64,
}

/// The newest event of a resource.
struct Newest {
    seq: i64,
    action: String,
    target: String,
    details: String,
}

/// Some resources at one moment: the one without a row, and where to go on.
type Looked = (Option<Unrowed>, Option<String>);

impl Store {
    /// Looks through resources by name, from behind one; at most `limit`. Answers the first that must have a row and has
    /// none, and where to go on. All from one snapshot of the database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look_for_missing(
        &self,
        after: Option<&str>,
        limit: u64,
        now: OffsetDateTime,
    ) -> Result<Looked, StoreError> {
        let txn = self.read.begin().await?;
        let some = newest_events(&txn, after, limit).await?;
        let next = some.last().filter(|_| some.len() as u64 == limit).map(|last| last.target.clone());
        let ended = deleted(&txn, some.iter().filter_map(|event| workspace_of(&event.target))).await?;
        let rows = existing(&txn, &some).await?;
        let missing = some.into_iter().find(|event| {
            let end = workspace_of(&event.target).and_then(|workspace| ended.get(workspace));
            event.must_have_a_row(end.copied(), now) && !rows.contains(&event.target)
        });
        txn.commit().await?;
        let unrowed =
            |event: Newest| Unrowed { newest: u64::try_from(event.seq).unwrap_or_default(), target: event.target };
        Ok((missing.map(unrowed), next))
    }
}

impl Newest {
    /// `ended` is when its workspace was deleted last, and its standing orders with it.
    fn must_have_a_row(&self, ended: Option<i64>, now: OffsetDateTime) -> bool {
        match self.action.as_str() {
            "agent_route.set" => ended.is_none_or(|end| end < self.seq),
            "session.bound" => ended.is_none_or(|end| end < self.seq) && !self.is_over(now),
            // never deleted, only marked so
            action => action.starts_with("key.") || action.starts_with("workspace."),
        }
    }

    fn is_over(&self, now: OffsetDateTime) -> bool {
        let details = serde_json::from_str::<serde_json::Value>(&self.details).unwrap_or_default();
        let end = details["expire_time"].as_str().and_then(|end| OffsetDateTime::parse(end, &Rfc3339).ok());
        end.is_some_and(|end| end <= now)
    }

    /// The part of its name behind a collection's.
    fn part(&self, collection: &str) -> Option<&str> {
        let mut parts = self.target.strip_prefix("platform/").unwrap_or(&self.target).split('/');
        loop {
            let (name, id) = (parts.next()?, parts.next()?);
            if name == collection {
                return Some(id);
            }
        }
    }
}

async fn newest_events(db: &impl ConnectionTrait, after: Option<&str>, limit: u64) -> Result<Vec<Newest>, StoreError> {
    let mut newest = Query::select();
    newest.expr(Expr::col(Column::Seq).max()).from(Entity).group_by_col(Column::Target);
    newest.order_by(Column::Target, sea_orm::Order::Asc).limit(limit);
    if let Some(after) = after {
        newest.and_where(Expr::col(Column::Target).gt(after));
    }
    let rows: Vec<(i64, String, String, String)> = Entity::find()
        .select_only()
        .columns([Column::Seq, Column::Action, Column::Target, Column::Details])
        .filter(Column::Seq.in_subquery(newest))
        .order_by_asc(Column::Target)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|(seq, action, target, details)| Newest { seq, action, target, details }).collect())
}

/// Those of the resources that have a row.
async fn existing(db: &impl ConnectionTrait, of: &[Newest]) -> Result<HashSet<String>, StoreError> {
    use provider_keys::Column as Key;
    use {agent_routes as routes, session_bindings as bindings};
    let parts = |collection| of.iter().filter_map(move |event| event.part(collection)).collect::<BTreeSet<_>>();
    let keys = provider_keys::Entity::find().select_only().columns([Key::Tenant, Key::OwnerUser, Key::Id]);
    let keys: Vec<(String, String, String)> = keys.filter(Key::Id.is_in(parts("keys"))).into_tuple().all(db).await?;
    let records = workspaces::Entity::find().select_only().column(workspaces::Column::Id);
    let within = parts("workspaces");
    let records: Vec<String> =
        records.filter(workspaces::Column::Id.is_in(within.clone())).into_tuple().all(db).await?;
    let orders: Vec<(String, String)> = routes::Entity::find()
        .select_only()
        .columns([routes::Column::Workspace, routes::Column::Agent])
        .filter(routes::Column::Workspace.is_in(within.clone()))
        .filter(routes::Column::Agent.is_in(parts("agents")))
        .into_tuple()
        .all(db)
        .await?;
    let pins: Vec<(String, String)> = bindings::Entity::find()
        .select_only()
        .columns([bindings::Column::Workspace, bindings::Column::Session])
        .filter(bindings::Column::Workspace.is_in(within))
        .filter(bindings::Column::Session.is_in(parts("sessions")))
        .into_tuple()
        .all(db)
        .await?;
    let keys = keys.into_iter().map(|(tenant, user, id)| crate::store::key_row::name_of(&tenant, &user, &id));
    let records = records.into_iter().map(|id| format!("workspaces/{id}"));
    let orders = orders.into_iter().map(|(workspace, agent)| format!("workspaces/{workspace}/agents/{agent}/route"));
    let pins =
        pins.into_iter().map(|(workspace, session)| format!("workspaces/{workspace}/sessions/{session}/binding"));
    Ok(keys.chain(records).chain(orders).chain(pins).collect())
}
