//! Which resolutions were reported before, by any routing process: each counts once.

use std::collections::{BTreeMap, HashMap};

use claviger_core::journal::Reported;
use roaring::RoaringBitmap;
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::Value;
use serde_json::json;
use time::OffsetDateTime;

use super::Priced;
use crate::store::StoreError;
use crate::store::key_row::micros;
use crate::store::many::{Kind, update_many, upsert};

const TABLE: &str = "reported_resolutions";
/// Resolutions of one process in a row of the table: a bitmap of them is 8 KiB at most.
const BLOCK: u64 = 1 << 16;

/// A process, and a stretch of its resolutions.
type Block = (String, i64);

/// All entries but those that report what was reported before.
pub(super) async fn first_reports<'b>(
    db: &impl ConnectionTrait,
    entries: Vec<&'b Priced>,
    now: OffsetDateTime,
) -> Result<Vec<&'b Priced>, StoreError> {
    let reports = entries.iter().filter_map(|entry| match entry {
        Priced::Reported(reported, _) => Some(reported),
        Priced::Resolved(..) | Priced::Health(_) => None,
    });
    let mut newest: BTreeMap<Block, i64> = BTreeMap::new();
    for reported in reports {
        let time = newest.entry(block(reported)).or_insert(micros(now));
        *time = micros(reported.of.time).max(*time);
    }
    let mut known = lock(db, &newest).await?;
    let mut is_first = |entry: &&Priced| match entry {
        Priced::Reported(reported, _) => known.get_mut(&block(reported)).is_some_and(|set| set.insert(place(reported))),
        Priced::Resolved(..) | Priced::Health(_) => true,
    };
    let first = entries.into_iter().filter(&mut is_first).collect();
    put(db, known).await?;
    Ok(first)
}

fn block(reported: &Reported) -> Block {
    (reported.replica.to_string(), i64::try_from(reported.number / BLOCK).unwrap_or(i64::MAX)) // it is below 2^48
}

fn place(reported: &Reported) -> u32 {
    u32::try_from(reported.number % BLOCK).unwrap_or_default() // it is below 2^16
}

/// The blocks as they are, made where they are missing: nobody else reads or writes them until the end of the transaction.
async fn lock(
    db: &impl ConnectionTrait,
    newest: &BTreeMap<Block, i64>,
) -> Result<HashMap<Block, RoaringBitmap>, StoreError> {
    let columns = [("replica", Kind::Text), ("block", Kind::Long), ("newest_time", Kind::Long)];
    let newer = "(replica, block) DO UPDATE SET newest_time = CASE \
        WHEN excluded.newest_time > reported_resolutions.newest_time THEN excluded.newest_time \
        ELSE reported_resolutions.newest_time END RETURNING replica, block, numbers";
    let rows = newest.iter().map(|((replica, block), time)| json!([replica, block, time])).collect();
    let mut known = HashMap::new();
    for row in upsert(db, TABLE, &columns, newer, rows).await? {
        let numbers: Option<Vec<u8>> = row.try_get("", "numbers")?;
        let set = numbers.map(|bytes| RoaringBitmap::deserialize_from(&bytes[..])).transpose();
        let set = set.map_err(|_| StoreError::Corrupt(TABLE))?.unwrap_or_default();
        known.insert((row.try_get("", "replica")?, row.try_get("", "block")?), set);
    }
    Ok(known)
}

async fn put(db: &impl ConnectionTrait, known: HashMap<Block, RoaringBitmap>) -> Result<(), StoreError> {
    let mut rows: Vec<[Value; 3]> = Vec::with_capacity(known.len());
    for ((replica, block), mut set) in known {
        let mut bytes = Vec::new();
        set.optimize();
        set.serialize_into(&mut bytes).map_err(|_| StoreError::Corrupt(TABLE))?;
        rows.push([replica.into(), block.into(), bytes.into()]);
    }
    let keys = [("replica", Kind::Text), ("block", Kind::Long)];
    update_many(db, TABLE, &keys, &[("numbers", Kind::Bytes)], rows.into_iter().map(Vec::from)).await
}
