//! What tests of the use-cases share.
#![expect(clippy::unwrap_used, reason = "tests")]

use claviger_core::catalog::AuthType;
use claviger_core::ids::{KeyId, KeyName, KeySlug, Owner, ProviderId};
use claviger_core::key::{KeyState, Mask, ProviderKey};
use uuid::Uuid;

use crate::usecase::now;

/// A key of a workspace, as it is right after it was stored.
pub(in crate::usecase) fn sample_key() -> ProviderKey {
    ProviderKey {
        name: KeyName { owner: Owner::parse("workspaces/acme").unwrap(), id: KeyId::new(Uuid::now_v7()) },
        provider: ProviderId::parse("anthropic").unwrap(),
        auth_type: AuthType::ApiKey,
        slug: KeySlug::parse("anthropic").unwrap(),
        label: String::new(),
        mask: Mask::none(),
        priority: 3,
        base_url: None,
        location: None,
        allowed_models: Vec::new(),
        state: KeyState::Active,
        secret_version: 1,
        last_test: None,
        create_time: now(),
        creator: "test".into(),
        update_time: now(),
        expire_time: None,
        revocation: None,
    }
}
