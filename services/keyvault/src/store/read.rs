//! Reads. Each takes the tenant first, or a name that holds it.

use claviger_core::ids::{KeyName, ModelId, Owner, ProviderId, Tenant, WorkspaceId};
use claviger_core::key::ProviderKey;
use claviger_core::workspace::{Consent, Policy, Workspace};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, Iterable, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select, TransactionTrait,
};
use time::OffsetDateTime;

use super::entity::{audit_head, provider_keys, workspace_keys, workspaces};
use super::key_row::{micros, time};
use super::{Store, StoreError, StoredKey, WorkspaceKeyRow};

/// How many revoked keys a snapshot tells of at most.
const MOST_ENDED: u64 = 1_000;
const REVOKED: [&str; 2] = ["REVOKED", "PURGED"];

/// Where a listing goes on: after this key in the order of priority, age and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// The last key's priority.
    pub priority: i32,
    /// The last key's create time.
    pub create_time: OffsetDateTime,
    /// The last key's id.
    pub id: String,
}

/// All of one tenant, at one moment.
#[derive(Debug)]
pub struct TenantRows {
    /// The audit sequence number of that moment.
    pub seq: u64,
    /// The workspace's record, if it has one. None for the platform.
    pub workspace: Option<Workspace>,
    /// Its unrevoked keys.
    pub keys: Vec<StoredKey>,
    /// Of each owner and slug, the newest revoked key: enough to tell that a pinned key is revoked.
    pub ended: Vec<ProviderKey>,
    /// The keys that its records are sealed under.
    pub workspace_keys: Vec<WorkspaceKeyRow>,
}

impl Store {
    /// The newest audit sequence number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn seq(&self) -> Result<u64, StoreError> {
        Ok(head(&self.read).await?.0)
    }

    /// One key, revoked or not.
    ///
    /// # Errors
    /// When the database fails or the row is corrupt.
    pub async fn key(&self, name: &KeyName) -> Result<Option<StoredKey>, StoreError> {
        key(&self.read, name).await
    }

    /// An owner's keys by priority, age and id; at most `limit`, from behind `after`.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn keys(
        &self,
        owner: &Owner,
        show_revoked: bool,
        after: Option<&After>,
        limit: u64,
    ) -> Result<Vec<StoredKey>, StoreError> {
        use provider_keys::Column;
        let mut query = provider_keys::Entity::find().filter(of_owner(owner));
        if !show_revoked {
            query = query.filter(Column::State.is_not_in(REVOKED));
        }
        if let Some(after) = after {
            let position = Expr::tuple([
                Expr::col(Column::RotationPriority),
                Expr::col(Column::CreateTime),
                Expr::col(Column::Id),
            ]);
            let last = Expr::tuple([
                Expr::value(after.priority),
                Expr::value(micros(after.create_time)),
                Expr::value(after.id.clone()),
            ]);
            query = query.filter(position.gt(last));
        }
        let rows = query
            .order_by_asc(Column::RotationPriority)
            .order_by_asc(Column::CreateTime)
            .order_by_asc(Column::Id)
            .limit(limit)
            .all(&self.read)
            .await?;
        rows.into_iter().map(StoredKey::try_from).collect()
    }

    /// The slugs of an owner's unrevoked keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn slugs(&self, owner: &Owner) -> Result<Vec<String>, StoreError> {
        slugs(&self.read, owner).await
    }

    /// A workspace's record.
    ///
    /// # Errors
    /// When the database fails or the row is corrupt.
    pub async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        workspace(&self.read, id).await
    }

    /// A tenant's key that records are sealed under, by its exact version.
    ///
    /// # Errors
    /// When the database fails or the row is corrupt.
    pub async fn workspace_key(&self, tenant: &Tenant, version: u32) -> Result<Option<WorkspaceKeyRow>, StoreError> {
        let rows = workspace_keys(&self.read, tenant).await?;
        Ok(rows.into_iter().find(|row| row.version == version))
    }

    /// All of one tenant, read in one transaction.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn tenant(&self, tenant: &Tenant) -> Result<TenantRows, StoreError> {
        let txn = self.read.begin().await?;
        let (seq, _) = head(&txn).await?;
        let workspace = match tenant.workspace() {
            Some(id) => workspace(&txn, id).await?,
            None => None,
        };
        let keys = usable_keys(&txn, tenant).await?;
        let ended = newest_ended_keys(&txn, tenant).await?;
        let workspace_keys = workspace_keys(&txn, tenant).await?;
        txn.commit().await?;
        Ok(TenantRows { seq, workspace, keys, ended, workspace_keys })
    }
}

pub(super) async fn head(db: &impl ConnectionTrait) -> Result<(u64, [u8; 32]), StoreError> {
    const CORRUPT: StoreError = StoreError::Corrupt("audit_head");
    let row = audit_head::Entity::find_by_id(1).one(db).await?.ok_or(CORRUPT)?;
    let seq = u64::try_from(row.seq).map_err(|_| CORRUPT)?;
    let hash = row.hash.try_into().map_err(|_| CORRUPT)?;
    Ok((seq, hash))
}

pub(super) async fn key(db: &impl ConnectionTrait, name: &KeyName) -> Result<Option<StoredKey>, StoreError> {
    let row = provider_keys::Entity::find_by_id(name.id.to_string()).filter(of_owner(&name.owner)).one(db).await?;
    row.map(StoredKey::try_from).transpose()
}

pub(super) fn of_owner(owner: &Owner) -> Condition {
    Condition::all()
        .add(provider_keys::Column::Tenant.eq(owner.tenant.to_string()))
        .add(provider_keys::Column::OwnerUser.eq(owner.user_str()))
}

/// A tenant's unrevoked keys, of which there are no more than the limit.
async fn usable_keys(db: &impl ConnectionTrait, tenant: &Tenant) -> Result<Vec<StoredKey>, StoreError> {
    let rows = unrevoked(tenant).all(db).await?;
    rows.into_iter().map(StoredKey::try_from).collect()
}

fn unrevoked(tenant: &Tenant) -> Select<provider_keys::Entity> {
    provider_keys::Entity::find()
        .filter(provider_keys::Column::Tenant.eq(tenant.to_string()))
        .filter(provider_keys::Column::State.is_not_in(REVOKED))
}

/// How many unrevoked keys a tenant has, its members' included.
pub(super) async fn count_keys(db: &impl ConnectionTrait, tenant: &Tenant) -> Result<u64, StoreError> {
    Ok(unrevoked(tenant).count(db).await?)
}

/// Of each owner and slug, the newest revoked key, without its ciphertext. Revoked keys pile up for ever, so their rows are
/// not all read for each resolve.
async fn newest_ended_keys(db: &impl ConnectionTrait, tenant: &Tenant) -> Result<Vec<ProviderKey>, StoreError> {
    use provider_keys::Column;
    let newest = Query::select()
        .expr(Expr::col(Column::Id).max())
        .from(provider_keys::Entity)
        .and_where(Column::Tenant.eq(tenant.to_string()))
        .and_where(Column::State.is_in(REVOKED))
        .group_by_columns([Column::OwnerUser, Column::KeySlug])
        .to_owned();
    let sealed = |column: &Column| matches!(column, Column::Sealed | Column::Fingerprint);
    let rows = provider_keys::Entity::find()
        .select_only()
        .columns(Column::iter().filter(|column| !sealed(column)))
        .expr_as(Expr::value(Vec::<u8>::new()), "sealed")
        .expr_as(Expr::value(Vec::<u8>::new()), "fingerprint")
        .filter(Column::Id.in_subquery(newest)) // ids are UUIDv7: the greatest is the newest
        .order_by_desc(Column::Id)
        .limit(MOST_ENDED)
        .into_model::<provider_keys::Model>()
        .all(db)
        .await?;
    rows.into_iter().map(|row| StoredKey::try_from(row).map(|stored| stored.key)).collect()
}

/// The slugs of an owner's unrevoked keys.
pub(super) async fn slugs(db: &impl ConnectionTrait, owner: &Owner) -> Result<Vec<String>, StoreError> {
    let slugs = provider_keys::Entity::find()
        .select_only()
        .column(provider_keys::Column::KeySlug)
        .filter(of_owner(owner))
        .filter(provider_keys::Column::State.is_not_in(REVOKED))
        .into_tuple()
        .all(db)
        .await?;
    Ok(slugs)
}

pub(super) async fn workspace(db: &impl ConnectionTrait, id: &WorkspaceId) -> Result<Option<Workspace>, StoreError> {
    let row = workspaces::Entity::find_by_id(id.as_str()).one(db).await?;
    row.map(|row| domain(row).ok_or(StoreError::Corrupt("workspaces"))).transpose()
}

fn domain(row: workspaces::Model) -> Option<Workspace> {
    Some(Workspace {
        id: WorkspaceId::parse(&row.id).ok()?,
        policy: Policy {
            consent: Consent::parse(&row.fallback_consent)?,
            default_provider: row.default_provider.map(|p| ProviderId::parse(&p)).transpose().ok()?,
            default_model: row.default_model.map(|m| ModelId::parse(&m)).transpose().ok()?,
        },
        create_time: time(row.create_time)?,
        creator: row.creator,
        update_time: time(row.update_time)?,
    })
}

/// A tenant's keys that records are sealed under, the newest last.
pub(super) async fn workspace_keys(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
) -> Result<Vec<WorkspaceKeyRow>, StoreError> {
    let rows = workspace_keys::Entity::find()
        .filter(workspace_keys::Column::Tenant.eq(tenant.to_string()))
        .order_by_asc(workspace_keys::Column::Version)
        .all(db)
        .await?;
    let domain = |row: workspace_keys::Model| {
        let version = u32::try_from(row.version).map_err(|_| StoreError::Corrupt("workspace_keys"))?;
        Ok(WorkspaceKeyRow { version, master_key: row.master_key, wrapped: row.wrapped })
    };
    rows.into_iter().map(domain).collect()
}
