#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod properties;
mod seen;
mod table;
mod world;

use super::*;
use crate::catalog::AuthType;
use crate::health::{Health, Report};
use crate::ids::{KeyId, KeySlug, ProviderId};
use crate::key::KeyState;
use crate::route::CredentialState;

/// The moment of every call.
const NOW: OffsetDateTime = time::macros::datetime!(2030-06-15 12:00 UTC);

/// An active workspace key, good for everything.
pub(crate) fn key(number: u8, slug: &str, provider: &str) -> RouteKey {
    RouteKey {
        id: KeyId::new(uuid::Uuid::from_u128(number.into())),
        user: None,
        provider: ProviderId::parse(provider).unwrap(),
        auth_type: AuthType::ApiKey,
        slug: KeySlug::parse(slug).unwrap(),
        label: String::new(),
        masked: String::new(),
        priority: 0,
        base_url: matches!(provider, "azure" | "custom" | "ollama").then(|| "https://host.example".to_owned()),
        location: (provider == "bedrock").then(|| "us-east-1".to_owned()),
        allowed_models: Vec::new(),
        state: KeyState::Active,
        secret_version: 1,
        create_time: NOW - time::Duration::DAY,
        expire_time: None,
        last_test: None,
        credential: CredentialState::Ready,
        credential_expire_time: None,
    }
}

#[test]
fn a_key_whose_destination_this_catalog_does_not_know_is_not_handed_out() {
    let catalog = Catalog::builtin().unwrap();
    // the vault's catalog let it have a base URL of its own; ours would send it to the provider's
    let mut redirected = key(1, "own", "groq");
    redirected.base_url = Some("https://gateway.example".to_owned());
    let workspace = WorkspaceView { keys: vec![redirected, key(2, "next", "groq")], ..Default::default() };
    let pin = Need { slug: KeySlug::parse("own").ok(), ..Default::default() };
    let health = Health::default();
    let facts = Facts { catalog: &catalog, workspace: &workspace, platform: &[] };
    let pinned = decide(facts, &health, &pin, NOW);
    assert_eq!(pinned.outcome, Err(Refusal::Pinned(Verdict::UnknownProvider)));
    let open = Need { provider: ProviderId::parse("groq").ok(), ..Default::default() };
    let unpinned = decide(facts, &health, &open, NOW);
    assert_eq!(unpinned.outcome.unwrap().key.slug.as_str(), "next");
}
