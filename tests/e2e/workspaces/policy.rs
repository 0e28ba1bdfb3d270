//! Changing a policy.

use claviger_proto::keyvault_v1 as kv;
use claviger_proto::routing_v1::{ResolveKeyRequest, Source};
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::{Fleet, database, key, key_for, reason};
use futures::future::join_all;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let fleet = Fleet::start().await.unwrap();
    let made = fleet.make_workspace("acme", kv::Workspace { plan: "pro".into(), ..Default::default() }).await.unwrap();
    let wanted = kv::Workspace {
        plan: "ignored".into(),
        fallback_consent: kv::FallbackConsent::Never.into(),
        default_mode: kv::DefaultMode::Metered.into(),
        allowed_providers: vec!["claude".into(), "openai".into()],
        default_provider: "claude".into(),
        default_model: "claude-x".into(),
        ..Default::default()
    };
    let mask = ["fallback_consent", "default_mode", "allowed_providers", "default_provider", "default_model"];
    let changed = update(&fleet, change("acme", &mask, wanted)).await.unwrap();
    assert_eq!((changed.plan.as_str(), changed.default_provider.as_str()), ("pro", "anthropic"));
    assert_eq!(changed.fallback_consent(), kv::FallbackConsent::Never);
    assert_eq!(changed.default_mode(), kv::DefaultMode::Metered);
    assert_eq!(changed.allowed_providers, ["anthropic", "openai"]);
    assert_eq!((changed.create_time, &changed.creator), (made.create_time, &made.creator));
    assert_ne!(changed.etag, made.etag);
    assert_eq!(get(&fleet, "acme").await.unwrap(), changed);

    let all = kv::Workspace { allowed_providers: vec!["*".into()], ..Default::default() };
    let opened = update(&fleet, change("acme", &["allowed_providers", "plan"], all)).await.unwrap();
    assert_eq!((opened.allowed_providers.len(), opened.plan.as_str()), (0, ""));

    let details = history(&fleet, "workspaces/acme").await.into_iter().map(|(action, details)| {
        let details: serde_json::Value = serde_json::from_str(&details).unwrap();
        (action, details["fields"].as_str().unwrap_or_default().to_owned())
    });
    let fields = "default_mode,fallback_consent,allowed_providers,default_provider,default_model";
    let expected =
        [("workspace.created", ""), ("workspace.updated", fields), ("workspace.updated", "plan,allowed_providers")];
    assert_eq!(details.collect::<Vec<_>>(), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_changes_nothing_is_none() {
    let fleet = Fleet::start().await.unwrap();
    let made = fleet.make_workspace("acme", kv::Workspace::default()).await.unwrap();
    let same = update(&fleet, change("acme", &["plan", "read_only"], kv::Workspace::default())).await.unwrap();
    assert_eq!(same, made);
    assert_eq!(recorded(&fleet).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_refused_for_what_it_says() {
    let fleet = Fleet::start().await.unwrap();
    let policy = kv::Workspace {
        allowed_providers: vec!["anthropic".into(), "openai".into()],
        default_provider: "openai".into(),
        ..Default::default()
    };
    let made = fleet.make_workspace("acme", policy).await.unwrap();
    let none = kv::Workspace::default;
    let only = |name: &str| kv::Workspace { allowed_providers: vec![name.into()], ..none() };
    let provider = |name: &str| kv::Workspace { default_provider: name.into(), ..none() };
    for (mask, workspace) in [
        (vec![], none()),
        (vec!["*"], none()),
        (vec!["name"], none()),
        (vec!["plan", "etag"], none()),
        (vec!["allowed_providers"], none()), // empty could mean none or all
        (vec!["allowed_providers"], only("nobody")),
        (vec!["allowed_providers"], only("anthropic")), // leaves the default out
        (vec!["default_provider"], provider("elevenlabs")),
        (vec!["default_provider"], provider("nobody")),
        (vec!["plan"], kv::Workspace { plan: "a b".into(), ..none() }),
    ] {
        let refused = update(&fleet, change("acme", &mask, workspace.clone())).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD", "{mask:?} {workspace:?}");
    }
    let missing = update(&fleet, change("nobody", &["plan"], none())).await.unwrap_err();
    assert_eq!(reason(&missing), "WORKSPACE_NOT_FOUND");
    assert_eq!(get(&fleet, "acme").await.unwrap(), made);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_workspace_takes_no_change_but_of_plan_and_lock() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    let stored = fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap();
    set_read_only(&fleet, "acme", true).await;
    let open = kv::Workspace { fallback_consent: kv::FallbackConsent::Never.into(), ..Default::default() };
    for field in ["default_mode", "fallback_consent", "allowed_providers", "default_provider", "default_model"] {
        let providers = vec!["anthropic".to_owned()];
        let workspace = kv::Workspace { allowed_providers: providers, ..open.clone() };
        for mask in [vec![field], vec!["read_only", field]] {
            let refused = update(&fleet, change("acme", &mask, workspace.clone())).await.unwrap_err();
            assert_eq!(reason(&refused), "WORKSPACE_READ_ONLY", "{mask:?}");
        }
    }
    let refused = fleet.store(create_request("workspaces/acme", "anthropic", &key("good"))).await.unwrap_err();
    assert_eq!(reason(&refused), "WORKSPACE_READ_ONLY");
    let pro = kv::Workspace { plan: "pro".into(), ..Default::default() };
    assert_eq!(update(&fleet, change("acme", &["plan"], pro)).await.unwrap().plan, "pro");
    fleet.test(&stored.name).await.unwrap();
    let ask = ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/acme") };
    let resolved = fleet.resolve(ask).await.unwrap();
    assert_eq!((resolved.source(), resolved.credential.unwrap().secret), (Source::WorkspaceKey, secret)); // so does resolving
    fleet.revoke(&stored.name).await.unwrap(); // and revoking
    set_read_only(&fleet, "acme", false).await;
    update(&fleet, change("acme", &["fallback_consent"], open)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_change_what_they_read_one_wins() {
    let fleet = Fleet::start().await.unwrap();
    let etag = fleet.make_workspace("acme", kv::Workspace::default()).await.unwrap().etag;
    let rename = async |plan: String| {
        let workspace = kv::Workspace { plan: plan.clone(), etag: etag.clone(), ..Default::default() };
        update(&fleet, change("acme", &["plan"], workspace)).await.map(|_| plan)
    };
    let done = join_all((0..8).map(|n| rename(format!("plan-{n}")))).await;
    let winners: Vec<_> = done.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(winners.len(), 1);
    for refused in done.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(reason(refused), "ETAG_MISMATCH");
    }
    assert_eq!(&get(&fleet, "acme").await.unwrap().plan, winners[0]);
    assert_eq!(recorded(&fleet).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_that_are_not_allowed_bring_no_new_key() {
    let fleet = Fleet::start().await.unwrap();
    let policy = kv::Workspace { allowed_providers: vec!["anthropic".into()], ..Default::default() };
    fleet.make_workspace("acme", policy).await.unwrap();
    let refused = fleet.create("workspaces/acme", "openai", &key_for("sk-proj-", "good")).await.unwrap_err();
    assert_eq!(reason(&refused), "PROVIDER_NOT_ALLOWED");
    assert!(fleet.provider.received_requests().await.unwrap().is_empty());
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
}

/// Whoever can write to the database can not change a policy unnoticed; the way out is to end the workspace.
#[tokio::test(flavor = "multi_thread")]
async fn an_altered_record_rules_nothing_and_can_be_ended() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let etag = get(&fleet, "acme").await.unwrap().etag;
    database::alter(&fleet.database(), "UPDATE workspaces SET plan = 'pro' WHERE id = 'acme'").await.unwrap();
    let refused = [
        get(&fleet, "acme").await.unwrap_err(),
        update(&fleet, change("acme", &["plan"], kv::Workspace::default())).await.unwrap_err(),
        fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap_err(),
        set_route(&fleet, byok("acme", "a", "anthropic", "")).await.unwrap_err(),
        fleet.workspaces().delete_workspace(kv::DeleteWorkspaceRequest { etag, ..deletion("acme") }).await.unwrap_err(),
    ];
    assert_eq!(refused.each_ref().map(reason), ["WORKSPACE_ALTERED"; 5]);
    assert_eq!(delete(&fleet, "acme").await.unwrap().purged_key_count, 1);
    assert_eq!(reason(&get(&fleet, "acme").await.unwrap_err()), "WORKSPACE_NOT_FOUND");
    fleet.make_workspace("acme", kv::Workspace::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_no_longer_allowed_is_not_resolved_whoever_pays() {
    let fleet = Fleet::start().await.unwrap();
    for owner in ["workspaces/acme", "platform"] {
        let slug = owner.rsplit('/').next().unwrap();
        let mut request = create_request(owner, "anthropic", &key("good"));
        request.provider_key.as_mut().unwrap().key_slug = slug.into();
        fleet.store(request).await.unwrap();
    }
    let unpinned = ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/acme") };
    let pinned = ResolveKeyRequest { key_slug: "acme".into(), ..resolve_request("workspaces/acme") };
    for ask in [&unpinned, &pinned] {
        assert_eq!(fleet.resolve(ask.clone()).await.unwrap().source(), Source::WorkspaceKey);
    }
    let openai = kv::Workspace { allowed_providers: vec!["openai".into()], ..Default::default() };
    update(&fleet, change("acme", &["allowed_providers"], openai)).await.unwrap();
    assert_eq!(reason(&fleet.resolve(pinned).await.unwrap_err()), "PROVIDER_NOT_ALLOWED");
    assert_eq!(reason(&fleet.resolve(unpinned).await.unwrap_err()), "NO_ELIGIBLE_KEY");
}
