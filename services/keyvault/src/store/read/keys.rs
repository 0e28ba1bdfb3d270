//! Reads of keys.

use claviger_core::filter::Filter;
use claviger_core::ids::{KeyName, KeySlug, Owner, Tenant};
use claviger_core::key::{KeyState, ProviderKey};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, Iterable, QueryFilter, QueryOrder, QuerySelect,
    Select, TransactionTrait,
};
use time::OffsetDateTime;

use crate::store::bound::{Binder, checked};
use crate::store::entity::provider_keys::{Column, Entity, Model};
use crate::store::filter::filtered;
use crate::store::key_row::{micros, stored};
use crate::store::{Store, StoreError, StoredKey, WorkspaceKeyRow};

/// How many revoked keys a snapshot tells of at most.
const MOST_ENDED: u64 = 1_000;
const REVOKED: [&str; 2] = ["REVOKED", "PURGED"];
/// In the very words of the index that has no others: a database must see that they are the same.
pub(super) const UNREVOKED: &str = "state NOT IN ('REVOKED', 'PURGED')";

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

impl Store {
    /// One key, revoked or not.
    ///
    /// # Errors
    /// When the database fails or the row is corrupt.
    pub async fn key(&self, name: &KeyName) -> Result<Option<StoredKey>, StoreError> {
        let txn = self.read.begin().await?;
        let found = key(&txn, &self.binder, name).await?;
        txn.commit().await?;
        Ok(found)
    }

    /// One key, revoked or not, with the keys of its tenant at the same moment: the one that it is sealed under is among them.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn key_to_open(&self, name: &KeyName) -> Result<Option<(StoredKey, Vec<WorkspaceKeyRow>)>, StoreError> {
        let txn = self.read.begin().await?;
        let found = key(&txn, &self.binder, name).await?;
        let under = super::workspace_keys(&txn, &name.owner.tenant).await?;
        txn.commit().await?;
        Ok(found.map(|stored| (stored, under)))
    }

    /// An owner's keys by priority, age and id; at most `limit`, from behind `after`.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn keys(
        &self,
        owner: &Owner,
        show_revoked: bool,
        filter: &Filter,
        after: Option<&After>,
        limit: u64,
    ) -> Result<Vec<StoredKey>, StoreError> {
        let mut query = Entity::find().filter(of_owner(owner)).filter(filtered(filter, column)?);
        if !show_revoked {
            query = query.filter(Column::State.is_not_in(REVOKED));
        }
        if let Some(after) = after {
            query = query.filter(behind(after));
        }
        let txn = self.read.begin().await?;
        let keys = domain(&txn, &self.binder, in_order(query).limit(limit)).await?;
        txn.commit().await?;
        Ok(keys)
    }
}

/// The column of a filter's field.
fn column(field: &str) -> Option<Column> {
    Some(match field {
        "provider" => Column::Provider,
        "state" => Column::State,
        "auth_type" => Column::AuthType,
        "key_slug" => Column::KeySlug,
        "create_time" => Column::CreateTime,
        "expire_time" => Column::ExpireTime,
        _ => return None,
    })
}

fn behind(after: &After) -> Expr {
    let position =
        Expr::tuple([Expr::col(Column::RotationPriority), Expr::col(Column::CreateTime), Expr::col(Column::Id)]);
    let last = Expr::tuple([
        Expr::value(after.priority),
        Expr::value(micros(after.create_time)),
        Expr::value(after.id.clone()),
    ]);
    position.gt(last)
}

fn in_order(query: Select<Entity>) -> Select<Entity> {
    query.order_by_asc(Column::RotationPriority).order_by_asc(Column::CreateTime).order_by_asc(Column::Id)
}

async fn domain(
    db: &impl ConnectionTrait,
    binder: &Binder,
    query: Select<Entity>,
) -> Result<Vec<StoredKey>, StoreError> {
    let checked = checked(db, binder, query).await?;
    checked.into_iter().map(|(row, intact)| stored(row, intact)).collect()
}

pub(in crate::store) async fn key(
    db: &impl ConnectionTrait,
    binder: &Binder,
    name: &KeyName,
) -> Result<Option<StoredKey>, StoreError> {
    let query = Entity::find_by_id(name.id.to_string()).filter(of_owner(&name.owner));
    Ok(domain(db, binder, query).await?.pop())
}

fn of_owner(owner: &Owner) -> Condition {
    Condition::all().add(Column::Tenant.eq(owner.tenant.to_string())).add(Column::OwnerUser.eq(owner.user_str()))
}

/// A tenant's unrevoked keys, its members' included; there are no more than the limit.
pub(in crate::store) async fn usable_keys(
    db: &impl ConnectionTrait,
    binder: &Binder,
    tenant: &Tenant,
) -> Result<Vec<StoredKey>, StoreError> {
    domain(db, binder, unrevoked(tenant)).await
}

/// An owner's unrevoked keys by priority, age and id.
pub(in crate::store) async fn keys_of_owner(
    db: &impl ConnectionTrait,
    binder: &Binder,
    owner: &Owner,
) -> Result<Vec<StoredKey>, StoreError> {
    let query = unrevoked(&owner.tenant).filter(Column::OwnerUser.eq(owner.user_str()));
    domain(db, binder, in_order(query)).await
}

/// An owner's unrevoked key of this slug; there is at most one.
pub(in crate::store) async fn key_of_slug(
    db: &impl ConnectionTrait,
    binder: &Binder,
    owner: &Owner,
    slug: &KeySlug,
) -> Result<Option<StoredKey>, StoreError> {
    let query = unrevoked(&owner.tenant).filter(of_owner(owner)).filter(Column::KeySlug.eq(slug.as_str()));
    Ok(domain(db, binder, query).await?.pop())
}

/// A tenant's revoked keys whose ciphertext is not destroyed, its members' included; at most `limit`.
pub(in crate::store) async fn revoked_keys(
    db: &impl ConnectionTrait,
    binder: &Binder,
    tenant: &Tenant,
    limit: u64,
) -> Result<Vec<StoredKey>, StoreError> {
    let of_tenant = Entity::find().filter(Column::Tenant.eq(tenant.to_string()));
    let revoked = of_tenant.filter(Column::State.eq(KeyState::Revoked.as_str()));
    domain(db, binder, revoked.order_by_asc(Column::Id).limit(limit)).await
}

/// The unrevoked keys of every tenant that have a secret of this fingerprint.
pub(in crate::store) async fn keys_with_fingerprint(
    db: &impl ConnectionTrait,
    binder: &Binder,
    fingerprint: &[u8],
) -> Result<Vec<StoredKey>, StoreError> {
    let same = Column::Fingerprint.eq(fingerprint.to_vec());
    let query = Entity::find().filter(same).filter(Column::State.is_not_in(REVOKED)).order_by_asc(Column::Id);
    domain(db, binder, query).await
}

fn unrevoked(tenant: &Tenant) -> Select<Entity> {
    Entity::find().filter(Column::Tenant.eq(tenant.to_string())).filter(Expr::cust(UNREVOKED))
}

/// Of each owner and slug, the newest revoked key, without its ciphertext. Revoked keys pile up for ever, so their rows are
/// not all read for each resolve. They explain refusals and are never used, so their tags are not looked at.
pub(super) async fn newest_ended_keys(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
) -> Result<Vec<ProviderKey>, StoreError> {
    let newest = Query::select()
        .expr(Expr::col(Column::Id).max())
        .from(Entity)
        .and_where(Column::Tenant.eq(tenant.to_string()))
        .and_where(Column::State.is_in(REVOKED))
        .group_by_columns([Column::OwnerUser, Column::KeySlug])
        .to_owned();
    let sealed = |column: &Column| matches!(column, Column::Sealed | Column::Fingerprint);
    let rows = Entity::find()
        .select_only()
        .columns(Column::iter().filter(|column| !sealed(column)))
        .expr_as(Expr::value(Vec::<u8>::new()), "sealed")
        .expr_as(Expr::value(Vec::<u8>::new()), "fingerprint")
        .filter(Column::Id.in_subquery(newest)) // ids are UUIDv7: the greatest is the newest
        .order_by_desc(Column::Id)
        .limit(MOST_ENDED)
        .into_model::<Model>()
        .all(db)
        .await?;
    rows.into_iter().map(|row| stored(row, true).map(|stored| stored.key)).collect()
}
