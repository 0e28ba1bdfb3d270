//! What pins each session.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session_bindings")]
pub(in crate::store) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) workspace: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) session: String,
    pub(in crate::store) key_slug: String,
    pub(in crate::store) owner_user: Option<String>,
    pub(in crate::store) provider: Option<String>,
    pub(in crate::store) model: Option<String>,
    pub(in crate::store) create_time: i64,
    pub(in crate::store) creator: String,
    pub(in crate::store) expire_time: i64,
    pub(in crate::store) last_seq: i64,
    pub(in crate::store) mac: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(in crate::store) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
