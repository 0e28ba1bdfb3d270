//! Sealed segments: parts of the log that were moved out of the database, each a row that vouches for them.

use claviger_core::audit::Action;
use claviger_crypto::GENESIS;
use sea_orm::sea_query::{Alias, Expr, Query, SelectStatement};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{StoredEvent, as_hash};
use crate::audit_file::Head;
use crate::store::entity::{audit_events, audit_segments, session_bindings};
use crate::store::key_row::micros;
use crate::store::{Store, StoreError, WriteTxn};

const DOMAIN: &str = "claviger/segment/v1";
/// Events read at once.
const AT_ONCE: u64 = 1_000;
/// What events call a session's binding, by its row.
const BINDING: &str = r#"'workspaces/' || "workspace" || '/sessions/' || "session" || '/binding'"#;

/// What the database keeps of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The event before its first.
    pub before: Head,
    /// Its first event.
    pub first_seq: i64,
    /// Its last event.
    pub last: Head,
    /// How many of its events stayed in the database.
    pub kept_events: i64,
    /// All of those, [folded](fold).
    pub kept_digest: [u8; 32],
    /// Its row is as it was sealed.
    pub intact: bool,
}

/// What becomes a segment.
#[derive(Debug, Clone, Copy)]
pub struct NewSegment {
    /// The event before its first.
    pub before: Head,
    /// Its last event.
    pub last: Head,
    /// The SHA-256 of the file that it is in.
    pub file_digest: [u8; 32],
    /// Now.
    pub time: OffsetDateTime,
}

/// Takes the next kept event, in the order of seq, into a digest that begins with 32 zero bytes.
#[must_use]
pub fn fold(digest: &[u8; 32], event: &StoredEvent) -> [u8; 32] {
    event.hashed(digest, &[&event.hash])
}

impl Store {
    /// The first segment behind an event.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn segment_after(&self, seq: i64) -> Result<Option<Segment>, StoreError> {
        let next = audit_segments::Entity::find()
            .filter(audit_segments::Column::LastSeq.gt(seq))
            .order_by_asc(audit_segments::Column::FirstSeq);
        let row = next.one(&self.read).await?;
        Ok(row.map(|row| {
            let intact = self.binder.is_seal(DOMAIN, &parts(&sealed(self.epoch, &row)), &row.mac);
            segment(row, intact)
        }))
    }

    /// How many events of segments stayed in the database, as their rows say.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn kept_events(&self) -> Result<i64, StoreError> {
        let kept = audit_segments::Entity::find().select_only().column(audit_segments::Column::KeptEvents);
        let kept: Vec<i64> = kept.into_tuple().all(&self.read).await?;
        Ok(kept.into_iter().fold(0, i64::saturating_add))
    }

    /// How many rows are bound to events.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bound_rows(&self) -> Result<u64, StoreError> {
        use crate::store::entity::{agent_routes, provider_keys, session_bindings, workspaces};
        let db = &self.read;
        let keys = provider_keys::Entity::find().count(db).await?;
        let workspaces = workspaces::Entity::find().count(db).await?;
        let routes = agent_routes::Entity::find().count(db).await?;
        Ok(keys + workspaces + routes + session_bindings::Entity::find().count(db).await?)
    }
}

impl WriteTxn {
    /// Moves events out of the database, all but those that rows are bound to: the newest of each resource, unless it is of
    /// a session that has no binding any more. A workspace's deletion stays too, as it ends standing orders, which later
    /// events of it do not tell. None when another segment came first.
    ///
    /// # Errors
    /// When the database fails, as it does for a role that may not delete events.
    pub async fn seal_segment(&self, new: &NewSegment) -> Result<Option<Segment>, StoreError> {
        if end(self.db()).await? != new.before {
            return Ok(None);
        }
        let mut row = audit_segments::Model {
            first_seq: new.before.seq + 1,
            last_seq: new.last.seq,
            first_hash: new.before.hash.to_vec(),
            last_hash: new.last.hash.to_vec(),
            kept_events: 0,
            kept_digest: GENESIS.to_vec(),
            file_digest: new.file_digest.to_vec(),
            create_time: micros(new.time),
            mac: Vec::new(),
        };
        // first, as SQLite deletes nothing that is in no segment
        let first = row.clone().into_active_model().reset_all();
        audit_segments::Entity::insert(first).exec_without_returning(self.db()).await?;
        delete_superseded(self.db(), &row).await?;
        let (kept, digest) = kept(self.db(), row.first_seq, row.last_seq).await?;
        (row.kept_events, row.kept_digest) = (kept, digest.to_vec());
        row.mac = self.binder().seal(DOMAIN, &parts(&sealed(self.epoch(), &row)));
        row.clone().into_active_model().reset_all().update_without_returning(self.db()).await?;
        Ok(Some(segment(row, true)))
    }
}

/// The last event that was moved out with a segment.
pub(super) async fn end(db: &impl ConnectionTrait) -> Result<Head, StoreError> {
    let last = audit_segments::Entity::find().order_by_desc(audit_segments::Column::LastSeq).one(db).await?;
    Ok(last.map_or(Head { seq: 0, hash: GENESIS }, |row| Head { seq: row.last_seq, hash: as_hash(row.last_hash) }))
}

/// Those of a segment that nothing needs here: those that a newer event of the same resource follows, and the last ones of
/// sessions that have no binding any more.
async fn delete_superseded(db: &impl ConnectionTrait, of: &audit_segments::Model) -> Result<(), StoreError> {
    use audit_events::{Column, Entity};
    let (newer, older) = (Alias::new("newer"), Alias::new("older"));
    let seq = |of: &Alias| Expr::col((of.clone(), Column::Seq));
    let follows = of_same_target(&newer).and_where(seq(&newer).gt(Expr::col((Entity, Column::Seq)))).to_owned();
    // where an earlier segment left an older one here, the newest must go on to tell that it is over
    let precedes = of_same_target(&older).and_where(seq(&older).lt(of.first_seq)).to_owned();
    let bound = Query::select().expr(Expr::cust(BINDING)).from(session_bindings::Entity).to_owned();
    let unbound = Condition::any()
        .add(Column::Action.eq(Action::SessionUnbound.as_str()))
        .add(Column::Action.eq(Action::SessionBound.as_str()).and(Column::Target.not_in_subquery(bound)));
    let over = Condition::all().add(unbound).add(Expr::exists(precedes).not());
    Entity::delete_many()
        .filter(Column::Seq.between(of.first_seq, of.last_seq))
        .filter(Column::Action.ne(Action::WorkspaceDeleted.as_str()))
        .filter(Condition::any().add(Expr::exists(follows)).add(over))
        .exec(db)
        .await?;
    Ok(())
}

/// Events under another name, of the same resource as the event that is looked at.
fn of_same_target(name: &Alias) -> SelectStatement {
    use audit_events::{Column, Entity};
    Query::select()
        .expr(Expr::val(1))
        .from_as(Entity, name.clone())
        .and_where(Expr::col((name.clone(), Column::Target)).equals((Entity, Column::Target)))
        .to_owned()
}

async fn kept(db: &impl ConnectionTrait, first: i64, last: i64) -> Result<(i64, [u8; 32]), StoreError> {
    use audit_events::Column;
    let (mut count, mut digest, mut from) = (0, GENESIS, first);
    loop {
        let some = audit_events::Entity::find()
            .filter(Column::Seq.between(from, last))
            .order_by_asc(Column::Seq)
            .limit(AT_ONCE)
            .all(db)
            .await?;
        let Some(newest) = some.last() else { return Ok((count, digest)) };
        from = newest.seq + 1;
        for event in some {
            count += 1;
            digest = fold(&digest, &event.into());
        }
    }
}

fn segment(row: audit_segments::Model, intact: bool) -> Segment {
    Segment {
        before: Head { seq: row.first_seq - 1, hash: as_hash(row.first_hash) },
        first_seq: row.first_seq,
        last: Head { seq: row.last_seq, hash: as_hash(row.last_hash) },
        kept_events: row.kept_events,
        kept_digest: as_hash(row.kept_digest),
        intact,
    }
}

/// What the seal covers: all of a row, and the history that it is of.
fn sealed(epoch: Uuid, row: &audit_segments::Model) -> [Vec<u8>; 9] {
    let number = |number: i64| number.to_be_bytes().to_vec();
    [
        epoch.as_bytes().to_vec(),
        number(row.first_seq),
        number(row.last_seq),
        row.first_hash.clone(),
        row.last_hash.clone(),
        number(row.kept_events),
        row.kept_digest.clone(),
        row.file_digest.clone(),
        number(row.create_time),
    ]
}

fn parts(sealed: &[Vec<u8>; 9]) -> [&[u8]; 9] {
    sealed.each_ref().map(Vec::as_slice)
}
