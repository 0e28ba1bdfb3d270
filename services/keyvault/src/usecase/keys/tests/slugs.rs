//! What callers pin keys by.

use claviger_core::command::{PurgeKey, RevokeKey};
use claviger_core::ids::KeySlug;

use super::*;
use crate::usecase::keys::draft::slug_of;

both! {
    a_slug_is_one_of_its_owners_unrevoked_keys,
}

#[test]
fn a_made_slug_has_the_form_of_slugs() {
    for length in [1, 59, 60, 61, 62, 63] {
        let id = ProviderId::parse(&"p".repeat(length)).unwrap();
        for n in [1, 2, 9, 10, 99, 100, 1_001] {
            let slug = slug_of(&id, n);
            assert!(KeySlug::parse(&slug).is_ok(), "{slug}");
            assert_eq!(slug.ends_with(&format!("-{n}")), n > 1, "{slug}");
        }
    }
}

async fn a_slug_is_one_of_its_owners_unrevoked_keys(place: Place) {
    let vault = Vault::open(place, "").await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(vault.create(new("workspaces/acme", None)).await.key);
    }
    let slugs: Vec<_> = made.iter().map(|key| key.slug.as_str()).collect();
    assert_eq!(slugs, ["anthropic", "anthropic-2", "anthropic-3"]);
    for other in ["workspaces/acme/users/ann", "workspaces/acme/users/bob", "workspaces/other", "platform"] {
        assert_eq!(vault.create(new(other, None)).await.key.slug.as_str(), "anthropic", "{other}");
    }
    let taken = CreateKey { key: new("workspaces/acme", Some("anthropic-2")), validate_only: false };
    assert_eq!(vault.keys.create(taken, by("ann")).await.unwrap_err().reason, Reason::KeySlugTaken);
    let revoke = RevokeKey { name: made[1].name.clone(), reason: String::new() };
    done(vault.keys.revoke(revoke, by("ann")).await);
    assert_eq!(vault.create(new("workspaces/acme", None)).await.key.slug.as_str(), "anthropic-2", "free again");
    for key in &made {
        done(vault.keys.revoke(RevokeKey { name: key.name.clone(), reason: String::new() }, by("ann")).await);
        done(vault.keys.purge(PurgeKey { name: key.name.clone() }, by("ann")).await);
    }
    assert_eq!(vault.create(new("workspaces/acme", None)).await.key.slug.as_str(), "anthropic", "purged is revoked");
}
