//! What callers ask about keys.

use time::OffsetDateTime;

use super::{PageRequest, Verification};
use crate::catalog::Category;
use crate::filter::{Field, Filter, Kind};
use crate::ids::{KeyName, KeySlug, ModelId, Owner, ProviderId};
use crate::key::{KeyState, ProviderKey};
use crate::secret::Secret;

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Who will own it.
    pub owner: Owner,
    /// The provider's id or alias, as given.
    pub provider: ProviderId,
    /// What callers pin it by; made by the vault when none.
    pub slug: Option<KeySlug>,
    /// For people; checked by [`label`](super::label).
    pub label: String,
    /// 0 to 1,000,000; 0 is tried first.
    pub priority: i32,
    /// Its own destination, as given.
    pub base_url: Option<String>,
    /// Its cloud region, as given.
    pub location: Option<String>,
    /// The only models it may be used for; empty is all.
    pub allowed_models: Vec<ModelId>,
    /// When it stops being used.
    pub expire_time: Option<OffsetDateTime>,
    /// Switched off from the beginning.
    pub disabled: bool,
    /// The credential.
    pub secret: Secret,
    /// How the secret is tested.
    pub verification: Verification,
}

/// Store a key.
#[derive(Debug, Clone)]
pub struct CreateKey {
    /// The key.
    pub key: NewKey,
    /// Do everything but store.
    pub validate_only: bool,
}

/// List an owner's keys.
#[derive(Debug, Clone)]
pub struct ListKeys {
    /// Whose.
    pub owner: Owner,
    /// Revoked ones too.
    pub show_revoked: bool,
    /// Which.
    pub filter: Filter,
    /// Which page.
    pub page: PageRequest,
}

impl ListKeys {
    /// What the listing can be filtered by.
    pub const FIELDS: [Field; 6] = [
        Field::new("provider", Kind::Text),
        Field::new("state", Kind::Text),
        Field::new("auth_type", Kind::Text),
        Field::new("key_slug", Kind::Text),
        Field::new("create_time", Kind::Time),
        Field::new("expire_time", Kind::Time),
    ];
}

/// What an update changes; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChanges {
    /// For people.
    pub label: Option<String>,
    /// 0 to 1,000,000.
    pub priority: Option<i32>,
    /// The only models; empty is all.
    pub allowed_models: Option<Vec<ModelId>>,
    /// When it stops being used; `Some(None)` is never.
    pub expire_time: Option<Option<OffsetDateTime>>,
    /// Switched off.
    pub disabled: Option<bool>,
}

impl KeyChanges {
    /// Makes the changes, and names the fields that are not as they were.
    pub fn apply(self, key: &mut ProviderKey) -> Vec<&'static str> {
        let before = key.clone();
        let disabled = self.disabled.unwrap_or(key.state == KeyState::Disabled);
        key.label = self.label.unwrap_or_else(|| before.label.clone());
        key.priority = self.priority.unwrap_or(before.priority);
        key.allowed_models = self.allowed_models.unwrap_or_else(|| before.allowed_models.clone());
        key.expire_time = self.expire_time.unwrap_or(before.expire_time);
        key.state = key.state.switched(disabled, key.last_test.as_ref());
        let fields = [
            ("label", key.label != before.label),
            ("rotation_priority", key.priority != before.priority),
            ("allowed_models", key.allowed_models != before.allowed_models),
            ("expire_time", key.expire_time != before.expire_time),
            ("disabled", key.state != before.state),
        ];
        fields.into_iter().filter(|(_, changed)| *changed).map(|(field, _)| field).collect()
    }
}

/// Change what a key's secret is not bound to.
#[derive(Debug, Clone)]
pub struct UpdateKey {
    /// Which.
    pub name: KeyName,
    /// What changes.
    pub changes: KeyChanges,
    /// What the caller knows the key by.
    pub etag: Option<String>,
}

/// Give a key another secret.
#[derive(Debug, Clone)]
pub struct ReplaceSecret {
    /// Which.
    pub name: KeyName,
    /// The new credential.
    pub secret: Secret,
    /// Its new destination, as given; `Some(None)` is the provider's default.
    pub base_url: Option<Option<String>>,
    /// Its new cloud region, as given; `Some(None)` is the provider's default.
    pub location: Option<Option<String>>,
    /// How the secret is tested.
    pub verification: Verification,
    /// What the caller knows the key by.
    pub etag: Option<String>,
}

/// Which of an owner's keys are put in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReorderGroup {
    /// A provider's, by its id or alias, as given.
    Provider(ProviderId),
    /// Those of all providers that serve a category.
    Category(Category),
}

/// Put a group of keys in order.
#[derive(Debug, Clone)]
pub struct ReorderKeys {
    /// Whose.
    pub owner: Owner,
    /// Which.
    pub group: ReorderGroup,
    /// The keys, each once, the one to be tried first at the beginning. All are the owner's.
    pub names: Vec<KeyName>,
}

/// Test a stored key live.
#[derive(Debug, Clone)]
pub struct TestKey {
    /// Which.
    pub name: KeyName,
}

/// Revoke a key.
#[derive(Debug, Clone)]
pub struct RevokeKey {
    /// Which.
    pub name: KeyName,
    /// What the row keeps; may be empty; checked by [`note`](super::note).
    pub reason: String,
}

/// Revoke every key with a secret.
#[derive(Debug, Clone)]
pub struct RevokeLeaked {
    /// What leaked.
    pub secret: Secret,
    /// What the rows keep.
    pub reason: String,
}

/// Revoke all personal keys of a user.
#[derive(Debug, Clone)]
pub struct RevokeUser {
    /// Whose: always a user's.
    pub owner: Owner,
    /// What the rows keep.
    pub reason: String,
}

/// Destroy a revoked key's ciphertext.
#[derive(Debug, Clone)]
pub struct PurgeKey {
    /// Which.
    pub name: KeyName,
}
