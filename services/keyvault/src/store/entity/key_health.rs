//! The newest cooldown, or end of one, of each key, and of each key for one model.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "key_health")]
pub(in crate::store) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) key_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) model: String,
    pub(in crate::store) secret_version: i32,
    pub(in crate::store) cause: String,
    pub(in crate::store) since: i64,
    pub(in crate::store) end_time: i64,
    pub(in crate::store) failures: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(in crate::store) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
