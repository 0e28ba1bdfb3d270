//! The keys, sealed, with all that is known of them.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "provider_keys")]
pub(in crate::store) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(in crate::store) id: String,
    pub(in crate::store) tenant: String,
    pub(in crate::store) owner_user: String,
    pub(in crate::store) provider: String,
    pub(in crate::store) auth_type: String,
    pub(in crate::store) key_slug: String,
    pub(in crate::store) label: String,
    pub(in crate::store) masked_secret: String,
    pub(in crate::store) last_four: String,
    pub(in crate::store) rotation_priority: i32,
    pub(in crate::store) base_url: Option<String>,
    pub(in crate::store) location: Option<String>,
    pub(in crate::store) allowed_models: String,
    pub(in crate::store) state: String,
    pub(in crate::store) secret_version: i32,
    pub(in crate::store) sealed: Vec<u8>,
    pub(in crate::store) workspace_key: i32,
    pub(in crate::store) fingerprint: Vec<u8>,
    pub(in crate::store) test_result: Option<String>,
    pub(in crate::store) test_detail: Option<String>,
    pub(in crate::store) test_time: Option<i64>,
    pub(in crate::store) test_http_status: Option<i32>,
    pub(in crate::store) test_micros: Option<i64>,
    pub(in crate::store) create_time: i64,
    pub(in crate::store) creator: String,
    pub(in crate::store) update_time: i64,
    pub(in crate::store) expire_time: Option<i64>,
    pub(in crate::store) revoke_time: Option<i64>,
    pub(in crate::store) revoker: Option<String>,
    pub(in crate::store) revoke_reason: Option<String>,
    pub(in crate::store) last_seq: i64,
    pub(in crate::store) mac: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(in crate::store) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
