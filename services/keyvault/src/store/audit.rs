//! The audit log itself: read in stretches, to list, export and verify it; its oldest part moved out by segments.

mod resources;
mod rows;
mod segments;

use std::collections::HashMap;

use claviger_core::command::AuditScope;
use claviger_core::filter::Filter;
use claviger_crypto as chain;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, TransactionTrait,
};

use super::entity::audit_events::{Column, Entity, Model};
use super::filter::filtered;
use super::{Store, StoreError, read};
use crate::audit_file::Head;

pub use resources::Unrowed;
pub use rows::{BoundTable, CheckedRow, Cursor, RowPage};
pub use segments::{NewSegment, Segment, fold};

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number.
    pub seq: i64,
    /// Its hash; zeros, which are nobody's hash, where 32 bytes are not what is stored.
    pub hash: [u8; 32],
    /// Microseconds since 1970.
    pub event_time: i64,
    /// Whose data.
    pub tenant: String,
    /// What was done.
    pub action: String,
    /// The resource's name.
    pub target: String,
    /// The caller.
    pub actor: String,
    /// For whom the caller acted.
    pub on_behalf_of: String,
    /// The caller's address.
    pub peer: String,
    /// The call's id.
    pub request_id: String,
    /// The call's trace.
    pub trace_id: String,
    /// A JSON object of texts.
    pub details: String,
}

/// Some of the log, and its ends at that moment.
#[derive(Debug)]
pub struct Stretch {
    /// Events by seq, each with what is stored as the hash of the one before it (zeros where there is none).
    pub events: Vec<(StoredEvent, [u8; 32])>,
    /// The last event that was moved out with a segment; seq 0 where none was.
    pub sealed: Head,
    /// The last event of all, as the head says.
    pub head: Head,
}

impl StoredEvent {
    /// The hash that it must have behind another event: docs/audit.md documents it.
    #[must_use]
    pub fn hash_after(&self, previous: &[u8; 32]) -> [u8; 32] {
        self.hashed(previous, &[])
    }

    fn hashed(&self, previous: &[u8; 32], more: &[&[u8]]) -> [u8; 32] {
        let (seq, time) = (self.seq.to_be_bytes(), self.event_time.to_be_bytes());
        let texts = [&self.tenant, &self.action, &self.target, &self.actor, &self.on_behalf_of, &self.peer];
        let texts = texts.into_iter().chain([&self.request_id, &self.trace_id, &self.details]);
        let fields: Vec<&[u8]> = [&seq[..], &time[..]].into_iter().chain(texts.map(String::as_bytes)).collect();
        chain::event_hash(previous, &[&fields, more].concat())
    }
}

impl From<Model> for StoredEvent {
    fn from(row: Model) -> Self {
        let Model { seq, hash, event_time, tenant, action, target, actor, on_behalf_of, .. } = row;
        let Model { peer, request_id, trace_id, details, .. } = row;
        let hash = as_hash(hash);
        Self { seq, hash, event_time, tenant, action, target, actor, on_behalf_of, peer, request_id, trace_id, details }
    }
}

fn as_hash(bytes: Vec<u8>) -> [u8; 32] {
    bytes.try_into().unwrap_or([0; 32])
}

impl Store {
    /// The end of the log, as the head says.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_head(&self) -> Result<Head, StoreError> {
        head(&self.read).await
    }

    /// Events, the newest first; at most `limit`, older than `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(
        &self,
        scope: &AuditScope,
        filter: &Filter,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut query = Entity::find().filter(of(scope)).filter(filtered(filter, column)?);
        if let Some(before) = before {
            query = query.filter(Column::Seq.lt(before));
        }
        let rows = query.order_by_desc(Column::Seq).limit(limit).all(&self.read).await?;
        Ok(rows.into_iter().map(StoredEvent::from).collect())
    }

    /// The oldest events behind one, up to another; at most `limit`. All from one snapshot of the database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stretch(&self, scope: &AuditScope, after: i64, to: i64, limit: u64) -> Result<Stretch, StoreError> {
        let txn = self.read.begin().await?;
        let head = head(&txn).await?;
        let sealed = segments::end(&txn).await?;
        let within = Condition::all().add(Column::Seq.gt(after)).add(Column::Seq.lte(to));
        let query = Entity::find().filter(of(scope)).filter(within).order_by_asc(Column::Seq).limit(limit);
        let events = linked(&txn, sealed, query.all(&txn).await?).await?;
        txn.commit().await?;
        Ok(Stretch { events, sealed, head })
    }

    /// An event's number and hash. One that is missing has no hash, so nothing follows it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn event_head(&self, seq: i64) -> Result<Head, StoreError> {
        let hash = Entity::find_by_id(seq).select_only().column(Column::Hash).into_tuple::<Vec<u8>>();
        let found = hash.one(&self.read).await?;
        Ok(Head { seq, hash: found.map(as_hash).unwrap_or_default() })
    }

    /// The first event behind `after` that is of a time or later.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_event_from(&self, after: i64, micros: i64) -> Result<Option<i64>, StoreError> {
        let later = Condition::all().add(Column::Seq.gt(after)).add(Column::EventTime.gte(micros));
        let first = Entity::find().select_only().column(Column::Seq).filter(later).order_by_asc(Column::Seq);
        Ok(first.into_tuple().one(&self.read).await?)
    }
}

async fn head(db: &impl ConnectionTrait) -> Result<Head, StoreError> {
    let (seq, hash) = read::head(db).await?;
    Ok(Head { seq: i64::try_from(seq).map_err(|_| StoreError::Corrupt("audit_head"))?, hash })
}

fn of(scope: &AuditScope) -> Condition {
    match scope {
        AuditScope::All => Condition::all(),
        AuditScope::Tenant(tenant) => Condition::all().add(Column::Tenant.eq(tenant.to_string())),
    }
}

/// The column of a filter's field.
fn column(field: &str) -> Option<Column> {
    Some(match field {
        "action" => Column::Action,
        "target" => Column::Target,
        "actor" => Column::Actor,
        "on_behalf_of" => Column::OnBehalfOf,
        "request_id" => Column::RequestId,
        "trace_id" => Column::TraceId,
        "event_time" => Column::EventTime,
        "seq" => Column::Seq,
        _ => return None,
    })
}

/// Events with the hashes of those before them, most of which are among them.
async fn linked(
    db: &impl ConnectionTrait,
    sealed: Head,
    rows: Vec<Model>,
) -> Result<Vec<(StoredEvent, [u8; 32])>, StoreError> {
    let mut hashes: HashMap<i64, [u8; 32]> = rows.iter().map(|row| (row.seq, as_hash(row.hash.clone()))).collect();
    let before: Vec<i64> =
        rows.iter().map(|row| row.seq.saturating_sub(1)).filter(|seq| !hashes.contains_key(seq)).collect();
    if !before.is_empty() {
        let query = Entity::find().select_only().columns([Column::Seq, Column::Hash]).filter(Column::Seq.is_in(before));
        let found: Vec<(i64, Vec<u8>)> = query.into_tuple().all(db).await?;
        hashes.extend(found.into_iter().map(|(seq, hash)| (seq, as_hash(hash))));
    }
    hashes.insert(sealed.seq, sealed.hash);
    let link = |row: Model| {
        let previous = hashes.get(&row.seq.saturating_sub(1)).copied().unwrap_or_default();
        (StoredEvent::from(row), previous)
    };
    Ok(rows.into_iter().map(link).collect())
}
