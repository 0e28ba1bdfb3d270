//! The write path: lock the audit head, append the chained events, change the rows that they tell of, commit.
//!
//! A row is written with the [`Stamp`] of the event that tells of it, so nothing changes without one: the audit log is
//! complete by construction, and commit order is `seq` order.

mod workspaces;

use std::sync::Arc;

use claviger_core::audit::Event;
use claviger_core::ids::{KeyName, KeySlug, Owner, Tenant};
use claviger_core::position::Position;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, EntityTrait, QueryFilter,
    QueryTrait, Set, Statement, UpdateMany,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::bound::{Binder, Stamp, whole};
use super::connect::{begin, together};
use super::entity::{audit_events, audit_head, provider_keys, workspace_keys};
use super::event_row::EventRow;
use super::key_row::{self, micros};
use super::read::{self, Beside, Neighbours};
use super::{MasterKeyRow, StoreError, StoredKey, WorkspaceKeyRow};
use crate::audit_file::Head;

const HEAD: StoreError = StoreError::Corrupt("audit_head");
/// An update, and not a read, is what locks the row on every database.
const LOCK: &str = "UPDATE audit_head SET seq = seq WHERE id = 1 RETURNING seq, hash";

/// A write in progress. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct WriteTxn {
    txn: DatabaseTransaction,
    binder: Arc<Binder>,
    epoch: Uuid,
    head: Head,
    marked: bool,
}

impl WriteTxn {
    /// Locks the head of the audit chain; one writer at a time goes on.
    pub(super) async fn begin(
        database: &DatabaseConnection,
        binder: Arc<Binder>,
        epoch: Uuid,
    ) -> Result<Self, StoreError> {
        let txn = begin(database).await?;
        let head = txn.query_one_raw(Statement::from_string(txn.get_database_backend(), LOCK)).await?.ok_or(HEAD)?;
        let hash: Vec<u8> = head.try_get("", "hash")?;
        let head = Head { seq: head.try_get("", "seq")?, hash: hash.try_into().map_err(|_| HEAD)? };
        Ok(Self { txn, binder, epoch, head, marked: false })
    }

    /// The end of the chain that this write has reached.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Marks where [`WriteTxn::back_to`] goes back to, in place of the mark before if there is one.
    pub(super) async fn mark(&mut self) -> Result<Head, StoreError> {
        let sql = if self.marked { "RELEASE SAVEPOINT job; SAVEPOINT job" } else { "SAVEPOINT job" };
        self.txn.execute_unprepared(sql).await?;
        self.marked = true;
        Ok(self.head())
    }

    /// Takes back what was done since the mark.
    pub(super) async fn back_to(&mut self, mark: Head) -> Result<(), StoreError> {
        self.txn.execute_unprepared("ROLLBACK TO SAVEPOINT job").await?;
        self.head = mark;
        Ok(())
    }

    pub(super) async fn roll_back(self) -> Result<(), StoreError> {
        Ok(self.txn.rollback().await?)
    }

    /// Makes all of it last: the end of the chain.
    pub(super) async fn commit(self) -> Result<Head, StoreError> {
        self.txn.commit().await?;
        Ok(self.head)
    }

    pub(super) fn binder(&self) -> &Binder {
        &self.binder
    }

    pub(super) fn epoch(&self) -> Uuid {
        self.epoch
    }

    pub(super) fn db(&self) -> &impl ConnectionTrait {
        &self.txn
    }

    /// The point of history that this write has reached.
    #[must_use]
    pub fn base(&self) -> Position {
        position(self.epoch, self.head)
    }

    /// Appends an event. The stamp binds the row that it tells of.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record(&mut self, event: &Event) -> Result<Stamp, StoreError> {
        let (backend, next) = (self.txn.get_database_backend(), Next::after(self.head, event)?);
        let head = next.move_head().build(backend);
        together(&self.txn, [audit_events::Entity::insert(next.event).build(backend), head]).await?;
        self.head = next.head;
        Ok(next.stamp)
    }
}

/// The point of history where the chain ends so.
pub(super) fn position(epoch: Uuid, head: Head) -> Position {
    Position { epoch, seq: u64::try_from(head.seq).unwrap_or_default() }
}

/// An event at the end of the chain.
pub(super) struct Next {
    pub(super) event: audit_events::ActiveModel,
    pub(super) stamp: Stamp,
    pub(super) head: Head,
}

impl Next {
    pub(super) fn after(head: Head, event: &Event) -> Result<Self, StoreError> {
        let seq = head.seq + 1;
        let row = EventRow::new(seq, event)?;
        let hash = row.hash(&head.hash);
        let stamp = Stamp { target: event.target.clone(), seq, hash: hash.to_vec() };
        Ok(Self { event: row.into_active(hash), stamp, head: Head { seq, hash } })
    }

    /// What makes it the end.
    pub(super) fn move_head(&self) -> UpdateMany<audit_head::Entity> {
        audit_head::Entity::update_many()
            .col_expr(audit_head::Column::Seq, Expr::value(self.head.seq))
            .col_expr(audit_head::Column::Hash, Expr::value(self.head.hash.to_vec()))
            .filter(audit_head::Column::Id.eq(1))
    }
}

/// A key's row, bound to the event that tells of it.
pub(super) fn bound_key(
    binder: &Binder,
    key: &mut StoredKey,
    stamp: &Stamp,
) -> Result<provider_keys::Model, StoreError> {
    let mut row = key_row::row(key)?;
    binder.bind(&mut row, stamp)?;
    key.seq = u64::try_from(stamp.seq).map_err(|_| HEAD)?;
    Ok(row)
}

/// Keys.
impl WriteTxn {
    /// A key as this write finds it.
    ///
    /// # Errors
    /// When the database fails or the row is corrupt.
    pub async fn key(&self, name: &KeyName) -> Result<Option<StoredKey>, StoreError> {
        read::key(&self.txn, &self.binder, name).await
    }

    /// What a new key of an owner, with a secret of this fingerprint, is put beside.
    ///
    /// # Errors
    /// [`StoreError::Altered`] for the workspace's record; or when the database fails.
    pub async fn beside(&self, owner: &Owner, fingerprint: &[u8]) -> Result<Beside, StoreError> {
        read::beside(&self.txn, &self.binder, owner, fingerprint).await
    }

    /// What an owner's key with a secret of this fingerprint has beside it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn neighbours(&self, owner: &Owner, fingerprint: &[u8]) -> Result<Neighbours, StoreError> {
        read::neighbours(&self.txn, owner, fingerprint).await
    }

    /// An owner's unrevoked keys by priority, age and id.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn keys_of_owner(&self, owner: &Owner) -> Result<Vec<StoredKey>, StoreError> {
        read::keys_of_owner(&self.txn, &self.binder, owner).await
    }

    /// A tenant's unrevoked keys, its members' included.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn keys_of_tenant(&self, tenant: &Tenant) -> Result<Vec<StoredKey>, StoreError> {
        read::usable_keys(&self.txn, &self.binder, tenant).await
    }

    /// An owner's unrevoked key of this slug.
    ///
    /// # Errors
    /// When the database fails or the row is corrupt.
    pub async fn key_of_slug(&self, owner: &Owner, slug: &KeySlug) -> Result<Option<StoredKey>, StoreError> {
        read::key_of_slug(&self.txn, &self.binder, owner, slug).await
    }

    /// A tenant's revoked keys whose ciphertext is not destroyed, its members' included; at most `limit`.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn revoked_keys(&self, tenant: &Tenant, limit: u64) -> Result<Vec<StoredKey>, StoreError> {
        read::revoked_keys(&self.txn, &self.binder, tenant, limit).await
    }

    /// Every tenant's unrevoked keys with a secret of this fingerprint.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn keys_with_fingerprint(&self, fingerprint: &[u8]) -> Result<Vec<StoredKey>, StoreError> {
        read::keys_with_fingerprint(&self.txn, &self.binder, fingerprint).await
    }

    /// Adds a key with the event that tells of it.
    ///
    /// # Errors
    /// [`StoreError::SlugTaken`]; or when the database fails.
    pub async fn insert_key(&mut self, key: &mut StoredKey, event: &Event) -> Result<(), StoreError> {
        let (backend, next) = (self.txn.get_database_backend(), Next::after(self.head, event)?);
        let row = whole::<_, provider_keys::ActiveModel>(bound_key(&self.binder, key, &next.stamp)?);
        let head = next.move_head().build(backend);
        let (event, row) = (audit_events::Entity::insert(next.event), provider_keys::Entity::insert(row));
        together(&self.txn, [event.build(backend), head, row.build(backend)]).await?;
        self.head = next.head;
        Ok(())
    }

    /// Writes a key as it is now, bound to the event that tells of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_key(&self, key: &mut StoredKey, stamp: &Stamp) -> Result<(), StoreError> {
        let row = bound_key(&self.binder, key, stamp)?;
        whole::<_, provider_keys::ActiveModel>(row).update_without_returning(&self.txn).await?;
        Ok(())
    }
}

/// The keys that records are sealed under.
impl WriteTxn {
    /// Adds a key that a tenant's records are sealed under. The master key that it is wrapped under becomes known with it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_workspace_key(
        &self,
        tenant: &Tenant,
        key: &WorkspaceKeyRow,
        under: &MasterKeyRow,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.ensure_master_key(under, now).await?;
        let row = workspace_keys::ActiveModel {
            tenant: Set(tenant.to_string()),
            version: Set(i32::try_from(key.version).map_err(|_| StoreError::Corrupt("workspace_keys"))?),
            master_key: Set(key.master_key.clone()),
            wrapped: Set(key.wrapped.clone()),
            create_time: Set(micros(now)),
        };
        workspace_keys::Entity::insert(row).exec_without_returning(&self.txn).await?;
        Ok(())
    }

    /// Destroys all keys that a tenant's records are sealed under: whatever is sealed under them is lost for good. The
    /// stamp's event tells so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn destroy_workspace_keys(&self, tenant: &Tenant, _: &Stamp) -> Result<(), StoreError> {
        let of_tenant = workspace_keys::Column::Tenant.eq(tenant.to_string());
        workspace_keys::Entity::delete_many().filter(of_tenant).exec(&self.txn).await?;
        Ok(())
    }
}
