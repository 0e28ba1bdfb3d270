//! What a key is put beside: its tenant's other keys, what they are sealed under, and the workspace's record. Each is one
//! exchange with the database, whatever the number of keys.

use std::collections::HashSet;

use claviger_core::ids::Owner;
use claviger_core::workspace::Workspace;
use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult, Statement, Value};

use super::keys::UNREVOKED;
use crate::audit_file::Head;
use crate::store::bound::{Binder, TOLD, Told, kept};
use crate::store::entity::workspaces;
use crate::store::{Kept, Store, StoreError, WorkspaceKeyRow};

/// What a key has beside it: its tenant's unrevoked keys, the members' included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbours {
    /// How many they are.
    pub count: u64,
    /// How many of them have its secret, itself included.
    pub same_secret: u64,
    /// The slugs of its own owner's.
    pub slugs: HashSet<String>,
    /// The newest key that the tenant's records are sealed under.
    pub workspace_key: Option<WorkspaceKeyRow>,
}

/// What a new key is put beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The end of the audit chain at that moment.
    pub head: Head,
    /// The workspace's record, a deleted one's too. None for the platform.
    pub workspace: Option<Kept<Workspace>>,
    /// Its tenant's keys.
    pub neighbours: Neighbours,
}

impl Store {
    /// What an owner's key with a secret of this fingerprint has beside it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn neighbours(&self, owner: &Owner, fingerprint: &[u8]) -> Result<Neighbours, StoreError> {
        neighbours(&self.read, owner, fingerprint).await
    }
}

pub(in crate::store) async fn neighbours(
    db: &impl ConnectionTrait,
    owner: &Owner,
    fingerprint: &[u8],
) -> Result<Neighbours, StoreError> {
    of_row(&one(db, neighbours_sql(), values(owner, fingerprint)).await?)
}

pub(in crate::store) async fn beside(
    db: &impl ConnectionTrait,
    binder: &Binder,
    owner: &Owner,
    fingerprint: &[u8],
) -> Result<Beside, StoreError> {
    let id = owner.tenant.workspace().map(ToString::to_string);
    let name = id.as_ref().map(|id| format!("workspaces/{id}"));
    let told = TOLD.map(|(sql, name)| format!("{sql} AS {name}")).join(", ");
    let neighbours = neighbours_sql();
    let sql = format!(
        "SELECT n.*, h.seq AS head_seq, h.hash AS head_hash, w.*, {told}, \
         CASE WHEN w.id IS NULL THEN (SELECT MIN(f.seq) FROM audit_events f WHERE f.target = $5) END AS first_of_missing \
         FROM ({neighbours}) AS n JOIN audit_head AS h ON h.id = 1 LEFT JOIN workspaces AS w ON w.id = $4"
    );
    let row = one(db, sql, values(owner, fingerprint).into_iter().chain([id.into(), name.clone().into()])).await?;
    if row.try_get::<Option<i64>>("", "first_of_missing")?.is_some() {
        return Err(StoreError::Altered("workspaces", name.unwrap_or_default())); // what has events has a record
    }
    let is_there = row.try_get::<Option<String>>("", "id")?.is_some();
    let told = is_there.then(|| Told::<workspaces::Model>::from_query_result(&row, "")).transpose()?;
    let workspace = told.map(|told| kept(binder, told)).transpose()?;
    Ok(Beside { head: head(&row)?, workspace, neighbours: of_row(&row)? })
}

fn head(row: &QueryResult) -> Result<Head, StoreError> {
    let hash: Vec<u8> = row.try_get("", "head_hash")?;
    let hash = hash.try_into().map_err(|_| StoreError::Corrupt("audit_head"))?;
    Ok(Head { seq: row.try_get("", "head_seq")?, hash })
}

async fn one(
    db: &impl ConnectionTrait,
    sql: String,
    values: impl IntoIterator<Item = Value>,
) -> Result<QueryResult, StoreError> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    db.query_one_raw(statement).await?.ok_or(StoreError::Corrupt("provider_keys"))
}

/// One look at the tenant's keys, and one at what they are sealed under.
fn neighbours_sql() -> String {
    format!(
        "SELECT k.*, s.* FROM (SELECT count(*) AS neighbours, count(*) FILTER (WHERE fingerprint = $2) AS same_secret, \
         string_agg(key_slug, ' ') FILTER (WHERE owner_user = $3) AS slugs \
         FROM provider_keys WHERE tenant = $1 AND {UNREVOKED}) AS k \
         LEFT JOIN (SELECT version AS key_version, master_key AS key_master, wrapped AS key_wrapped \
         FROM workspace_keys WHERE tenant = $1 ORDER BY version DESC LIMIT 1) AS s ON TRUE"
    )
}

fn values(owner: &Owner, fingerprint: &[u8]) -> [Value; 3] {
    [owner.tenant.to_string().into(), fingerprint.to_vec().into(), owner.user_str().to_owned().into()]
}

fn of_row(row: &QueryResult) -> Result<Neighbours, StoreError> {
    let count = |name| Ok::<_, StoreError>(row.try_get::<i64>("", name)?.unsigned_abs());
    let slugs: Option<String> = row.try_get("", "slugs")?;
    Ok(Neighbours {
        count: count("neighbours")?,
        same_secret: count("same_secret")?,
        slugs: slugs.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        workspace_key: workspace_key(row)?,
    })
}

fn workspace_key(row: &QueryResult) -> Result<Option<WorkspaceKeyRow>, StoreError> {
    let Some(version) = row.try_get::<Option<i32>>("", "key_version")? else { return Ok(None) };
    let version = u32::try_from(version).map_err(|_| StoreError::Corrupt("workspace_keys"))?;
    let (master_key, wrapped) = (row.try_get("", "key_master")?, row.try_get("", "key_wrapped")?);
    Ok(Some(WorkspaceKeyRow { version, master_key, wrapped }))
}
