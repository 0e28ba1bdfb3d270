//! When each key was last handed out, and what was last reported of its secret.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "key_uses")]
pub(in crate::store) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) key_id: String,
    pub(in crate::store) last_use_time: Option<i64>,
    pub(in crate::store) secret_version: i32,
    pub(in crate::store) last_outcome: Option<String>,
    pub(in crate::store) last_outcome_time: Option<i64>,
    pub(in crate::store) rejections: i32,
    pub(in crate::store) retest_time: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(in crate::store) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
