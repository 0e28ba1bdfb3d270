//! Whose keys a call may use.

use claviger_proto::keyvault_v1::{GetProviderKeyRequest, GetWorkspaceRequest, Workspace};
use claviger_proto::routing_v1::{ResolveKeyRequest, Source};
use claviger_tests::fleet::{Options, create_request, environment, resolve_request};
use claviger_tests::{Fleet, key, reason};

use super::edit;

const ANN: &str = "workspaces/acme/users/ann@example.org";

#[tokio::test(flavor = "multi_thread")]
async fn a_personal_key_comes_first_for_its_owner_and_for_nobody_else() {
    let fleet = Fleet::start().await.unwrap();
    let (personal, shared) = (key("good"), key("good"));
    fleet.create("workspaces/acme", "anthropic", &shared).await.unwrap();
    let mut request = create_request(ANN, "anthropic", &personal);
    edit(&mut request).rotation_priority = 9; // whose it is weighs more
    edit(&mut request).key_slug = "ann-s-own".into();
    fleet.store(request).await.unwrap();

    for (user, source, secret) in [
        ("ann@example.org", Source::PersonalKey, &personal),
        ("bob@example.org", Source::WorkspaceKey, &shared),
        ("", Source::WorkspaceKey, &shared),
    ] {
        let ask =
            ResolveKeyRequest { user: user.into(), provider: "anthropic".into(), ..resolve_request("workspaces/acme") };
        let resolution = fleet.resolve(ask.clone()).await.unwrap();
        assert_eq!(resolution.source(), source, "{user}");
        assert_eq!(resolution.credential.unwrap().secret, *secret, "{user}");
        let explained = fleet.routing().explain_route(ask).await.unwrap().into_inner();
        let slugs: Vec<_> = explained.candidates.into_iter().map(|c| c.key.unwrap().key_slug).collect();
        assert_eq!(slugs.contains(&"ann-s-own".to_owned()), source == Source::PersonalKey, "{user}: {slugs:?}");
    }
    for user in ["bob@example.org", ""] {
        let pin =
            ResolveKeyRequest { user: user.into(), key_slug: "ann-s-own".into(), ..resolve_request("workspaces/acme") };
        assert_eq!(reason(&fleet.resolve(pin).await.unwrap_err()), "KEY_NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_s_keys_are_under_that_owner_alone() {
    let fleet = Fleet::start().await.unwrap();
    let personal = fleet.create(ANN, "anthropic", &key("good")).await.unwrap();
    for other in ["workspaces/acme", "workspaces/acme/users/bob@example.org", "workspaces/other", "platform"] {
        assert_eq!(fleet.keys(other, true).await.unwrap(), [], "{other}");
        let name = format!("{other}/keys/{}", personal.uid);
        let get = GetProviderKeyRequest { name: name.clone() };
        assert_eq!(reason(&fleet.key_vault().get_provider_key(get).await.unwrap_err()), "KEY_NOT_FOUND");
        assert_eq!(reason(&fleet.test(&name).await.unwrap_err()), "KEY_NOT_FOUND");
        assert_eq!(reason(&fleet.revoke(&name).await.unwrap_err()), "KEY_NOT_FOUND");
    }
    let other_tenant = ResolveKeyRequest {
        user: "ann@example.org".into(),
        provider: "anthropic".into(),
        ..resolve_request("workspaces/other")
    };
    assert_eq!(reason(&fleet.resolve(other_tenant).await.unwrap_err()), "NO_ELIGIBLE_KEY");
    assert_eq!(fleet.keys(ANN, false).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_makes_the_workspace() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let get = GetWorkspaceRequest { name: "workspaces/acme".into() };
    let workspace = fleet.workspaces().get_workspace(get).await.unwrap().into_inner();
    assert_eq!(workspace.name, "workspaces/acme");
    let again = fleet.make_workspace("acme", Workspace::default()).await.unwrap_err();
    assert_eq!(reason(&again), "WORKSPACE_EXISTS");
}

#[tokio::test(flavor = "multi_thread")]
async fn explicit_workspaces_must_be_made_first() {
    let explicit = environment(&[("CLAVIGER_EXPLICIT_WORKSPACES", "1")]);
    let fleet =
        Fleet::start_with(Options { vault: explicit.clone(), routing: explicit, ..Default::default() }).await.unwrap();
    let ask = ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/acme") };
    for parent in ["workspaces/acme", "workspaces/acme/users/ann"] {
        let secret = key("good");
        let refused = fleet.create(parent, "anthropic", &secret).await.unwrap_err();
        assert_eq!(reason(&refused), "WORKSPACE_NOT_FOUND");
        let asked = claviger_tests::provider::requests_with(&fleet.provider, &secret).await;
        assert!(asked.is_empty(), "a key for nobody is not tested");
    }
    assert_eq!(reason(&fleet.resolve(ask.clone()).await.unwrap_err()), "WORKSPACE_NOT_FOUND");

    fleet.make_workspace("acme", Workspace::default()).await.unwrap();
    let secret = key("good");
    fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap();
    assert_eq!(fleet.resolve(ask).await.unwrap().credential.unwrap().secret, secret);
    fleet.create("platform", "anthropic", &key("good")).await.unwrap(); // no workspace at all
}
