//! The parts of the log that were moved out of the database.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_segments")]
pub(in crate::store) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) first_seq: i64,
    pub(in crate::store) last_seq: i64,
    pub(in crate::store) first_hash: Vec<u8>,
    pub(in crate::store) last_hash: Vec<u8>,
    pub(in crate::store) kept_events: i64,
    pub(in crate::store) kept_digest: Vec<u8>,
    pub(in crate::store) file_digest: Vec<u8>,
    pub(in crate::store) create_time: i64,
    pub(in crate::store) mac: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(in crate::store) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
