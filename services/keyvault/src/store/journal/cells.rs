//! Adding to what was called in each hour.

use std::collections::BTreeMap;

use claviger_core::catalog::Outcome;
use claviger_core::usage::{Cell, Counts, payer};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Priced;
use crate::store::StoreError;
use crate::store::key_row::micros;
use crate::store::many::{Kind, upsert};
use crate::store::usage::COUNTS;

const TABLE: &str = "usage_hours";
const DIMENSIONS: [(&str, Kind); 9] = [
    ("workspace", Kind::Text),
    ("hour", Kind::Long),
    ("user_id", Kind::Text),
    ("agent", Kind::Text),
    ("session", Kind::Text),
    ("key_id", Kind::Text),
    ("provider", Kind::Text),
    ("model", Kind::Text),
    ("payer", Kind::Text),
];

/// What is counted of one cell, and when its key was handed out first and last.
struct Added {
    counts: Counts,
    first: OffsetDateTime,
    last: OffsetDateTime,
}

/// Counts entries in the hours in which the keys were handed out.
pub(super) async fn add(db: &impl ConnectionTrait, entries: &[&Priced]) -> Result<(), StoreError> {
    let mut cells: BTreeMap<Cell, Added> = BTreeMap::new();
    for entry in entries {
        let of = match entry {
            Priced::Resolved(of, _) => of,
            Priced::Reported(reported, _) => &reported.of,
            Priced::Health(_) => continue,
        };
        let empty = || Added { counts: Counts::default(), first: of.time, last: of.time };
        let added = cells.entry(Cell::of(of)).or_insert_with(empty);
        (added.first, added.last) = (added.first.min(of.time), added.last.max(of.time));
        match entry {
            Priced::Resolved(_, fee) => added.counts.add_call(*fee),
            Priced::Reported(reported, charge) => added.counts.add_report(reported, *charge),
            Priced::Health(_) => {}
        }
    }
    let counts = COUNTS.map(|name| (name, Kind::Long));
    let times = [("first_use_time", Kind::Long), ("last_use_time", Kind::Long)];
    let columns = [&DIMENSIONS[..], &counts, &times].concat();
    let rows = cells.iter().map(|(cell, added)| row(cell, added)).collect();
    upsert(db, TABLE, &columns, &adding(), rows).await?;
    Ok(())
}

/// What is there already is added to; what is too much to count stays the most that can be counted.
fn adding() -> String {
    const MOST: i64 = i64::MAX;
    let sum = |name: &str| {
        format!(
            "{name} = CASE WHEN {TABLE}.{name} > {MOST} - excluded.{name} THEN {MOST} ELSE {TABLE}.{name} + excluded.{name} END"
        )
    };
    let beyond = |name: &str, than: &str| {
        format!("{name} = CASE WHEN excluded.{name} {than} {TABLE}.{name} THEN excluded.{name} ELSE {TABLE}.{name} END")
    };
    let sums = COUNTS.iter().map(|name| sum(name));
    let set: Vec<_> = sums.chain([beyond("first_use_time", "<"), beyond("last_use_time", ">")]).collect();
    let cell: Vec<_> = DIMENSIONS.iter().map(|(name, _)| *name).collect();
    format!("({}) DO UPDATE SET {}", cell.join(", "), set.join(", "))
}

fn row(cell: &Cell, Added { counts, first, last }: &Added) -> Value {
    let text = |text: Option<&str>| json!(text.unwrap_or_default());
    let dimensions = [
        json!(cell.workspace.as_str()),
        json!(micros(cell.hour)),
        text(cell.user.as_ref().map(|user| user.as_str())),
        text(cell.agent.as_ref().map(|agent| agent.as_str())),
        text(cell.session.as_ref().map(|session| session.as_str())),
        json!(cell.key.to_string()),
        json!(cell.provider.as_str()),
        text(cell.model.as_ref().map(|model| model.as_str())),
        json!(payer(cell.payer)),
    ];
    let counted = numbers(counts).map(|number| json!(i64::try_from(number).unwrap_or(i64::MAX)));
    Value::Array(dimensions.into_iter().chain(counted).chain([json!(micros(*first)), json!(micros(*last))]).collect())
}

/// In the order of [`COUNTS`].
fn numbers(counts: &Counts) -> [u64; COUNTS.len()] {
    let mut numbers = [0; COUNTS.len()];
    let duration = u64::try_from(counts.duration.as_micros()).unwrap_or(u64::MAX);
    let others = [counts.input_tokens, counts.output_tokens, counts.credits.micros(), duration, counts.unpriced_calls];
    numbers[0] = counts.calls;
    numbers[1..=Outcome::ALL.len()].copy_from_slice(&counts.outcomes);
    numbers[1 + Outcome::ALL.len()..].copy_from_slice(&others);
    numbers
}
