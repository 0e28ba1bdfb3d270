//! Requests that are sent again: the first answer is kept for a day.

use std::time::Duration;

use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect};
use time::OffsetDateTime;

use super::bound::Binder;
use super::entity::request_ids::{Column, Entity, Model};
use super::error::REQUEST_IDS;
use super::key_row::micros;
use super::{Store, StoreError, WriteTxn};

const DOMAIN: &str = "claviger/answer/v1";
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Old answers forgotten with each new one, so that no one has to tidy up.
const FORGOTTEN_AT_ONCE: u64 = 4;

/// A request that may be sent again, by keyed tags alone: of its sender and id, and of all that it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Names the request.
    pub id: [u8; 32],
    /// Tells its content from any other.
    pub body: [u8; 32],
}

/// The first answer to a request, as it was kept.
pub type Recalled = Option<Vec<u8>>;

impl Store {
    /// The first answer, if the request was answered before.
    ///
    /// # Errors
    /// [`StoreError::RequestIdReused`]; [`StoreError::Altered`] for an answer that is not the one that was kept; or when the
    /// database fails.
    pub async fn recall(&self, once: &Once, now: OffsetDateTime) -> Result<Recalled, StoreError> {
        recall(&self.read, &self.binder, once, now).await
    }
}

impl WriteTxn {
    /// The first answer, if the request was answered before.
    ///
    /// # Errors
    /// [`StoreError::RequestIdReused`]; [`StoreError::Altered`] for an answer that is not the one that was kept; or when the
    /// database fails.
    pub async fn recall(&self, once: &Once, now: OffsetDateTime) -> Result<Recalled, StoreError> {
        recall(self.db(), self.binder(), once, now).await
    }

    /// Keeps the first answer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember(&self, once: &Once, answer: Vec<u8>, now: OffsetDateTime) -> Result<(), StoreError> {
        self.forget_old_answers(once, now).await?;
        let mut row = Model {
            id_tag: once.id.to_vec(),
            body_tag: once.body.to_vec(),
            answer,
            expire_time: micros(now + KEPT),
            mac: Vec::new(),
        };
        row.mac = self.binder().seal(DOMAIN, &parts(&row, &row.expire_time.to_be_bytes()));
        Entity::insert(row.into_active_model().reset_all()).exec_without_returning(self.db()).await?;
        Ok(())
    }

    /// More than are added, so that they do not pile up; and an expired answer to this very request.
    async fn forget_old_answers(&self, once: &Once, now: OffsetDateTime) -> Result<(), StoreError> {
        let oldest = Entity::find()
            .select_only()
            .column(Column::IdTag)
            .filter(Column::ExpireTime.lte(micros(now)))
            .limit(FORGOTTEN_AT_ONCE)
            .into_tuple()
            .all(self.db());
        let mut old: Vec<Vec<u8>> = oldest.await?;
        old.push(once.id.to_vec()); // one that is still kept was recalled before
        Entity::delete_many().filter(Column::IdTag.is_in(old)).exec(self.db()).await?;
        Ok(())
    }
}

/// An altered row is refused before it is asked for anything, its age included: an answer that only looks expired would
/// let the request be done again.
async fn recall(
    db: &impl ConnectionTrait,
    binder: &Binder,
    once: &Once,
    now: OffsetDateTime,
) -> Result<Recalled, StoreError> {
    let row: Option<Model> = Entity::find_by_id(once.id.to_vec()).one(db).await?;
    let Some(row) = row else { return Ok(None) };
    if !binder.is_seal(DOMAIN, &parts(&row, &row.expire_time.to_be_bytes()), &row.mac) {
        return Err(StoreError::Altered(REQUEST_IDS, String::new()));
    }
    if row.expire_time <= micros(now) {
        return Ok(None);
    }
    if row.body_tag != once.body {
        return Err(StoreError::RequestIdReused);
    }
    Ok(Some(row.answer))
}

/// What the seal covers: all of a row.
fn parts<'a>(row: &'a Model, expire_time: &'a [u8; 8]) -> [&'a [u8]; 4] {
    [&row.id_tag, &row.body_tag, &row.answer, expire_time]
}
