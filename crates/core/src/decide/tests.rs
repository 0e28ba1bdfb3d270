#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod properties;
mod table;
mod world;

use super::*;
use crate::catalog::AuthType;
use crate::ids::{KeyId, KeySlug};

/// The moment of every call.
const NOW: OffsetDateTime = time::macros::datetime!(2030-06-15 12:00 UTC);

/// An active workspace key, good for everything.
fn key(number: u8, slug: &str, provider: &str) -> RouteKey {
    RouteKey {
        id: KeyId::new(uuid::Uuid::from_u128(number.into())),
        user: None,
        provider: ProviderId::parse(provider).unwrap(),
        auth_type: AuthType::ApiKey,
        slug: KeySlug::parse(slug).unwrap(),
        label: String::new(),
        masked: String::new(),
        priority: 0,
        base_url: None,
        location: None,
        allowed_models: Vec::new(),
        state: KeyState::Active,
        secret_version: 1,
        create_time: NOW - time::Duration::DAY,
        expire_time: None,
        credential: CredentialState::Ready,
    }
}
