//! The audit log.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub(in crate::store) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) seq: i64,
    pub(in crate::store) hash: Vec<u8>,
    pub(in crate::store) event_time: i64,
    pub(in crate::store) tenant: String,
    pub(in crate::store) action: String,
    pub(in crate::store) target: String,
    pub(in crate::store) actor: String,
    pub(in crate::store) on_behalf_of: String,
    pub(in crate::store) peer: String,
    pub(in crate::store) request_id: String,
    pub(in crate::store) trace_id: String,
    pub(in crate::store) details: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(in crate::store) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
