//! Each tenant's keys that its records are sealed under, wrapped.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "workspace_keys")]
pub(in crate::store) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) version: i32,
    pub(in crate::store) master_key: String,
    pub(in crate::store) wrapped: Vec<u8>,
    pub(in crate::store) create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(in crate::store) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
