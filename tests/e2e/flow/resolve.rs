//! Which key a call gets.

use claviger_proto::keyvault_v1::{FallbackConsent, Workspace};
use claviger_proto::routing_v1::{Fallback, Resolution, ResolveKeyRequest, Source};
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::{Fleet, key, key_for, reason};

use super::edit;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_narrowed_by_whatever_it_names() {
    let fleet = Fleet::start().await.unwrap();
    let (claude, sound) = (key("good"), key_for("", "good"));
    fleet.create("workspaces/acme", "anthropic", &claude).await.unwrap();
    fleet.create("workspaces/acme", "elevenlabs", &sound).await.unwrap();
    for (name, ask, secret) in [
        ("slug", ResolveKeyRequest { key_slug: "elevenlabs".into(), ..resolve_request("workspaces/acme") }, &sound),
        ("model", ResolveKeyRequest { model: "claude-x".into(), ..resolve_request("workspaces/acme") }, &claude),
        ("alias", ResolveKeyRequest { provider: "claude".into(), ..resolve_request("workspaces/acme") }, &claude),
        ("llm", ResolveKeyRequest { category: "llm".into(), ..resolve_request("workspaces/acme") }, &claude),
        ("audio", ResolveKeyRequest { category: "audio".into(), ..resolve_request("workspaces/acme") }, &sound),
    ] {
        let resolution = fleet.resolve(ask).await.unwrap();
        assert_eq!(secret_of(&resolution), *secret, "{name}");
        assert_eq!((resolution.source(), resolution.fallback()), (Source::WorkspaceKey, Fallback::Unspecified));
    }
    let refused = fleet.resolve(resolve_request("workspaces/acme")).await.unwrap_err();
    assert_eq!(reason(&refused), "NEED_UNSPECIFIED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_names_nothing_gets_the_workspace_s_default() {
    let fleet = Fleet::start().await.unwrap();
    let by_provider = Workspace { default_provider: "openai".into(), ..Default::default() };
    let by_model = Workspace { default_model: "gpt-next".into(), ..Default::default() };
    for (id, policy, model) in [("one", by_provider, "gpt-5.5"), ("two", by_model, "gpt-next")] {
        let (name, secret) = (format!("workspaces/{id}"), key_for("sk-proj-", "good"));
        fleet.make_workspace(id, policy).await.unwrap();
        fleet.create(&name, "anthropic", &key("good")).await.unwrap();
        fleet.create(&name, "openai", &secret).await.unwrap();
        let resolution = fleet.resolve(resolve_request(&name)).await.unwrap();
        assert_eq!((secret_of(&resolution), resolution.model.as_str()), (secret, model));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_to_the_next_key_until_none_is_left() {
    let fleet = Fleet::start().await.unwrap();
    let secrets = [key("good"), key("good"), key("good")];
    for secret in &secrets {
        fleet.create("workspaces/acme", "anthropic", secret).await.unwrap();
    }
    let mut ask = ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/acme") };
    for (tried, secret) in secrets.iter().enumerate().take(2) {
        let resolution = fleet.resolve(ask.clone()).await.unwrap();
        assert_eq!(secret_of(&resolution), *secret);
        assert_eq!(resolution.remaining_candidates, 2 - i32::try_from(tried).unwrap());
        ask.exclude_key_ids.push(resolution.key.unwrap().uid);
    }
    let last = fleet.resolve(ask.clone()).await.unwrap();
    assert_eq!((secret_of(&last), last.remaining_candidates), (secrets[2].clone(), 0));
    ask.exclude_key_ids.push(last.key.unwrap().uid);
    assert_eq!(reason(&fleet.resolve(ask).await.unwrap_err()), "NO_ELIGIBLE_KEY");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_gives_way_to_the_next() {
    let fleet = Fleet::start().await.unwrap();
    let secrets = [key("good"), key("good")];
    let mut names = Vec::new();
    for secret in &secrets {
        names.push(fleet.create("workspaces/acme", "anthropic", secret).await.unwrap().name);
    }
    let ask = ResolveKeyRequest { model: "claude-x".into(), ..resolve_request("workspaces/acme") };
    for (secret, name) in secrets.iter().zip(names) {
        assert_eq!(secret_of(&fleet.resolve(ask.clone()).await.unwrap()), *secret);
        fleet.revoke(&name).await.unwrap();
    }
    assert_eq!(reason(&fleet.resolve(ask).await.unwrap_err()), "NO_ELIGIBLE_KEY");
    let pinned = ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request("workspaces/acme") };
    assert_eq!(reason(&fleet.resolve(pinned).await.unwrap_err()), "KEY_REVOKED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_pays_by_consent_and_the_answer_says_so() {
    let fleet = Fleet::start().await.unwrap();
    let platform = key("good");
    fleet.create("platform", "anthropic", &platform).await.unwrap();
    let ask = |workspace: &str| ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request(workspace) };

    let no_own = fleet.resolve(ask("workspaces/unheard-of")).await.unwrap();
    assert_eq!((no_own.source(), no_own.fallback()), (Source::PlatformKey, Fallback::NoOwnKey));
    assert_eq!(secret_of(&no_own), platform);

    let own = fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let mut retry = ask("workspaces/acme");
    retry.exclude_key_ids = vec![own.uid.clone()];
    let struck_out = fleet.resolve(retry.clone()).await.unwrap();
    assert_eq!((struck_out.source(), struck_out.fallback()), (Source::PlatformKey, Fallback::OwnKeysStruckOut));

    // the request tightens: an own key that cannot be used now is a key all the same
    for (mut tight, consent) in [
        (ask("workspaces/unheard-of"), FallbackConsent::Never),
        (retry.clone(), FallbackConsent::Never),
        (retry, FallbackConsent::NoKey),
    ] {
        tight.fallback_consent = consent.into();
        assert_eq!(reason(&fleet.resolve(tight).await.unwrap_err()), "NO_ELIGIBLE_KEY", "{consent:?}");
    }
    fleet.revoke(&own.name).await.unwrap();
    let mut after = ask("workspaces/acme");
    after.fallback_consent = FallbackConsent::NoKey.into();
    let resolution = fleet.resolve(after).await.unwrap();
    assert_eq!((resolution.source(), resolution.fallback()), (Source::PlatformKey, Fallback::NoOwnKey));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_cannot_loosen_the_workspace_s_consent() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("platform", "anthropic", &key("good")).await.unwrap();
    let never = Workspace { fallback_consent: FallbackConsent::Never.into(), ..Default::default() };
    fleet.make_workspace("strict", never).await.unwrap();
    for consent in [FallbackConsent::Unspecified, FallbackConsent::NoKey, FallbackConsent::Any] {
        let mut ask = ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/strict") };
        ask.fallback_consent = consent.into();
        assert_eq!(reason(&fleet.resolve(ask).await.unwrap_err()), "NO_ELIGIBLE_KEY", "{consent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_is_exact() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("platform", "anthropic", &key("good")).await.unwrap();
    let mut request = create_request("workspaces/acme", "anthropic", &key("good"));
    edit(&mut request).allowed_models = vec!["claude-small".into()];
    edit(&mut request).key_slug = "mine".into();
    fleet.store(request).await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let pin = |slug: &str| ResolveKeyRequest { key_slug: slug.into(), ..resolve_request("workspaces/acme") };
    for (ask, refusal) in [
        (pin("other"), "KEY_NOT_FOUND"),
        (ResolveKeyRequest { provider: "openai".into(), ..pin("mine") }, "PROVIDER_MISMATCH"),
        (ResolveKeyRequest { category: "audio".into(), ..pin("mine") }, "PROVIDER_MISMATCH"),
        (ResolveKeyRequest { model: "claude-large".into(), ..pin("mine") }, "MODEL_NOT_ALLOWED"),
    ] {
        assert_eq!(reason(&fleet.resolve(ask).await.unwrap_err()), refusal);
    }
    let allowed = fleet.resolve(ResolveKeyRequest { model: "claude-small".into(), ..pin("mine") }).await.unwrap();
    assert_eq!(allowed.key.unwrap().key_slug, "mine");
}

fn secret_of(resolution: &Resolution) -> String {
    resolution.credential.as_ref().unwrap().secret.clone()
}
