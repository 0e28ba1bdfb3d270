//! A real HTTP server in the providers' place. What it answers depends on the key, as a real provider's does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// A key for Anthropic whose middle says how the provider answers: `good`, `bad`, `narrow`, `limited`, `broken`,
/// `pause` (good after three seconds), `slow` (after twenty), `redirect`. Each call makes another key.
#[must_use]
pub fn key(kind: &str) -> String {
    key_for("sk-ant-api03-", kind)
}

/// The same with another prefix.
#[must_use]
pub fn key_for(prefix: &str, kind: &str) -> String {
    format!("{prefix}{kind}-{}{}", uuid::Uuid::now_v7().simple(), uuid::Uuid::now_v7().simple())
}

/// Google's answer for an account's key that it does not know any more, from now on.
pub async fn refuse_accounts(server: &MockServer) {
    let body = json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."});
    Mock::given(path("/token"))
        .respond_with(ResponseTemplate::new(400).set_body_json(body))
        .with_priority(1)
        .mount(server)
        .await;
}

/// How many access tokens were asked for.
pub async fn exchanges(server: &MockServer) -> usize {
    let all = server.received_requests().await.unwrap_or_default();
    all.iter().filter(|request| request.url.path() == "/token").count()
}

/// Starts the server.
pub async fn start() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(Provider { address: server.uri() }).mount(&server).await;
    server
}

/// While it lives, the provider rejects one key. (A scoped mock would not do: `MockGuard` takes away another mock than its
/// own once mocks of several priorities were sorted.)
#[derive(Debug)]
pub struct Refusing(Arc<AtomicBool>);

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// The provider changes its mind about one key.
pub async fn refuse(server: &MockServer, secret: &str) -> Refusing {
    let (secret, on) = (secret.to_owned(), Arc::new(AtomicBool::new(true)));
    let body = json!({"type": "error", "error": {"type": "authentication_error", "code": "invalid_api_key"}});
    let still = on.clone();
    Mock::given(move |request: &Request| still.load(Ordering::SeqCst) && credential(request).contains(&secret))
        .respond_with(ResponseTemplate::new(401).set_body_json(body))
        .with_priority(1)
        .mount(server)
        .await;
    Refusing(on)
}

/// The requests that carried a key, in whatever header.
pub async fn requests_with(server: &MockServer, secret: &str) -> Vec<Request> {
    let all = server.received_requests().await.unwrap_or_default();
    all.into_iter().filter(|request| credential(request).contains(secret)).collect()
}

struct Provider {
    address: String,
}

impl Respond for Provider {
    /// Error bodies echo the key, as some providers' do.
    fn respond(&self, request: &Request) -> ResponseTemplate {
        if request.url.path() == "/token" {
            let grant = json!({"access_token": token(), "token_type": "Bearer", "expires_in": 3600});
            return ResponseTemplate::new(200).set_body_json(grant);
        }
        let key = credential(request);
        let error = |status: u16, kind: &str, code: &str, message: &str| {
            let message = format!("{message}: {key}");
            let body = json!({"type": "error", "error": {"type": kind, "code": code, "message": message}});
            ResponseTemplate::new(status).set_body_json(body)
        };
        let kinds = ["bad", "narrow", "limited", "broken", "pause", "slow", "redirect"];
        // with the hyphen: the hexadecimal digits behind it spell "bad" now and then
        match kinds.into_iter().find(|kind| key.contains(&format!("{kind}-"))) {
            Some("bad") => error(401, "authentication_error", "invalid_api_key", "invalid x-api-key"),
            Some("narrow") => error(403, "permission_error", "", "Missing scopes: api.model.read"),
            Some("limited") => error(429, "rate_limit_error", "rate_limit_exceeded", "slow down"),
            Some("broken") => error(500, "api_error", "", "oops"),
            Some("pause") => ResponseTemplate::new(200).set_delay(Duration::from_secs(3)),
            Some("slow") => ResponseTemplate::new(200).set_delay(Duration::from_secs(20)),
            Some("redirect") => {
                ResponseTemplate::new(302).insert_header("location", format!("{}/elsewhere", self.address))
            }
            _ => ResponseTemplate::new(200).set_body_json(json!({"data": [], "object": "list"})),
        }
    }
}

/// A short-lived access token as Google's look. Each call makes another.
fn token() -> String {
    format!("ya29.{}{}", uuid::Uuid::now_v7().simple(), uuid::Uuid::now_v7().simple())
}

/// Whatever header carries the key; empty for a request without one.
fn credential(request: &Request) -> String {
    let headers = ["x-api-key", "authorization", "xi-api-key", "api-key", "x-goog-api-key"];
    let values = headers.into_iter().filter_map(|name| request.headers.get(name)?.to_str().ok());
    values.collect::<Vec<_>>().join(" ")
}
