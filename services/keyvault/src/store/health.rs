//! How keys fare: read beside them, and gone with them.

use std::collections::HashMap;
use std::time::Duration;

use claviger_core::catalog::Outcome;
use claviger_core::fault::Fault;
use claviger_core::ids::{KeyId, ModelId, Tenant};
use claviger_core::key_health::{Cooldown, KeyHealth};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement, TransactionTrait, Value,
};
use time::OffsetDateTime;

use super::entity::{key_health, key_uses};
use super::key_row::{micros, optional_time, time};
use super::{Store, StoreError, StoredKey};

/// Cooldowns that are read at most, of all keys together.
const MOST_COOLDOWNS: u64 = 10_000;

impl Store {
    /// The health of keys, as far as anything is known of them and of their present secrets.
    ///
    /// # Errors
    /// When the database fails or a row is corrupt.
    pub async fn health(
        &self,
        keys: &[StoredKey],
        now: OffsetDateTime,
    ) -> Result<HashMap<KeyId, KeyHealth>, StoreError> {
        let versions: HashMap<_, _> =
            keys.iter().map(|stored| (stored.key.name.id.to_string(), stored.key.secret_version)).collect();
        let txn = self.read.begin().await?;
        let uses = key_uses::Entity::find().filter(key_uses::Column::KeyId.is_in(versions.keys())).all(&txn).await?;
        let cooldowns = key_health::Entity::find()
            .filter(key_health::Column::KeyId.is_in(versions.keys()))
            .filter(key_health::Column::Cause.ne(Outcome::Ok.as_str()))
            .filter(key_health::Column::EndTime.gt(micros(now)))
            .order_by_desc(key_health::Column::EndTime)
            .limit(MOST_COOLDOWNS)
            .all(&txn)
            .await?;
        txn.commit().await?;
        let is_present = |key: &String, version: i32| {
            u32::try_from(version).is_ok_and(|version| versions.get(key) == Some(&version))
        };
        let mut health: HashMap<KeyId, KeyHealth> = HashMap::new();
        for row in uses {
            let present = is_present(&row.key_id, row.secret_version);
            let (key, known) = used(row, present).ok_or(StoreError::Corrupt("key_uses"))?;
            health.insert(key, known);
        }
        for row in cooldowns.into_iter().filter(|row| is_present(&row.key_id, row.secret_version)) {
            let (key, cooldown) = cooling(&row).ok_or(StoreError::Corrupt("key_health"))?;
            health.entry(key).or_default().cooldowns.push(cooldown);
        }
        Ok(health)
    }
}

fn used(row: key_uses::Model, is_present: bool) -> Option<(KeyId, KeyHealth)> {
    let last_outcome = match (row.last_outcome.filter(|_| is_present), row.last_outcome_time) {
        (Some(outcome), Some(at)) => Some((Outcome::parse(&outcome)?, time(at)?)),
        _ => None,
    };
    let last_use = optional_time(row.last_use_time)?;
    Some((KeyId::parse(&row.key_id).ok()?, KeyHealth { last_outcome, last_use, ..KeyHealth::default() }))
}

fn cooling(row: &key_health::Model) -> Option<(KeyId, Cooldown)> {
    let model = if row.model.is_empty() { None } else { Some(ModelId::parse(&row.model).ok()?) };
    let (since, until) = (time(row.since)?, time(row.end_time)?);
    Some((KeyId::parse(&row.key_id).ok()?, Cooldown { model, cause: Outcome::parse(&row.cause)?, since, until }))
}

/// These wait for journals, and so are never part of a write that others wait for.
impl Store {
    /// Whether a secret of a key was reported to be rejected so often in a row. If so it is counted anew from here on: of several
    /// that ask, one is told.
    ///
    /// # Errors
    /// `STORAGE_UNAVAILABLE`.
    pub async fn claim_rejections(&self, key: KeyId, secret_version: u32, least: u32) -> Result<bool, Fault> {
        const SQL: &str =
            "UPDATE key_uses SET rejections = 0 WHERE key_id = $1 AND secret_version = $2 AND rejections >= $3";
        let values = [key.to_string().into(), i64::from(secret_version).into(), i64::from(least).into()];
        Ok(self.change(SQL, values.to_vec()).await? > 0)
    }

    /// Whether a key may be tested now because of a report, which it may once in a pause: of several that ask, one is told.
    ///
    /// # Errors
    /// `STORAGE_UNAVAILABLE`.
    pub async fn claim_retest(&self, key: KeyId, now: OffsetDateTime, pause: Duration) -> Result<bool, Fault> {
        const SQL: &str = "UPDATE key_uses SET retest_time = $2 \
            WHERE key_id = $1 AND (retest_time IS NULL OR retest_time <= $3 OR retest_time > $4)"; // a clock was wrong
        let values =
            [key.to_string().into(), micros(now).into(), micros(now - pause).into(), micros(now + pause).into()];
        Ok(self.change(SQL, values.to_vec()).await? > 0)
    }

    /// Forgets how a tenant's keys fared that are purged. What they were used for stays counted.
    ///
    /// # Errors
    /// `STORAGE_UNAVAILABLE`.
    pub async fn forget_purged(&self, tenant: &Tenant) -> Result<(), Fault> {
        for table in ["key_uses", "key_health"] {
            let sql = format!(
                "DELETE FROM {table} WHERE key_id IN \
                 (SELECT id FROM provider_keys WHERE tenant = $1 AND state = 'PURGED')"
            );
            self.change(&sql, vec![tenant.to_string().into()]).await?;
        }
        Ok(())
    }

    /// Changes rows that no audit event tells of: how many.
    async fn change(&self, sql: &str, values: Vec<Value>) -> Result<u64, Fault> {
        let statement = Statement::from_sql_and_values(self.read.get_database_backend(), sql, values);
        let Some(database) = &self.journals else {
            let job = self.write(move |txn| {
                Box::pin(async move {
                    let done = txn.db().execute_raw(statement).await.map_err(StoreError::from)?;
                    Ok(done.rows_affected())
                })
            });
            return Ok(job.await?.0);
        };
        Ok(database.execute_raw(statement).await.map_err(StoreError::from)?.rows_affected())
    }
}
