//! Each workspace's policy.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "workspaces")]
pub(in crate::store) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) id: String,
    pub(in crate::store) plan: Option<String>,
    pub(in crate::store) read_only: bool,
    pub(in crate::store) default_mode: String,
    pub(in crate::store) fallback_consent: String,
    pub(in crate::store) allowed_providers: String,
    pub(in crate::store) default_provider: Option<String>,
    pub(in crate::store) default_model: Option<String>,
    pub(in crate::store) create_time: i64,
    pub(in crate::store) creator: String,
    pub(in crate::store) update_time: i64,
    pub(in crate::store) delete_time: Option<i64>,
    pub(in crate::store) last_seq: i64,
    pub(in crate::store) mac: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(in crate::store) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
