//! What a journal tells of keys: when they were last handed out, what came of it, and which cool. Of keys that the vault does
//! not have, and of purged ones, nothing is kept.

use std::collections::{BTreeMap, HashMap};

use claviger_core::catalog::Outcome;
use claviger_core::ids::{KeyId, KeyName, Owner, Tenant, UserId};
use claviger_core::journal::{HealthChange, Reported};
use claviger_core::key::KeyState;
use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult, Statement};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Priced, Rejected};
use crate::store::StoreError;
use crate::store::entity::key_uses;
use crate::store::key_row::micros;
use crate::store::many::{Kind, each, element, upsert};

/// A key as the vault has it.
struct Known {
    name: KeyName,
    secret_version: i32,
    state: KeyState,
}

/// What a batch tells of one key.
#[derive(Default)]
struct Told<'b> {
    last_use: Option<i64>,
    /// On its present secret, in order.
    reports: Vec<&'b Reported>,
}

/// Keeps what entries tell of keys; answers which are said to be rejected.
pub(super) async fn tell(
    db: &impl ConnectionTrait,
    entries: &[&Priced],
    now: OffsetDateTime,
) -> Result<Vec<Rejected>, StoreError> {
    let known = known(db, entries).await?;
    let mut told: BTreeMap<KeyId, Told<'_>> = BTreeMap::new();
    let mut changes: BTreeMap<(KeyId, &str), &HealthChange> = BTreeMap::new();
    for entry in entries {
        match entry {
            Priced::Resolved(of, _) if is_of(&known, of.key, &of.tenant()) => {
                let last = &mut told.entry(of.key).or_default().last_use;
                *last = (*last).max(Some(micros(of.time.min(now))));
            }
            Priced::Reported(reported, _) if is_present(&known, reported) => {
                told.entry(reported.of.key).or_default().reports.push(reported);
            }
            Priced::Health(change) if is_of(&known, change.key, &change.tenant) => {
                let scope = (change.key, change.model.as_ref().map_or("", |model| model.as_str()));
                let is_newer = changes.get(&scope).is_none_or(|other| other.since <= change.since);
                if is_newer && is_secret(&known, change.key, change.secret_version) {
                    changes.insert(scope, change);
                }
            }
            _ => {}
        }
    }
    let rejected = use_keys(db, &known, told, now).await?;
    put_health(db, &changes, now).await?;
    Ok(rejected)
}

fn is_of(known: &HashMap<KeyId, Known>, key: KeyId, tenant: &Tenant) -> bool {
    known.get(&key).is_some_and(|known| known.name.owner.tenant == *tenant)
}

fn is_secret(known: &HashMap<KeyId, Known>, key: KeyId, version: u32) -> bool {
    known.get(&key).is_some_and(|known| u32::try_from(known.secret_version) == Ok(version))
}

fn is_present(known: &HashMap<KeyId, Known>, reported: &Reported) -> bool {
    let of = &reported.of;
    is_of(known, of.key, &of.tenant()) && is_secret(known, of.key, of.secret_version)
}

/// The keys of entries, but for purged ones.
async fn known(db: &impl ConnectionTrait, entries: &[&Priced]) -> Result<HashMap<KeyId, Known>, StoreError> {
    let key = |entry: &&Priced| match entry {
        Priced::Resolved(of, _) => of.key,
        Priced::Reported(reported, _) => reported.of.key,
        Priced::Health(change) => change.key,
    };
    let mut keys: Vec<_> = entries.iter().map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let backend = db.get_database_backend();
    let sql = format!(
        "SELECT id, tenant, owner_user, secret_version, state FROM provider_keys \
         WHERE state <> 'PURGED' AND id IN (SELECT {} FROM {})",
        element(0, Kind::Text, backend),
        each(backend),
    );
    let keys = Value::Array(keys.iter().map(|key| json!([key.to_string()])).collect()).to_string();
    let rows = db.query_all_raw(Statement::from_sql_and_values(backend, sql, [keys.into()])).await?;
    // a row that cannot be read is of no key that we know: it must not keep everybody's journals out
    Ok(rows.iter().filter_map(|row| known_key(row).ok()).map(|known| (known.name.id, known)).collect())
}

fn known_key(row: &QueryResult) -> Result<Known, StoreError> {
    const CORRUPT: StoreError = StoreError::Corrupt("provider_keys");
    let text = |name| row.try_get::<String>("", name);
    let (id, tenant, user, state) = (text("id")?, text("tenant")?, text("owner_user")?, text("state")?);
    let parsed = || {
        let user = if user.is_empty() { None } else { Some(UserId::parse(&user).ok()?) };
        let owner = Owner { tenant: Tenant::parse(&tenant).ok()?, user };
        Some((KeyName { owner, id: KeyId::parse(&id).ok()? }, KeyState::parse(&state)?))
    };
    let (name, state) = parsed().ok_or(CORRUPT)?;
    Ok(Known { name, secret_version: row.try_get("", "secret_version")?, state })
}

/// Rows are locked first, then written as they come to be.
async fn use_keys(
    db: &impl ConnectionTrait,
    known: &HashMap<KeyId, Known>,
    told: BTreeMap<KeyId, Told<'_>>,
    now: OffsetDateTime,
) -> Result<Vec<Rejected>, StoreError> {
    const CORRUPT: StoreError = StoreError::Corrupt("key_uses");
    let columns = [("key_id", Kind::Text), ("secret_version", Kind::Number), ("rejections", Kind::Number)];
    let same = "(key_id) DO UPDATE SET key_id = excluded.key_id RETURNING *";
    let rows = told.keys().map(|key| json!([key.to_string(), 0, 0])).collect();
    let mut rejected = Vec::new();
    let mut rows_after = BTreeMap::new();
    for row in upsert(db, "key_uses", &columns, same, rows).await? {
        let row = key_uses::Model::from_query_result(&row, "")?;
        let key = KeyId::parse(&row.key_id).map_err(|_| CORRUPT)?;
        let (Some(known), Some(told)) = (known.get(&key), told.get(&key)) else { return Err(CORRUPT) };
        let row = after(row, known, told, now);
        let says_so = told.reports.iter().any(|reported| reported.outcome == Outcome::InvalidKey);
        if says_so && known.state == KeyState::Active {
            let secret_version = u32::try_from(row.secret_version).map_err(|_| CORRUPT)?;
            let in_a_row = u32::try_from(row.rejections).map_err(|_| CORRUPT)?;
            rejected.push(Rejected { name: known.name.clone(), secret_version, in_a_row });
        }
        rows_after.insert(key, row);
    }
    put_uses(db, rows_after.into_values()).await?;
    rejected.sort_by_key(|rejected| rejected.name.id);
    Ok(rejected)
}

/// A key's row after what is told of it. What was said of another secret is no more.
fn after(mut row: key_uses::Model, known: &Known, told: &Told<'_>, now: OffsetDateTime) -> key_uses::Model {
    row.last_use_time = row.last_use_time.max(told.last_use);
    if row.secret_version != known.secret_version {
        (row.secret_version, row.rejections) = (known.secret_version, 0);
        (row.last_outcome, row.last_outcome_time) = (None, None);
    }
    for reported in &told.reports {
        row.rejections = match reported.outcome {
            Outcome::InvalidKey => row.rejections.saturating_add(1),
            Outcome::Ok => 0,
            _ => row.rejections,
        };
        let time = Some(micros(reported.time.min(now)));
        if time >= row.last_outcome_time {
            (row.last_outcome, row.last_outcome_time) = (Some(reported.outcome.as_str().to_owned()), time);
        }
    }
    row
}

async fn put_uses(db: &impl ConnectionTrait, rows: impl Iterator<Item = key_uses::Model>) -> Result<(), StoreError> {
    let columns = [
        ("key_id", Kind::Text),
        ("last_use_time", Kind::Long),
        ("secret_version", Kind::Number),
        ("last_outcome", Kind::Text),
        ("last_outcome_time", Kind::Long),
        ("rejections", Kind::Number),
    ];
    let set: Vec<_> = columns[1..].iter().map(|(name, _)| format!("{name} = excluded.{name}")).collect();
    let row = |row: key_uses::Model| {
        json!([
            row.key_id,
            row.last_use_time,
            row.secret_version,
            row.last_outcome,
            row.last_outcome_time,
            row.rejections
        ])
    };
    let on_conflict = format!("(key_id) DO UPDATE SET {}", set.join(", "));
    upsert(db, "key_uses", &columns, &on_conflict, rows.map(row).collect()).await?;
    Ok(())
}

/// Of each scope the newest change stays. None lies in the future: it would outlive all that come.
async fn put_health(
    db: &impl ConnectionTrait,
    changes: &BTreeMap<(KeyId, &str), &HealthChange>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let columns = [
        ("key_id", Kind::Text),
        ("model", Kind::Text),
        ("secret_version", Kind::Number),
        ("cause", Kind::Text),
        ("since", Kind::Long),
        ("end_time", Kind::Long),
        ("failures", Kind::Number),
    ];
    let newer = "(key_id, model) DO UPDATE SET secret_version = excluded.secret_version, cause = excluded.cause, \
        since = excluded.since, end_time = excluded.end_time, failures = excluded.failures \
        WHERE excluded.secret_version > key_health.secret_version \
        OR (excluded.secret_version = key_health.secret_version AND excluded.since >= key_health.since)";
    let row = |((key, model), change): (&(KeyId, &str), &&HealthChange)| {
        let since = micros(change.since.min(now));
        let end = change.until.filter(|_| change.cause != Outcome::Ok).map_or(since, micros);
        json!([key.to_string(), model, change.secret_version, change.cause.as_str(), since, end, change.failures])
    };
    upsert(db, "key_health", &columns, newer, changes.iter().map(row).collect()).await?;
    Ok(())
}
