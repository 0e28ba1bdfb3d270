//! The one write path: lock the audit head, change rows, append the chained events, commit.
//!
//! Nothing is kept unless [`WriteTxn::commit`] is given the events that tell of it, so the audit log is complete by
//! construction and commit order is `seq` order.

use claviger_core::audit::Event;
use claviger_core::ids::{KeyName, Owner, Tenant, WorkspaceId};
use claviger_core::key::ProviderKey;
use claviger_core::position::Position;
use claviger_core::workspace::Workspace;
use claviger_crypto as chain;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, Set};
use time::OffsetDateTime;
use uuid::Uuid;

use super::connect::begin;
use super::entity::{audit_events, audit_head, provider_keys, workspace_keys, workspaces};
use super::key_row::{micros, row, set_mutable};
use super::{Store, StoreError, StoredKey, WorkspaceKeyRow, read};

/// A write in progress. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct WriteTxn {
    txn: DatabaseTransaction,
    epoch: Uuid,
    seq: u64,
    hash: [u8; 32],
}

impl Store {
    /// Locks the head of the audit chain; one writer at a time goes on.
    ///
    /// # Errors
    /// When the database fails, or another writer holds the lock for longer than 5 s.
    pub async fn begin(&self) -> Result<WriteTxn, StoreError> {
        let txn = begin(&self.write).await?;
        // an update, and not a read, is what locks the row on every database
        audit_head::Entity::update_many()
            .col_expr(audit_head::Column::Seq, Expr::col(audit_head::Column::Seq))
            .filter(audit_head::Column::Id.eq(1))
            .exec(&txn)
            .await?;
        let (seq, hash) = read::head(&txn).await?;
        Ok(WriteTxn { txn, epoch: self.epoch, seq, hash })
    }
}

impl WriteTxn {
    /// The point of history that this write builds on.
    #[must_use]
    pub fn base(&self) -> Position {
        Position { epoch: self.epoch, seq: self.seq }
    }

    /// A key as this write finds it.
    ///
    /// # Errors
    /// When the database fails or the row is corrupt.
    pub async fn key(&self, name: &KeyName) -> Result<Option<StoredKey>, StoreError> {
        read::key(&self.txn, name).await
    }

    /// The slugs of an owner's unrevoked keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn slugs(&self, owner: &Owner) -> Result<Vec<String>, StoreError> {
        read::slugs(&self.txn, owner).await
    }

    /// How many unrevoked keys a tenant has, its members' included.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_keys(&self, tenant: &Tenant) -> Result<u64, StoreError> {
        read::count_keys(&self.txn, tenant).await
    }

    /// A workspace's record as this write finds it.
    ///
    /// # Errors
    /// When the database fails or the row is corrupt.
    pub async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        read::workspace(&self.txn, id).await
    }

    /// The newest key that a tenant's records are sealed under.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn newest_workspace_key(&self, tenant: &Tenant) -> Result<Option<WorkspaceKeyRow>, StoreError> {
        Ok(read::workspace_keys(&self.txn, tenant).await?.pop())
    }

    /// Adds a key that a tenant's records are sealed under.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_workspace_key(
        &self,
        tenant: &Tenant,
        key: &WorkspaceKeyRow,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
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

    /// Adds a workspace's record.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_workspace(&self, workspace: &Workspace) -> Result<(), StoreError> {
        let policy = &workspace.policy;
        let row = workspaces::ActiveModel {
            id: Set(workspace.id.to_string()),
            fallback_consent: Set(policy.consent.as_str().to_owned()),
            default_provider: Set(policy.default_provider.as_ref().map(ToString::to_string)),
            default_model: Set(policy.default_model.as_ref().map(ToString::to_string)),
            create_time: Set(micros(workspace.create_time)),
            creator: Set(workspace.creator.clone()),
            update_time: Set(micros(workspace.update_time)),
        };
        workspaces::Entity::insert(row).exec_without_returning(&self.txn).await?;
        Ok(())
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::SlugTaken`]; or when the database fails.
    pub async fn insert_key(&self, key: &StoredKey) -> Result<(), StoreError> {
        provider_keys::Entity::insert(row(key)?).exec_without_returning(&self.txn).await?;
        Ok(())
    }

    /// Writes a key's state, newest test and end. Nothing else of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_key(&self, key: &ProviderKey) -> Result<(), StoreError> {
        let mut row = provider_keys::ActiveModel { id: Set(key.name.id.to_string()), ..Default::default() };
        set_mutable(&mut row, key);
        row.update(&self.txn).await?;
        Ok(())
    }

    /// Appends the events that tell what was done, and makes all of it last. There must be at least one.
    ///
    /// # Errors
    /// When the database fails; then nothing was done.
    pub async fn commit(mut self, first: Event, more: Vec<Event>) -> Result<Position, StoreError> {
        for event in std::iter::once(first).chain(more) {
            self.append(event).await?;
        }
        let head = audit_head::ActiveModel {
            id: Set(1),
            seq: Set(i64::try_from(self.seq).map_err(|_| StoreError::Corrupt("audit_head"))?),
            hash: Set(self.hash.to_vec()),
        };
        head.update(&self.txn).await?;
        let position = self.base();
        self.txn.commit().await?;
        Ok(position)
    }

    async fn append(&mut self, event: Event) -> Result<(), StoreError> {
        let seq = self.seq + 1;
        let row = EventRow::new(seq, &event)?;
        let hash = row.hash(&self.hash);
        audit_events::Entity::insert(row.into_active(hash)).exec_without_returning(&self.txn).await?;
        (self.seq, self.hash) = (seq, hash);
        Ok(())
    }
}

/// An event in the form that is stored and hashed: docs/audit.md documents it.
struct EventRow {
    seq: i64,
    time: i64,
    texts: [String; 8],
}

impl EventRow {
    fn new(seq: u64, event: &Event) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt("audit_events");
        let details: serde_json::Map<_, _> =
            event.details.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_str().into())).collect();
        let origin = &event.origin;
        Ok(Self {
            seq: i64::try_from(seq).map_err(|_| corrupt())?,
            time: micros(event.time),
            texts: [
                event.tenant.to_string(),
                event.action.as_str().to_owned(),
                event.target.clone(),
                origin.actor.clone(),
                origin.peer.clone(),
                origin.request_id.clone(),
                origin.trace_id.clone(),
                serde_json::to_string(&details).map_err(|_| corrupt())?,
            ],
        })
    }

    fn hash(&self, previous: &[u8; 32]) -> [u8; 32] {
        let (seq, time) = (self.seq.to_be_bytes(), self.time.to_be_bytes());
        let mut fields: Vec<&[u8]> = vec![&seq, &time];
        fields.extend(self.texts.iter().map(String::as_bytes));
        chain::event_hash(previous, &fields)
    }

    fn into_active(self, hash: [u8; 32]) -> audit_events::ActiveModel {
        let [tenant, action, target, actor, peer, request_id, trace_id, details] = self.texts.map(Set);
        audit_events::ActiveModel {
            seq: Set(self.seq),
            hash: Set(hash.to_vec()),
            event_time: Set(self.time),
            tenant,
            action,
            target,
            actor,
            peer,
            request_id,
            trace_id,
            details,
        }
    }
}
