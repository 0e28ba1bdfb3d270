//! First answers, for requests that are sent again.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "request_ids")]
pub(in crate::store) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) id_tag: Vec<u8>,
    pub(in crate::store) body_tag: Vec<u8>,
    pub(in crate::store) answer: Vec<u8>,
    pub(in crate::store) expire_time: i64,
    pub(in crate::store) mac: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(in crate::store) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
