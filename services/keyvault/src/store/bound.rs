//! Rows that are bound to their newest audit event: an edit of the row, or an older copy of it put back, is found.
//!
//! The tag is a MAC over the table's name, the event's hash and each column by name, under a key that is not in the
//! database. A row is as its newest event left it when its tag is right for that event, and the event is the newest one of
//! the row's resource.

use claviger_crypto::ServiceKey;
use sea_orm::sea_query::{Expr, Value};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IdenStatic, IntoActiveModel, Iterable,
    ModelTrait, QueryResult, QuerySelect, Select,
};

use super::{Kept, StoreError};

const DOMAIN: &str = "claviger/row/v1";

/// A row that is bound to its newest audit event.
pub(super) trait Bound: ModelTrait + FromQueryResult + Clone + Send + Sync {
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
    pub(super) fn is_intact<M: Bound>(&self, Told { row, stamp }: &Told<M>) -> Result<bool, StoreError> {
        let Some(stamp) = stamp.as_ref().filter(|stamp| stamp.target == row.target()) else { return Ok(false) };
        let parts = parts(row)?;
        Ok(self.key.verify(DOMAIN, &inputs::<M>(&stamp.hash, &parts), row.mac()))
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

/// A row with the event that it names as its newest.
pub(super) struct Told<M> {
    pub(super) row: M,
    /// None for an event that is not there, or is not its resource's newest.
    pub(super) stamp: Option<Stamp>,
}

impl<M: Bound> FromQueryResult for Told<M> {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        let model = M::from_query_result(row, prefix)?;
        let (target, hash): (Option<String>, Option<Vec<u8>>) =
            (row.try_get("", "told_target")?, row.try_get("", "told_hash")?);
        let newest: Option<i64> = row.try_get("", "told_newest")?;
        let seq = newest.filter(|newest| *newest == model.last_seq());
        let stamp = target.zip(hash).zip(seq).map(|((target, hash), seq)| Stamp { target, seq, hash });
        Ok(Self { row: model, stamp })
    }
}

/// What a query asks beside a row's columns to tell of its event.
pub(super) const TOLD: [(&str, &str); 3] = [
    ("(SELECT e.target FROM audit_events e WHERE e.seq = last_seq)", "told_target"),
    ("(SELECT e.hash FROM audit_events e WHERE e.seq = last_seq)", "told_hash"),
    (
        "(SELECT MAX(n.seq) FROM audit_events n \
         WHERE n.target = (SELECT e.target FROM audit_events e WHERE e.seq = last_seq))",
        "told_newest",
    ),
];

/// Rows with their events. However many events a resource has, two of them are looked at.
pub(super) async fn told<E, M>(db: &impl ConnectionTrait, query: Select<E>) -> Result<Vec<Told<M>>, StoreError>
where
    E: EntityTrait<Model = M>,
    M: Bound,
{
    let query = TOLD.into_iter().fold(query, |query, (sql, name)| query.expr_as(Expr::cust(sql), name));
    Ok(query.into_model::<Told<M>>().all(db).await?)
}

/// Rows with whether each is as its newest event left it.
pub(super) async fn checked<E, M>(
    db: &impl ConnectionTrait,
    binder: &Binder,
    query: Select<E>,
) -> Result<Vec<(M, bool)>, StoreError>
where
    E: EntityTrait<Model = M>,
    M: Bound,
{
    let check = |told: Told<M>| {
        let intact = binder.is_intact(&told)?;
        Ok((told.row, intact))
    };
    told(db, query).await?.into_iter().map(check).collect()
}

/// Rows that must all be as their newest events left them, in the domain.
pub(super) async fn intact<E, M, T>(
    db: &impl ConnectionTrait,
    binder: &Binder,
    query: Select<E>,
) -> Result<Vec<Kept<T>>, StoreError>
where
    E: EntityTrait<Model = M>,
    M: Bound,
    T: TryFrom<M, Error = StoreError>,
{
    told(db, query).await?.into_iter().map(|told| kept(binder, told)).collect()
}

/// A row that must be as its newest event left it, in the domain.
pub(super) fn kept<M, T>(binder: &Binder, told: Told<M>) -> Result<Kept<T>, StoreError>
where
    M: Bound,
    T: TryFrom<M, Error = StoreError>,
{
    if !binder.is_intact(&told)? {
        return Err(StoreError::Altered(M::TABLE, told.row.target()));
    }
    let seq = u64::try_from(told.row.last_seq()).map_err(|_| StoreError::Corrupt(M::TABLE))?;
    Ok(Kept { value: T::try_from(told.row)?, seq })
}

/// A row as its table takes it, all columns set.
pub(super) fn whole<M, A>(row: M) -> A
where
    M: Bound + IntoActiveModel<A>,
    A: ActiveModelTrait,
{
    row.into_active_model().reset_all()
}
