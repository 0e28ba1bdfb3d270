//! Well-formed messages with hostile fields.

use claviger_proto::keyvault_v1::{
    CreateProviderKeyRequest, CreateWorkspaceRequest, ListProviderKeysRequest, ProviderKey, RevokeProviderKeyRequest,
    Workspace, secret,
};
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::{Fleet, key, key_for};

use super::{assert_no_trace, assert_refused};
use crate::flow::{edit, service_account, with_secret};

const MALFORMED: &str = "MALFORMED_PROVIDER_KEY";
const FIELD: &str = "INVALID_FIELD";

type Change = Box<dyn Fn(&mut ProviderKey)>;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_secrets_are_refused() {
    let fleet = Fleet::start().await.unwrap();
    let good = key_for("sk-ant-api03-", "canary");
    let mut longest = good.clone();
    longest.push_str(&"x".repeat(16 * 1024 - good.len()));
    for (name, text) in [
        ("empty", String::new()),
        ("too long by one", format!("{longest}x")),
        ("CR LF", format!("{good}\r\n")),
        ("LF", format!("{good}\n")),
        ("header splitting", format!("{good}\r\nx-api-key: other")),
        ("NUL", format!("{good}\0")),
        ("DEL", format!("{good}\u{7f}")),
        ("space before", format!(" {good}")),
        ("space after", format!("{good} ")),
        ("tab", format!("{good}\t")),
        ("no-break space", format!("{good}\u{a0}")),
        ("zero-width space", format!("{good}\u{200b}")),
        ("Latin-1", format!("{good}\u{e9}")),
        ("homoglyph", good.replacen('s', "\u{455}", 1)),
        ("typographic dash", good.replacen('-', "\u{2011}", 1)),
        ("quoted", format!("\"{good}\"")),
    ] {
        let refused = fleet.create("workspaces/acme", "anthropic", &text).await.unwrap_err();
        assert_refused(name, &refused, MALFORMED);
    }
    let (file, _) = service_account("canary0123456789");
    for (name, json) in [
        ("not JSON", file.replace('}', "canary")),
        ("too long", file.replace('}', &format!(", \"note\": \"{}\"}}", "x".repeat(64 * 1024)))),
        ("another type", file.replace("service_account", "authorized_user")),
        ("a token address of its own", file.replace("oauth2.googleapis.com", "canary.example")),
        ("a project that is a path", file.replace("acme-ai\"", "canary/../x\"")),
    ] {
        let request = with_secret("workspaces/acme", "vertex", secret::Kind::ServiceAccountJson(json));
        assert_refused(name, &fleet.store(request).await.unwrap_err(), MALFORMED);
    }
    assert_eq!(fleet.provider.received_requests().await.unwrap().len(), 0);
    assert_no_trace(&fleet).await;

    fleet.create("workspaces/acme", "anthropic", &longest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_fields_of_a_key_are_refused() {
    let fleet = Fleet::start().await.unwrap();
    let cases: Vec<(&str, Change)> = vec![
        ("upper-case slug", Box::new(|k| k.key_slug = "Canary".into())),
        ("homoglyph slug", Box::new(|k| k.key_slug = "\u{441}anary-canary".into())),
        ("slug with a path", Box::new(|k| k.key_slug = "../canary".into())),
        ("long slug", Box::new(|k| k.key_slug = "canary".repeat(11))),
        ("dash first", Box::new(|k| k.key_slug = "-canary".into())),
        ("upper-case provider", Box::new(|k| k.provider = "Canary".into())),
        ("unknown provider", Box::new(|k| k.provider = "canary".into())),
        ("no provider", Box::new(|k| k.provider = String::new())),
        ("label with a line end", Box::new(|k| k.label = "canary\nx".into())),
        ("label with an escape", Box::new(|k| k.label = "\u{1b}[31mcanary".into())),
        ("label that turns round", Box::new(|k| k.label = "canary\u{202e}x".into())),
        ("label with an isolate", Box::new(|k| k.label = "canary\u{2066}x".into())),
        ("invisible label", Box::new(|k| k.label = "canary\u{200b}".into())),
        ("long label", Box::new(|k| k.label = "canary".repeat(22))),
        ("negative priority", Box::new(|k| k.rotation_priority = -1)),
        ("least priority", Box::new(|k| k.rotation_priority = i32::MIN)),
        ("huge priority", Box::new(|k| k.rotation_priority = 1_000_001)),
        ("model with a space", Box::new(|k| k.allowed_models = vec!["canary x".into()])),
        ("too many models", Box::new(|k| k.allowed_models = vec!["canary".into(); 101])),
        ("location of none", Box::new(|k| k.location = "canary".into())),
        (
            "location that is a host",
            Box::new(|k| {
                k.provider = "bedrock".into();
                k.location = "canary.example/#".into();
            }),
        ),
    ];
    for (name, change) in cases {
        let refused = fleet.store(with(&change)).await.unwrap_err();
        assert_refused(name, &refused, FIELD);
    }
    let rentable = with(&|k| (k.rentable, k.label) = (true, "canary".into()));
    assert_refused("rentable", &fleet.store(rentable).await.unwrap_err(), "RENTABILITY_NOT_AVAILABLE");
    assert_no_trace(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_times_are_refused() {
    let fleet = Fleet::start().await.unwrap();
    let some = fleet.create("platform", "anthropic", &key("good")).await.unwrap().create_time.unwrap();
    for (seconds, nanos) in [
        (-1, 0),
        (i64::MIN, 0),
        (i64::MAX, 0),
        (253_402_300_800, 0), // the year 10000
        (some.seconds + 60, -1),
        (some.seconds + 60, 1_000_000_000),
        (some.seconds + 60, i32::MIN),
        (some.seconds - 1, 0), // past
        (0, 0),
    ] {
        let mut time = some;
        (time.seconds, time.nanos) = (seconds, nanos);
        let request = with(&|k| (k.expire_time, k.label) = (Some(time), "canary".into()));
        assert_refused(&format!("{seconds} s {nanos} ns"), &fleet.store(request).await.unwrap_err(), FIELD);
    }
    assert_eq!(fleet.keys("workspaces/acme", true).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_around_a_key_are_refused() {
    let fleet = Fleet::start().await.unwrap();
    for parent in [
        "",
        "acme-canary",
        "workspaces/",
        "workspaces/Canary",
        "workspaces/\u{441}anary-canary",
        "workspaces/canary/",
        "workspaces/../canary",
        "workspaces/canary%2f",
        "workspaces/canary\0",
        " workspaces/canary",
        "Platform-canary",
        "platform/users/canary",
        "workspaces/canary/users/",
        "workspaces/a/users/canary/users/b",
        "workspaces/a/users/canary x",
        "workspaces/a/users/canary\u{202e}",
        "workspaces/-canary",
    ] {
        let refused = fleet.create(parent, "anthropic", &key("canary")).await.unwrap_err();
        assert_refused(parent, &refused, FIELD);
        assert_refused(parent, &fleet.keys(parent, false).await.unwrap_err(), FIELD);
    }
    for number in [4, 99, -1, i32::MAX] {
        let request = CreateProviderKeyRequest { verification: number, ..with(&|k| k.label = "canary".into()) };
        assert_refused("verification", &fleet.store(request).await.unwrap_err(), FIELD);
    }
    for (name, kind) in [
        ("url_only false", secret::Kind::UrlOnly(false)),
        ("url_only where a key is needed", secret::Kind::UrlOnly(true)),
        ("a service account where a key is needed", secret::Kind::ServiceAccountJson("canary".into())),
    ] {
        let request = with_secret("workspaces/acme", "anthropic", kind);
        assert_refused(name, &fleet.store(request).await.unwrap_err(), FIELD);
    }
    for request in [
        CreateProviderKeyRequest { secret: None, ..with(&|_| ()) },
        CreateProviderKeyRequest { provider_key: None, ..with(&|_| ()) },
    ] {
        assert_refused("left out", &fleet.store(request).await.unwrap_err(), FIELD);
    }
    assert_no_trace(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_lists_revokes_and_workspaces_are_refused() {
    let fleet = Fleet::start().await.unwrap();
    for (page_size, page_token) in [(-1, ""), (i32::MIN, ""), (1, "canary"), (1, "////"), (1, "\u{202e}canary")] {
        let list = ListProviderKeysRequest {
            parent: "workspaces/canary".into(),
            page_size,
            page_token: page_token.into(),
            ..Default::default()
        };
        let refused = fleet.key_vault().list_provider_keys(list).await.unwrap_err();
        assert_refused(&format!("{page_size} {page_token:?}"), &refused, FIELD);
    }
    let name = format!("workspaces/acme/keys/{}", uuid::Uuid::now_v7());
    for (name, reason) in [
        (name.clone(), "canary\r\n".to_owned()),
        (name.clone(), "canary".repeat(43)),
        (name.to_uppercase(), String::new()),
        ("workspaces/acme/keys/canary".to_owned(), String::new()),
    ] {
        let revoke = RevokeProviderKeyRequest { name: name.clone(), reason, ..Default::default() };
        let refused = fleet.key_vault().revoke_provider_key(revoke).await.unwrap_err();
        assert_refused(&name, &refused, FIELD);
    }
    for (id, consent, provider) in [
        ("Canary", 0, ""),
        ("a/canary", 0, ""),
        ("", 0, ""),
        ("canary", 4, ""),
        ("canary", -1, ""),
        ("canary", 0, "Canary"),
    ] {
        let policy =
            Workspace { fallback_consent: consent, default_provider: provider.to_owned(), ..Default::default() };
        let request =
            CreateWorkspaceRequest { workspace_id: id.to_owned(), workspace: Some(policy), ..Default::default() };
        let refused = fleet.workspaces().create_workspace(request).await.unwrap_err();
        assert_refused(id, &refused, FIELD);
    }
    assert_no_trace(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_resolves_are_refused() {
    let fleet = Fleet::start().await.unwrap();
    let ask = || ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/acme") };
    let uid = uuid::Uuid::now_v7().to_string();
    for (name, ask) in [
        ("workspace", ResolveKeyRequest { workspace: "canary".into(), ..ask() }),
        ("upper-case workspace", ResolveKeyRequest { workspace: "workspaces/Canary".into(), ..ask() }),
        ("platform", ResolveKeyRequest { workspace: "platform".into(), ..ask() }),
        ("user", ResolveKeyRequest { user: "canary\n".into(), ..ask() }),
        ("agent", ResolveKeyRequest { agent: "canary/x".into(), ..ask() }),
        ("session", ResolveKeyRequest { session: "canary".repeat(22), ..ask() }),
        ("slug", ResolveKeyRequest { key_slug: "Canary".into(), ..ask() }),
        ("provider", ResolveKeyRequest { provider: "canary".into(), ..ask() }),
        ("category", ResolveKeyRequest { category: "canary".into(), ..ask() }),
        ("model", ResolveKeyRequest { model: "canary x".into(), ..ask() }),
        ("excluded", ResolveKeyRequest { exclude_key_ids: vec!["canary".into()], ..ask() }),
        ("too many excluded", ResolveKeyRequest { exclude_key_ids: vec![uid; 1_501], ..ask() }),
        ("consent", ResolveKeyRequest { fallback_consent: 99, ..ask() }),
        ("negative consent", ResolveKeyRequest { fallback_consent: -1, ..ask() }),
        ("token", ResolveKeyRequest { consistency_token: "canary.1".into(), ..ask() }),
    ] {
        assert_refused(name, &fleet.resolve(ask.clone()).await.unwrap_err(), FIELD);
        let explained = fleet.routing().explain_route(ask).await.unwrap_err();
        assert_refused(name, &explained, FIELD);
    }
    assert_no_trace(&fleet).await;
}

/// A good request with one change.
fn with(change: &dyn Fn(&mut ProviderKey)) -> CreateProviderKeyRequest {
    let mut request = create_request("workspaces/acme", "anthropic", &key("good"));
    change(edit(&mut request));
    request
}
