//! Requests that are sent again: the first answer is kept for a day.

use std::time::Duration;

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Set};
use time::OffsetDateTime;

use super::entity::request_ids::{ActiveModel, Column, Entity, Model};
use super::key_row::micros;
use super::{Store, StoreError, WriteTxn};

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
    /// [`StoreError::RequestIdReused`]; or when the database fails.
    pub async fn recall(&self, once: &Once, now: OffsetDateTime) -> Result<Recalled, StoreError> {
        recall(&self.read, once, now).await
    }
}

impl WriteTxn {
    /// The first answer, if the request was answered before.
    ///
    /// # Errors
    /// [`StoreError::RequestIdReused`]; or when the database fails.
    pub async fn recall(&self, once: &Once, now: OffsetDateTime) -> Result<Recalled, StoreError> {
        recall(self.db(), once, now).await
    }

    /// Keeps the first answer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember(&self, once: &Once, answer: Vec<u8>, now: OffsetDateTime) -> Result<(), StoreError> {
        self.forget_old_answers(once, now).await?;
        let row = ActiveModel {
            id_tag: Set(once.id.to_vec()),
            body_tag: Set(once.body.to_vec()),
            answer: Set(answer),
            expire_time: Set(micros(now + KEPT)),
        };
        Entity::insert(row).exec_without_returning(self.db()).await?;
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

async fn recall(db: &impl ConnectionTrait, once: &Once, now: OffsetDateTime) -> Result<Recalled, StoreError> {
    let row: Option<Model> = Entity::find_by_id(once.id.to_vec()).one(db).await?;
    match row.filter(|row| row.expire_time > micros(now)) {
        Some(row) if row.body_tag != once.body => Err(StoreError::RequestIdReused),
        row => Ok(row.map(|row| row.answer)),
    }
}
