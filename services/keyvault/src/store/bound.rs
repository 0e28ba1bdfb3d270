//! Rows that are bound to their newest audit event: an edit of the row, or an older copy of it put back, is found.
//!
//! The tag is a MAC over the table's name, the event's hash and each column by name, under a key that is not in the
//! database. A row is as its newest event left it when its tag is right for that event, and the event is the newest one of
//! the row's resource.

use std::collections::HashMap;

use claviger_crypto::ServiceKey;
use sea_orm::sea_query::{Expr, Query, Value};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, IdenStatic, IntoActiveModel, Iterable,
    ModelTrait, QueryFilter, QuerySelect,
};

use super::entity::audit_events;
use super::{Kept, StoreError};

const DOMAIN: &str = "claviger/row/v1";

/// A row that is bound to its newest audit event.
pub(super) trait Bound: ModelTrait + Clone {
    /// The table's name.
    const TABLE: &'static str;
    /// Columns that the tag leaves out: what is sealed by itself and may be sealed anew.
    const FREE: &'static [&'static str];

    /// The name of the resource that it is the row of, as events name it.
    fn target(&self) -> String;
    /// The event that it is bound to.
    fn last_seq(&self) -> i64;
    /// Its tag.
    fn mac(&self) -> &[u8];
    /// Binds it.
    fn bind(&mut self, last_seq: i64, mac: Vec<u8>);
}

/// A table whose rows have `last_seq` and `mac`.
macro_rules! bound {
    ($model:ty, $table:literal, free $free:expr, $target:expr) => {
        impl $crate::store::bound::Bound for $model {
            const TABLE: &'static str = $table;
            const FREE: &'static [&'static str] = &$free;

            fn target(&self) -> String {
                let target: fn(&Self) -> String = $target;
                target(self)
            }

            fn last_seq(&self) -> i64 {
                self.last_seq
            }

            fn mac(&self) -> &[u8] {
                &self.mac
            }

            fn bind(&mut self, last_seq: i64, mac: Vec<u8>) {
                (self.last_seq, self.mac) = (last_seq, mac);
            }
        }
    };
}
pub(super) use bound;

/// An event that was appended, for the rows that it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub(super) target: String,
    pub(super) seq: i64,
    pub(super) hash: Vec<u8>,
}

/// Makes and checks tags.
#[derive(Debug)]
pub(super) struct Binder {
    key: ServiceKey,
}

impl Binder {
    pub(super) fn new(key: ServiceKey) -> Self {
        Self { key }
    }

    /// Binds a row to the event that tells of it.
    pub(super) fn bind<M: Bound>(&self, row: &mut M, stamp: &Stamp) -> Result<(), StoreError> {
        if row.target() != stamp.target {
            tracing::error!(db.table = M::TABLE, "an event was recorded for another resource than its row's");
            return Err(StoreError::Corrupt(M::TABLE));
        }
        row.bind(stamp.seq, Vec::new()); // the tag covers the number
        let mac = self.tag(row, &stamp.hash)?;
        row.bind(stamp.seq, mac);
        Ok(())
    }

    /// Whether a row is as its newest event left it.
    pub(super) fn is_intact<M: Bound>(&self, row: &M, newest: Option<&Stamp>) -> Result<bool, StoreError> {
        let Some(newest) = newest.filter(|newest| newest.seq == row.last_seq()) else { return Ok(false) };
        let parts = parts(row)?;
        Ok(self.key.verify(DOMAIN, &inputs::<M>(&newest.hash, &parts), row.mac()))
    }

    fn tag<M: Bound>(&self, row: &M, hash: &[u8]) -> Result<Vec<u8>, StoreError> {
        let parts = parts(row)?;
        Ok(self.key.mac(DOMAIN, &inputs::<M>(hash, &parts)).to_vec())
    }

    /// A tag over other things of the store, for a purpose.
    pub(super) fn seal(&self, purpose: &str, parts: &[&[u8]]) -> Vec<u8> {
        self.key.mac(purpose, parts).to_vec()
    }

    /// Whether [`Binder::seal`] made this tag.
    pub(super) fn is_seal(&self, purpose: &str, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.key.verify(purpose, parts, tag)
    }
}

fn inputs<'a, M: Bound>(hash: &'a [u8], parts: &'a [(&'static str, Vec<u8>)]) -> Vec<&'a [u8]> {
    let columns = parts.iter().flat_map(|(name, value)| [name.as_bytes(), value]);
    [M::TABLE.as_bytes(), hash].into_iter().chain(columns).collect()
}

/// Every column that the tag covers, by name.
fn parts<M: Bound>(row: &M) -> Result<Vec<(&'static str, Vec<u8>)>, StoreError> {
    let mut parts = Vec::new();
    for column in <M::Entity as EntityTrait>::Column::iter() {
        let name = IdenStatic::as_str(&column);
        if name != "mac" && !M::FREE.contains(&name) {
            parts.push((name, bytes(row.get(column)).ok_or(StoreError::Corrupt(M::TABLE))?));
        }
    }
    Ok(parts)
}

/// A value in one form, the same for every database; none for a kind of value that no bound table has.
fn bytes(value: Value) -> Option<Vec<u8>> {
    let filled = |bytes: &[u8]| [&[1], bytes].concat();
    Some(match value {
        Value::Bool(None) | Value::Int(None) | Value::BigInt(None) | Value::String(None) | Value::Bytes(None) => {
            vec![0]
        }
        Value::Bool(Some(flag)) => filled(&[u8::from(flag)]),
        Value::Int(Some(number)) => filled(&i64::from(number).to_be_bytes()),
        Value::BigInt(Some(number)) => filled(&number.to_be_bytes()),
        Value::String(Some(text)) => filled(text.as_bytes()),
        Value::Bytes(Some(bytes)) => filled(&bytes),
        _ => return None,
    })
}

/// The newest event of each resource that has one.
pub(super) async fn newest(
    db: &impl ConnectionTrait,
    targets: impl IntoIterator<Item = String>,
) -> Result<HashMap<String, Stamp>, StoreError> {
    use audit_events::Column;
    const AT_ONCE: usize = 1_000;
    let targets: Vec<String> = targets.into_iter().collect();
    let mut stamps = HashMap::with_capacity(targets.len());
    for some in targets.chunks(AT_ONCE) {
        let newest = Query::select()
            .expr(Expr::col(Column::Seq).max())
            .from(audit_events::Entity)
            .and_where(Column::Target.is_in(some))
            .group_by_col(Column::Target)
            .to_owned();
        let rows: Vec<(String, i64, Vec<u8>)> = audit_events::Entity::find()
            .select_only()
            .columns([Column::Target, Column::Seq, Column::Hash])
            .filter(Column::Seq.in_subquery(newest))
            .into_tuple()
            .all(db)
            .await?;
        stamps.extend(rows.into_iter().map(|(target, seq, hash)| (target.clone(), Stamp { target, seq, hash })));
    }
    Ok(stamps)
}

/// Rows with whether each is as its newest event left it. Within one snapshot of the database.
pub(super) async fn checked<M: Bound>(
    db: &impl ConnectionTrait,
    binder: &Binder,
    rows: Vec<M>,
) -> Result<Vec<(M, bool)>, StoreError> {
    let newest = newest(db, rows.iter().map(Bound::target)).await?;
    let check = |row: M| {
        let intact = binder.is_intact(&row, newest.get(&row.target()))?;
        Ok((row, intact))
    };
    rows.into_iter().map(check).collect()
}

/// Rows that must all be as their newest events left them, in the domain.
pub(super) async fn intact<M, T>(
    db: &impl ConnectionTrait,
    binder: &Binder,
    rows: Vec<M>,
) -> Result<Vec<Kept<T>>, StoreError>
where
    M: Bound,
    T: TryFrom<M, Error = StoreError>,
{
    let keep = |(row, intact): (M, bool)| {
        if !intact {
            return Err(StoreError::Altered(M::TABLE));
        }
        let seq = u64::try_from(row.last_seq()).map_err(|_| StoreError::Corrupt(M::TABLE))?;
        Ok(Kept { value: T::try_from(row)?, seq })
    };
    checked(db, binder, rows).await?.into_iter().map(keep).collect()
}

/// A row as its table takes it, all columns set.
pub(super) fn whole<M, A>(row: M) -> A
where
    M: Bound + IntoActiveModel<A>,
    A: ActiveModelTrait,
{
    row.into_active_model().reset_all()
}
