//! What was called in each hour.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_hours")]
pub(in crate::store) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) workspace: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) hour: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) user_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) agent: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) session: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) key_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) provider: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) model: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) payer: String,
    pub(in crate::store) calls: i64,
    pub(in crate::store) last_use_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(in crate::store) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
