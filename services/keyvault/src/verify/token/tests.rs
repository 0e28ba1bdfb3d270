#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration as StdDuration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use claviger_core::key::TestResult;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::verify::tests::{account, exchange_at, verifier};

/// A token server and the tokens of a few keys.
struct World {
    server: MockServer,
    tokens: Tokens,
    vertex: ProviderId,
    account: SecretString,
}

impl World {
    async fn new(most: usize) -> Self {
        let server = MockServer::start().await;
        let tokens = Tokens::with_room(verifier(&exchange_at(&server.uri())), most);
        Self { server, tokens, vertex: ProviderId::parse("vertex").unwrap(), account: account() }
    }

    /// From now on the server grants this token, another one than before; requests are counted anew.
    async fn grants(&self, life: u64, delay: u64) {
        let token = format!("ya29.{}", Uuid::now_v7());
        let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": life});
        self.answers(200, body, delay).await;
    }

    async fn answers(&self, status: u16, body: Value, delay: u64) {
        let answer = ResponseTemplate::new(status).set_body_json(body).set_delay(StdDuration::from_millis(delay));
        self.server.reset().await;
        Mock::given(any()).respond_with(answer).mount(&self.server).await;
    }

    async fn token_of(&self, key: KeyId, version: u32, at: OffsetDateTime) -> Result<AccessToken, MintError> {
        let wanted = TokenFor { key, secret_version: version, provider: &self.vertex, account: &self.account };
        self.tokens.token(wanted, at).await
    }

    async fn text(&self, key: KeyId, at: OffsetDateTime) -> String {
        self.token_of(key, 1, at).await.unwrap().secret.expose_secret().to_owned()
    }

    /// Since the server was last told what to answer.
    async fn requests(&self) -> Vec<Request> {
        self.server.received_requests().await.unwrap()
    }

    /// Waits until no exchange is under way.
    async fn landed(&self) {
        let flights: Vec<_> = self.tokens.slots().values().filter_map(|slot| slot.flight.clone()).collect();
        for mut flight in flights {
            flight.wait_for(Option::is_some).await.unwrap();
        }
    }
}

fn key() -> KeyId {
    KeyId::new(Uuid::now_v7())
}

/// A minute of a day that no clock has to be asked for.
fn at(minute: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap() + Duration::minutes(minute)
}

#[tokio::test]
async fn the_assertion_is_signed_and_for_google_alone() {
    let world = World::new(MOST).await;
    world.grants(3600, 0).await;
    let token = world.token_of(key(), 1, at(0)).await.unwrap();
    assert_eq!(token.expire_time, at(60));
    let requests = world.requests().await;
    let [request] = requests.as_slice() else { unreachable!() };
    assert_eq!((request.method.as_str(), request.url.path()), ("POST", "/token"));
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    assert!(!request.headers.contains_key("authorization"));
    let form: Vec<_> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let [(grant_name, grant), (assertion_name, jwt)] = form.as_slice() else { unreachable!("{form:?}") };
    assert_eq!((grant_name.as_str(), assertion_name.as_str()), ("grant_type", "assertion"));
    assert_eq!(grant, "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let parts: Vec<Value> =
        signed.split('.').map(|p| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(p).unwrap()).unwrap()).collect();
    let issued = at(0).unix_timestamp() - 10;
    let claims = json!({
        "iss": "bot@acme-1.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": issued,
        "exp": issued + 3600,
    });
    assert_eq!(parts, [json!({"alg": "RS256", "typ": "JWT", "kid": "0123456789abcdef"}), claims]);
    let der = STANDARD.decode(include_str!("test_key.b64").replace('\n', "")).unwrap();
    let pair = RsaKeyPair::from_pkcs8(&der).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public());
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
}

#[tokio::test]
async fn many_callers_make_one_exchange() {
    let world = World::new(MOST).await;
    world.grants(3600, 100).await;
    let key = key();
    let texts = futures::future::join_all((0..50).map(|_| world.text(key, at(0)))).await;
    assert!(texts.iter().all(|text| *text == texts[0] && text.starts_with("ya29.")));
    assert_eq!(world.text(key, at(29)).await, texts[0]);
    assert_eq!(world.requests().await.len(), 1);
    let shown = format!("{:?}", world.tokens);
    assert!(!shown.contains(&texts[0]) && !shown.contains("PRIVATE"), "{shown}");
}

#[tokio::test]
async fn keys_and_their_secrets_are_kept_apart() {
    let world = World::new(MOST).await;
    world.grants(3600, 0).await;
    let (one, other) = (key(), key());
    for (key, version) in [(one, 1), (one, 2), (other, 1), (one, 1), (one, 2), (other, 1)] {
        world.token_of(key, version, at(0)).await.unwrap();
    }
    assert_eq!(world.requests().await.len(), 3);
}

#[tokio::test]
async fn a_token_in_use_is_renewed_aside() {
    let world = World::new(MOST).await;
    world.grants(3600, 0).await;
    let key = key();
    let first = world.text(key, at(0)).await;
    world.grants(3600, 0).await;
    for _ in 0..5 {
        assert_eq!(world.text(key, at(31)).await, first, "at once");
    }
    world.landed().await;
    let second = world.text(key, at(31)).await;
    assert_ne!(second, first);
    assert_eq!(world.requests().await.len(), 1);
    world.answers(503, json!({}), 0).await;
    assert_eq!(world.text(key, at(31 + 45)).await, second, "the next is due");
    world.landed().await;
    assert_eq!(world.text(key, at(31 + 45)).await, second, "and could not be had, which is remembered");
    assert_eq!(world.requests().await.len(), 1);
}

#[tokio::test]
async fn a_token_is_not_handed_out_in_its_last_ten_minutes() {
    let world = World::new(MOST).await;
    world.grants(3600, 0).await;
    let key = key();
    let first = world.text(key, at(0)).await;
    world.grants(3600, 0).await;
    let token = world.token_of(key, 1, at(51)).await.unwrap();
    assert_ne!(token.secret.expose_secret(), first);
    assert_eq!(token.expire_time, at(111));
    world.answers(503, json!({}), 0).await;
    let error = world.token_of(key, 1, at(102)).await.unwrap_err();
    assert_eq!((error.0.result, error.0.http_status), (TestResult::Inconclusive, Some(503)));
}

#[test]
fn a_short_life_has_its_thirds() {
    let minted = |life| Minted {
        token: AccessToken { secret: "x".into(), expire_time: at(0) + Duration::seconds(life) },
        time: at(0),
    };
    for (life, seconds, standing) in [
        (3600, 0, Standing::Fresh),
        (3600, 1800, Standing::Fresh),
        (3600, 1801, Standing::Due),
        (3600, 3000, Standing::Due),
        (3600, 3001, Standing::Short),
        (3600, -59, Standing::Fresh),
        (3600, -61, Standing::Short),
        (3600, 9999, Standing::Short),
        (300, 150, Standing::Fresh),
        (300, 151, Standing::Due),
        (300, 200, Standing::Due),
        (300, 201, Standing::Short),
    ] {
        assert_eq!(minted(life).standing(at(0) + Duration::seconds(seconds)), standing, "{life} {seconds}");
    }
}

#[tokio::test]
async fn a_dead_account_is_not_asked_in_a_loop() {
    let world = World::new(MOST).await;
    world.answers(400, json!({"error": "invalid_grant"}), 0).await;
    let key = key();
    for _ in 0..5 {
        let error = world.token_of(key, 1, at(0)).await.unwrap_err();
        assert_eq!((error.0.result, error.0.http_status), (TestResult::Invalid, Some(400)));
    }
    assert_eq!(world.requests().await.len(), 1);
    world.grants(3600, 0).await;
    assert!(world.token_of(key, 2, at(0)).await.is_ok(), "another secret is another account");
    assert!(world.token_of(key, 1, at(1)).await.is_ok());
}

#[tokio::test]
async fn what_is_forgotten_is_asked_for_anew() {
    let world = World::new(MOST).await;
    world.grants(3600, 0).await;
    let (one, other) = (key(), key());
    for key in [one, other] {
        world.text(key, at(0)).await;
    }
    world.tokens.forget(one);
    for key in [one, other] {
        world.text(key, at(0)).await;
    }
    assert_eq!(world.requests().await.len(), 3);
}

#[tokio::test]
async fn what_is_forgotten_under_way_is_not_kept() {
    let world = World::new(MOST).await;
    world.grants(3600, 100).await;
    let key = key();
    let forget = async {
        while world.tokens.slots().is_empty() {
            tokio::task::yield_now().await;
        }
        world.tokens.forget(key);
    };
    let (token, ()) = tokio::join!(world.token_of(key, 1, at(0)), forget);
    assert!(token.is_ok(), "who waited gets it");
    assert!(world.tokens.slots().is_empty());
}

#[tokio::test]
async fn an_exchange_outlives_a_caller_that_gives_up() {
    let world = World::new(MOST).await;
    world.grants(3600, 200).await;
    let key = key();
    let impatient = tokio::time::timeout(StdDuration::from_millis(20), world.token_of(key, 1, at(0))).await;
    assert!(impatient.is_err());
    world.landed().await;
    world.text(key, at(0)).await;
    assert_eq!(world.requests().await.len(), 1);
}

#[tokio::test]
async fn a_slow_exchange_does_not_hold_up_another_key() {
    let world = World::new(MOST).await;
    world.grants(3600, 60_000).await;
    let slow = key();
    let stuck = tokio::time::timeout(StdDuration::from_millis(100), world.token_of(slow, 1, at(0))).await;
    assert!(stuck.is_err());
    world.grants(3600, 0).await;
    let quick = tokio::time::timeout(StdDuration::from_secs(5), world.token_of(key(), 1, at(0))).await;
    assert!(quick.unwrap().is_ok());
    assert!(world.tokens.slots()[&(slow, 1)].flight().is_some(), "the other is still under way");
}

#[tokio::test]
async fn the_least_recently_used_goes_first() {
    let world = World::new(2).await;
    world.grants(3600, 0).await;
    let (one, two, three) = (key(), key(), key());
    for (key, minute) in [(one, 0), (two, 1), (one, 2), (three, 3)] {
        world.text(key, at(minute)).await;
    }
    assert_eq!(world.requests().await.len(), 3);
    assert_eq!(world.tokens.slots().len(), 2);
    world.text(one, at(4)).await;
    assert_eq!(world.requests().await.len(), 3, "it was used after the second");
    world.text(two, at(5)).await;
    assert_eq!(world.requests().await.len(), 4);
}

#[tokio::test]
async fn a_provider_without_an_exchange_grants_nothing() {
    let world = World::new(MOST).await;
    for id in ["openai", "nobody"] {
        let provider = ProviderId::parse(id).unwrap();
        let wanted = TokenFor { key: key(), secret_version: 1, provider: &provider, account: &world.account };
        let error = world.tokens.token(wanted, at(0)).await.unwrap_err();
        assert_eq!(error.0.result, TestResult::Inconclusive, "{id}");
    }
}
