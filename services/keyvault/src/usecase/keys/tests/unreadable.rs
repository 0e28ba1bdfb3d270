//! A replica whose key file lacks what the database is sealed under.

use claviger_core::command::ReplaceSecret;

use super::*;

both! {
    a_workspace_key_that_does_not_open_is_not_a_defect,
}

async fn a_workspace_key_that_does_not_open_is_not_a_defect(place: Place) {
    let vault = Vault::open(place, "").await;
    let stored = vault.create(new("workspaces/acme", Some("one"))).await;
    vault.keys.custody.take(Arc::new(Keyring::generate("2026-11-21T00:00:01Z").unwrap()));

    let create = CreateKey { key: new("workspaces/acme", Some("two")), validate_only: false };
    let refused = vault.keys.create(create, by("ann")).await.unwrap_err();
    assert_eq!(refused.reason, Reason::KeyUnreadable);
    let create = CreateKey { key: new("workspaces/acme", Some("one")), validate_only: false };
    let refused = vault.keys.create(create, by("ann")).await.unwrap_err();
    assert_eq!(refused.reason, Reason::KeySlugTaken, "what the caller can change is told first");
    vault.create(without_secret("workspaces/acme")).await; // needs none
    let replace = ReplaceSecret {
        name: stored.key.name,
        secret: secret(),
        base_url: None,
        location: None,
        verification: Verification::Skip,
        etag: None,
    };
    assert_eq!(vault.keys.replace(replace, by("ann")).await.unwrap_err().reason, Reason::KeyUnreadable);
    vault.create(new("workspaces/other", None)).await;
}
