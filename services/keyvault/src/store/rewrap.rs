//! What is wrapped and sealed, seen across all tenants: for the rotation of master keys and workspace keys, which alone
//! goes through every tenant's rows.
//!
//! Lists go on behind the last row that was seen, so that a row which cannot be opened is passed by and not met again.

use std::collections::HashMap;

use claviger_core::ids::Tenant;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, Set, TransactionTrait,
};
use time::OffsetDateTime;

use super::entity::{master_keys, provider_keys, service_keys, workspace_keys};
use super::key_row::{micros, stored};
use super::many::{Kind, update_many};
use super::{MasterKeyRow, ServiceKeyRow, Stamp, Store, StoreError, StoredKey, WorkspaceKeyRow, WriteTxn};

const NEWEST: &str = "(SELECT MAX(w.version) FROM workspace_keys w WHERE w.tenant = provider_keys.tenant)";
const UNUSED: &str = "workspace_keys.version < (SELECT MAX(w.version) FROM workspace_keys w \
     WHERE w.tenant = workspace_keys.tenant) \
     AND NOT EXISTS (SELECT 1 FROM provider_keys p WHERE p.tenant = workspace_keys.tenant \
     AND p.workspace_key = workspace_keys.version AND LENGTH(p.sealed) > 0)";

/// A workspace key's row as it stands there, of whichever tenant.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct AnyWorkspaceKey {
    /// The tenant's name.
    pub tenant: String,
    /// Counts the tenant's keys, from 1.
    pub version: i32,
    /// The master key's id.
    pub master_key: String,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

impl AnyWorkspaceKey {
    /// Its place in the list.
    #[must_use]
    pub fn place(&self) -> Place {
        (self.tenant.clone(), self.version)
    }

    /// In the domain; none for a row that the vault did not write so.
    #[must_use]
    pub fn domain(self) -> Option<(Tenant, WorkspaceKeyRow)> {
        let version = u32::try_from(self.version).ok()?;
        let tenant = Tenant::parse(&self.tenant).ok()?;
        Some((tenant, WorkspaceKeyRow { version, master_key: self.master_key, wrapped: self.wrapped }))
    }
}

/// A workspace key's tenant and version.
pub type Place = (String, i32);

/// A sealed record, of whichever tenant.
#[derive(Debug)]
pub struct AnyRecord {
    /// The key's id, which is its place in the list.
    pub id: String,
    /// Its tenant's name and the version of the tenant's key that its row names.
    pub under: Place,
    /// The key is revoked.
    pub revoked: bool,
    /// In the domain; none for a row that the vault did not write so. Whether it is intact is not looked at: what is sealed
    /// is bound by itself.
    pub stored: Option<Box<StoredKey>>,
}

/// How much depends on a master key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dependents {
    /// Tenants' keys that are wrapped under it.
    pub workspace_keys: u64,
    /// The vault's own keys that are wrapped under it.
    pub service_keys: u64,
    /// Records that are sealed under these workspace keys.
    pub records: u64,
}

impl Dependents {
    /// Whether anything is wrapped under it.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.workspace_keys == 0 && self.service_keys == 0
    }
}

impl Store {
    /// How much depends on each master key that anything is wrapped under.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dependents(&self) -> Result<HashMap<String, Dependents>, StoreError> {
        let txn = self.read.begin().await?;
        let mut found = dependents(&txn).await?;
        for (key, count) in record_counts(&txn).await? {
            found.entry(key).or_default().records = count;
        }
        txn.commit().await?;
        Ok(found)
    }

    /// How many keys, tenants' and the vault's own, are not wrapped under a master key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_keys_not_under(&self, master_key: &str) -> Result<u64, StoreError> {
        let others = dependents(&self.read).await?.into_iter().filter(|(id, _)| id != master_key);
        Ok(others.map(|(_, of)| of.workspace_keys + of.service_keys).sum())
    }

    /// How many records are sealed under an older key than their tenant's newest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_outdated_records(&self) -> Result<u64, StoreError> {
        use provider_keys::{Column, Entity};
        let query = Entity::find().select_only().column_as(Column::Id.count(), "count").filter(outdated());
        let count: Option<i64> = query.into_tuple().one(&self.read).await?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
    }
}

/// Master keys and what is wrapped under them.
impl WriteTxn {
    /// The master keys that something is wrapped under.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn master_keys(&self) -> Result<Vec<MasterKeyRow>, StoreError> {
        known_master_keys(self.db()).await
    }

    /// How much is wrapped under each master key; records are not counted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dependents(&self) -> Result<HashMap<String, Dependents>, StoreError> {
        dependents(self.db()).await
    }

    /// Makes a master key known. Without that nothing may be wrapped under it: the next start could not tell that it is
    /// needed.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when another key is known by its id; or when the database fails.
    pub async fn ensure_master_key(&self, key: &MasterKeyRow, now: OffsetDateTime) -> Result<(), StoreError> {
        match master_keys::Entity::find_by_id(&key.id).one(self.db()).await? {
            Some(known) if known.check_value == key.check_value => Ok(()),
            Some(_) => Err(StoreError::Corrupt("master_keys")),
            None => super::setup::insert_master_key(self.db(), key, now).await,
        }
    }

    /// Forgets a master key that nothing is wrapped under. The stamp's event tells so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_master_key(&self, id: &str, _: &Stamp) -> Result<(), StoreError> {
        master_keys::Entity::delete_by_id(id).exec(self.db()).await?;
        Ok(())
    }

    /// Tenants' keys that are not wrapped under a master key, from behind `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn workspace_keys_not_under(
        &self,
        master_key: &str,
        after: Option<&Place>,
        limit: u64,
    ) -> Result<Vec<AnyWorkspaceKey>, StoreError> {
        let condition = Condition::all().add(workspace_keys::Column::MasterKey.ne(master_key));
        some_workspace_keys(self.db(), condition, after, limit).await
    }

    /// The vault's own keys that are not wrapped under a master key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn service_keys_not_under(&self, master_key: &str) -> Result<Vec<ServiceKeyRow>, StoreError> {
        let rows = service_keys::Entity::find().filter(service_keys::Column::MasterKey.ne(master_key));
        Ok(rows.all(self.db()).await?.into_iter().map(ServiceKeyRow::from).collect())
    }

    /// Writes tenants' keys as they are wrapped now, under a master key which so becomes known. The stamp's event tells so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_workspace_keys(
        &self,
        under: &MasterKeyRow,
        keys: Vec<(Tenant, WorkspaceKeyRow)>,
        now: OffsetDateTime,
        _: &Stamp,
    ) -> Result<(), StoreError> {
        self.ensure_master_key(under, now).await?;
        let row = |(tenant, key): (Tenant, WorkspaceKeyRow)| {
            let version = i32::try_from(key.version).unwrap_or(i32::MAX);
            vec![tenant.to_string().into(), version.into(), key.master_key.into(), key.wrapped.into()]
        };
        let place = [("tenant", Kind::Text), ("version", Kind::Number)];
        let sets = [("master_key", Kind::Text), ("wrapped", Kind::Bytes)];
        update_many(self.db(), "workspace_keys", &place, &sets, keys.into_iter().map(row)).await
    }

    /// Writes the vault's own keys as they are wrapped now, under a master key which so becomes known. The stamp's event
    /// tells so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_service_keys(
        &self,
        under: &MasterKeyRow,
        keys: Vec<ServiceKeyRow>,
        now: OffsetDateTime,
        _: &Stamp,
    ) -> Result<(), StoreError> {
        self.ensure_master_key(under, now).await?;
        for key in keys {
            let row = service_keys::ActiveModel {
                purpose: Set(key.purpose),
                master_key: Set(key.master_key),
                wrapped: Set(key.wrapped),
            };
            service_keys::Entity::update(row).exec(self.db()).await?;
        }
        Ok(())
    }
}

/// Workspace keys and what is sealed under them.
impl WriteTxn {
    /// Tenants whose newest key was made before a time, with that key's version; in order, from behind `after`.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn tenants_with_old_keys(
        &self,
        before: OffsetDateTime,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<(Tenant, u32)>, StoreError> {
        use workspace_keys::{Column, Entity};
        const NEWEST_OF_TENANT: &str = "workspace_keys.version = (SELECT MAX(w.version) FROM workspace_keys w \
             WHERE w.tenant = workspace_keys.tenant)";
        let rows: Vec<(String, i32)> = Entity::find()
            .select_only()
            .columns([Column::Tenant, Column::Version])
            .filter(Column::CreateTime.lt(micros(before)))
            .filter(Column::Tenant.gt(after.unwrap_or_default()))
            .filter(Expr::cust(NEWEST_OF_TENANT))
            .order_by_asc(Column::Tenant)
            .limit(limit)
            .into_tuple()
            .all(self.db())
            .await?;
        rows.into_iter().map(domain).collect()
    }

    /// The highest version of a tenant's keys that any of its records names, even where that key is destroyed; 0 without
    /// one. A version is never used twice.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn highest_version_in_use(&self, tenant: &Tenant) -> Result<u32, StoreError> {
        use provider_keys::{Column, Entity};
        let highest: Option<Option<i32>> = Entity::find()
            .select_only()
            .column_as(Column::WorkspaceKey.max(), "highest")
            .filter(Column::Tenant.eq(tenant.to_string()))
            .into_tuple()
            .one(self.db())
            .await?;
        u32::try_from(highest.flatten().unwrap_or_default()).map_err(|_| StoreError::Corrupt("provider_keys"))
    }

    /// Records that are sealed under an older key than their tenant's newest, from behind `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outdated_records(&self, after: Option<&str>, limit: u64) -> Result<Vec<AnyRecord>, StoreError> {
        some_records(self.db(), outdated(), after, limit).await
    }

    /// All keys of some tenants.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn workspace_keys_of(&self, tenants: Vec<String>) -> Result<Vec<AnyWorkspaceKey>, StoreError> {
        workspace_keys_of(self.db(), tenants).await
    }

    /// Writes what is sealed of records, and nothing else of them: neither is covered by a row's tag. The stamp's event
    /// tells so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reseal(&self, records: Vec<(String, u32, Vec<u8>)>, _: &Stamp) -> Result<(), StoreError> {
        let row = |(id, version, sealed): (String, u32, Vec<u8>)| {
            vec![id.into(), i32::try_from(version).unwrap_or(i32::MAX).into(), sealed.into()]
        };
        let sets = [("workspace_key", Kind::Number), ("sealed", Kind::Bytes)];
        update_many(self.db(), "provider_keys", &[("id", Kind::Text)], &sets, records.into_iter().map(row)).await
    }

    /// Keys that are not their tenant's newest and that no record is sealed under, from behind `after`.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn unused_workspace_keys(
        &self,
        after: Option<&Place>,
        limit: u64,
    ) -> Result<Vec<(Tenant, u32)>, StoreError> {
        let condition = Condition::all().add(Expr::cust(UNUSED));
        let rows = some_workspace_keys(self.db(), condition, after, limit).await?;
        rows.into_iter().map(|row| domain(row.place())).collect()
    }

    /// Destroys one key of a tenant. The stamp's event tells so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn destroy_workspace_key(&self, tenant: &Tenant, version: u32, _: &Stamp) -> Result<(), StoreError> {
        let version = i32::try_from(version).map_err(|_| StoreError::Corrupt("workspace_keys"))?;
        workspace_keys::Entity::delete_by_id((tenant.to_string(), version)).exec(self.db()).await?;
        Ok(())
    }
}

fn domain((tenant, version): Place) -> Result<(Tenant, u32), StoreError> {
    const CORRUPT: StoreError = StoreError::Corrupt("workspace_keys");
    Ok((Tenant::parse(&tenant).map_err(|_| CORRUPT)?, u32::try_from(version).map_err(|_| CORRUPT)?))
}

fn outdated() -> Condition {
    Condition::all().add(sealed()).add(Expr::cust(format!("provider_keys.workspace_key < {NEWEST}")))
}

/// The rows that have a secret.
pub(super) fn sealed() -> Condition {
    use provider_keys::Column;
    Condition::all().add(Column::WorkspaceKey.gt(0)).add(Column::Sealed.ne(Vec::<u8>::new()))
}

pub(super) async fn known_master_keys(db: &impl ConnectionTrait) -> Result<Vec<MasterKeyRow>, StoreError> {
    let rows = master_keys::Entity::find().order_by_asc(master_keys::Column::Id).all(db).await?;
    Ok(rows.into_iter().map(|row| MasterKeyRow { id: row.id, check_value: row.check_value }).collect())
}

pub(super) async fn some_workspace_keys(
    db: &impl ConnectionTrait,
    condition: Condition,
    after: Option<&Place>,
    limit: u64,
) -> Result<Vec<AnyWorkspaceKey>, StoreError> {
    use workspace_keys::{Column, Entity};
    let mut query = Entity::find()
        .select_only()
        .columns([Column::Tenant, Column::Version, Column::MasterKey, Column::Wrapped])
        .filter(condition);
    if let Some((tenant, version)) = after {
        let place = Expr::tuple([Expr::col(Column::Tenant), Expr::col(Column::Version)]);
        query = query.filter(place.gt(Expr::tuple([Expr::value(tenant.as_str()), Expr::value(*version)])));
    }
    let query = query.order_by_asc(Column::Tenant).order_by_asc(Column::Version).limit(limit);
    Ok(query.into_model().all(db).await?)
}

pub(super) async fn workspace_keys_of(
    db: &impl ConnectionTrait,
    tenants: Vec<String>,
) -> Result<Vec<AnyWorkspaceKey>, StoreError> {
    let condition = Condition::all().add(workspace_keys::Column::Tenant.is_in(tenants));
    some_workspace_keys(db, condition, None, u64::from(u32::MAX)).await
}

pub(super) async fn some_records(
    db: &impl ConnectionTrait,
    condition: Condition,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<AnyRecord>, StoreError> {
    use provider_keys::{Column, Entity};
    let query = Entity::find().filter(condition).filter(Column::Id.gt(after.unwrap_or_default()));
    let rows = query.order_by_asc(Column::Id).limit(limit).all(db).await?;
    let domain = |row: provider_keys::Model| AnyRecord {
        id: row.id.clone(),
        under: (row.tenant.clone(), row.workspace_key),
        revoked: row.revoke_time.is_some(),
        stored: stored(row, true).ok().map(Box::new),
    };
    Ok(rows.into_iter().map(domain).collect())
}

pub(super) async fn dependents(db: &impl ConnectionTrait) -> Result<HashMap<String, Dependents>, StoreError> {
    let mut found: HashMap<String, Dependents> = HashMap::new();
    let keys = workspace_keys::Entity::find()
        .select_only()
        .column(workspace_keys::Column::MasterKey)
        .column_as(workspace_keys::Column::Version.count(), "count")
        .group_by(workspace_keys::Column::MasterKey);
    for (key, count) in counts(keys.into_tuple().all(db).await?) {
        found.entry(key).or_default().workspace_keys = count;
    }
    let keys = service_keys::Entity::find()
        .select_only()
        .column(service_keys::Column::MasterKey)
        .column_as(service_keys::Column::Purpose.count(), "count")
        .group_by(service_keys::Column::MasterKey);
    for (key, count) in counts(keys.into_tuple().all(db).await?) {
        found.entry(key).or_default().service_keys = count;
    }
    Ok(found)
}

async fn record_counts(db: &impl ConnectionTrait) -> Result<impl Iterator<Item = (String, u64)>, StoreError> {
    const SQL: &str = "SELECT w.master_key AS master_key, COUNT(*) AS count FROM workspace_keys w \
         JOIN provider_keys p ON p.tenant = w.tenant AND p.workspace_key = w.version \
         WHERE LENGTH(p.sealed) > 0 GROUP BY w.master_key";
    let rows = db.query_all_raw(sea_orm::Statement::from_string(db.get_database_backend(), SQL)).await?;
    let counted = |row: &sea_orm::QueryResult| Ok((row.try_get("", "master_key")?, row.try_get("", "count")?));
    Ok(counts(rows.iter().map(counted).collect::<Result<_, sea_orm::DbErr>>()?))
}

fn counts(rows: Vec<(String, i64)>) -> impl Iterator<Item = (String, u64)> {
    rows.into_iter().map(|(key, count)| (key, u64::try_from(count).unwrap_or_default()))
}
