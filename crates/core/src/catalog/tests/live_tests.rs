//! What the answers to live tests mean: a body for each rule of a test, and the traps of live, dead and silent answers.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::super::classify::first_match;
use super::*;

#[derive(Debug, PartialEq, Clone, Copy)]
enum Shows {
    Valid,
    Restricted,
    Quota,
    LimitedLive,
    Invalid,
    Nothing,
}

impl From<TestVerdict<'_>> for Shows {
    fn from(verdict: TestVerdict<'_>) -> Self {
        match verdict {
            TestVerdict::Valid => Self::Valid,
            TestVerdict::Restricted { .. } => Self::Restricted,
            TestVerdict::QuotaExhausted { .. } => Self::Quota,
            TestVerdict::RateLimitedLive => Self::LimitedLive,
            TestVerdict::Invalid { .. } => Self::Invalid,
            TestVerdict::Inconclusive { .. } => Self::Nothing,
        }
    }
}

use Shows::{Invalid, LimitedLive, Nothing, Quota, Restricted, Valid};

type Case = (&'static str, u16, Value, Shows);

fn tests_with_rules() -> Vec<Case> {
    let mut cases = [language_models(), others()].concat();
    for id in ["openai", "dalle", "openai-tts"] {
        cases.push((id, 403, json!({"error": {"message": "Country, region, or territory not supported"}}), Nothing));
    }
    for id in ["fal", "fal-video"] {
        cases.push((id, 404, json!({}), Nothing));
    }
    cases
}

fn language_models() -> Vec<Case> {
    vec![
        ("anthropic", 404, json!({"error": {"type": "not_found_error"}}), Invalid),
        ("openrouter", 200, json!({"data": {"is_management_key": true, "limit_remaining": 5}}), Invalid),
        ("openrouter", 200, json!({"data": {"is_provisioning_key": true}}), Invalid),
        ("openrouter", 200, json!({"data": {"is_management_key": false, "limit_remaining": 0}}), Quota),
        ("openrouter", 200, json!({"data": {"is_management_key": false, "limit_remaining": -0.2}}), Quota),
        ("openrouter", 200, json!({"data": {"is_management_key": false, "limit_remaining": null}}), Valid),
        ("google", 400, json!({"error": {"status": "FAILED_PRECONDITION"}}), Nothing),
        (
            "google",
            400,
            json!({"error": {"status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}),
            Invalid,
        ),
        ("google", 400, json!({"error": {"status": "INVALID_ARGUMENT"}}), Nothing),
        ("vertex", 400, json!({"error": "invalid_grant"}), Invalid),
        ("vertex", 400, json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}), Invalid),
        (
            "vertex",
            400,
            json!({
                "error": "invalid_grant",
                "error_description": "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
            }),
            Nothing,
        ),
        ("vertex", 401, json!({"error": "invalid_client"}), Invalid),
        ("vertex", 400, json!({"error": "invalid_request"}), Nothing),
        ("vertex", 200, json!({"access_token": "x"}), Valid),
        ("azure", 404, json!({}), Nothing),
        (
            "azure",
            401,
            json!({"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."}}),
            Invalid,
        ),
        ("custom", 404, json!({}), Nothing),
        ("custom", 401, json!({}), Invalid),
        ("cohere", 200, json!({"valid": true}), Valid),
        ("cohere", 200, json!({"valid": false}), Invalid),
        ("cohere", 200, json!({}), Nothing),
        ("cohere", 200, json!({"valid": "true"}), Nothing),
        ("deepseek", 200, json!({"is_available": false}), Quota),
        ("deepseek", 200, json!({"is_available": true}), Valid),
        ("xai", 200, json!({"api_key_blocked": true, "api_key_disabled": false, "team_blocked": false}), Invalid),
        ("xai", 200, json!({"api_key_blocked": false, "api_key_disabled": true, "team_blocked": false}), Invalid),
        ("xai", 200, json!({"api_key_blocked": false, "api_key_disabled": false, "team_blocked": true}), Invalid),
        ("xai", 200, json!({"api_key_blocked": false, "api_key_disabled": false, "team_blocked": false}), Valid),
        ("together", 403, json!({}), Nothing),
        ("fireworks", 403, json!({}), Invalid),
        ("bedrock", 403, json!({"message": "Authentication failed"}), Nothing),
    ]
}

fn others() -> Vec<Case> {
    vec![
        ("stability", 200, json!({"credits": 0.0}), Quota),
        ("stability", 200, json!({"credits": 12.5}), Valid),
        ("runway", 200, json!({"creditBalance": 0}), Quota),
        ("runway", 200, json!({"creditBalance": 7}), Valid),
        ("tavily", 200, json!({"key": {"usage": 100, "limit": 100}, "account": {}}), Quota),
        (
            "tavily",
            200,
            json!({"key": {"usage": 9, "limit": null}, "account": {"plan_usage": 1001, "plan_limit": 1000}}),
            Quota,
        ),
        (
            "tavily",
            200,
            json!({"key": {"usage": 9, "limit": 10}, "account": {"plan_usage": 1, "plan_limit": 1000}}),
            Valid,
        ),
        ("serper", 200, json!({"balance": 0}), Quota),
        ("serper", 200, json!({"credits": 0}), Quota),
        ("serper", 200, json!({"balance": 2500}), Valid),
        ("brave", 403, json!({}), Nothing),
    ]
}

/// Answers that a reader of status codes alone gets wrong.
fn traps() -> Vec<Case> {
    vec![
        ("xai", 400, json!({"error": "Incorrect API key provided"}), Invalid),
        ("serper", 403, json!({"message": "Unauthorized.", "statusCode": 403}), Invalid),
        ("brave", 422, json!({"error": {"code": "SUBSCRIPTION_TOKEN_INVALID"}}), Invalid),
        ("brave", 422, json!({"error": {"code": "VALIDATION"}}), Nothing),
        ("cohere", 498, json!({}), Invalid),
        ("perplexity", 401, json!({"error": {"type": "insufficient_quota"}}), Quota),
        ("elevenlabs", 401, json!({"detail": {"status": "quota_exceeded"}}), Quota),
        ("elevenlabs", 401, json!({"detail": {"status": "missing_permissions"}}), Restricted),
        ("openai", 403, json!({"error": {"message": "Missing scopes: api.model.read"}}), Restricted),
        ("openai", 401, json!({"error": {"message": "Missing scopes: api.model.read"}}), Restricted),
        (
            "openai",
            401,
            json!({"error": {"code": "invalid_api_key", "message": "Incorrect API key provided: sk-x"}}),
            Invalid,
        ),
        ("deepgram", 403, json!({"category": "INSUFFICIENT_PERMISSIONS"}), Restricted),
        (
            "google",
            403,
            json!({"error": {"status": "PERMISSION_DENIED", "message": "Your API key was reported as leaked."}}),
            Invalid,
        ),
        ("google", 403, json!({"error": {"status": "PERMISSION_DENIED", "message": "SERVICE_DISABLED"}}), Restricted),
        ("anthropic", 400, json!({"error": {"message": "Your credit balance is too low"}}), Quota),
        ("anthropic", 404, json!("a proxy's own page"), Nothing),
        ("openai", 429, json!({"error": {"type": "insufficient_quota"}}), Quota),
        ("anthropic", 429, json!({}), LimitedLive),
        ("openai", 429, json!({}), LimitedLive),
        ("dalle", 429, json!({}), LimitedLive),
        ("openrouter", 429, json!({}), LimitedLive),
        ("openrouter", 429, json!({"error": {"metadata": {"provider_name": "x"}}}), Nothing),
        ("mistral", 429, json!({}), Nothing),
        ("perplexity", 429, json!({}), Nothing),
        ("google", 429, json!({"error": {"status": "RESOURCE_EXHAUSTED"}}), Nothing),
        ("openrouter", 200, json!({"error": {"code": 502, "message": "x"}}), Nothing),
        ("mistral", 204, json!(null), Nothing),
        ("luma", 200, json!({}), Nothing),
        ("pika", 401, json!({}), Nothing),
        ("cartesia", 401, json!({}), Nothing),
    ]
}

#[test]
fn each_answer_shows_what_it_shows() {
    let catalog = catalog();
    for (id, status, body, shows) in tests_with_rules().into_iter().chain(traps()) {
        let facts = HttpFacts { status, body: Some(&body), texts: &[] };
        let verdict = catalog.test_verdict(catalog.provider(id).unwrap(), &facts);
        assert_eq!(Shows::from(verdict), shows, "{id} {status} {body}");
    }
}

#[test]
fn no_rule_of_a_test_goes_unexercised() {
    let catalog = catalog();
    let rules = |id: &str| match &catalog.provider(id).unwrap().test {
        LiveTest::Http(test) => test.rules.as_slice(),
        LiveTest::TokenExchange(test) => test.rules.as_slice(),
        LiveTest::None { .. } => &[],
    };
    let mut used = HashSet::new();
    for (id, status, body, _) in tests_with_rules() {
        let facts = HttpFacts { status, body: Some(&body), texts: &[] };
        used.extend(first_match(&[rules(id)], &facts).map(std::ptr::from_ref));
    }
    for provider in catalog.providers() {
        for rule in rules(provider.id.as_str()) {
            assert!(used.contains(&std::ptr::from_ref(rule)), "{}: {rule:?}", provider.id);
        }
    }
}

#[test]
fn reasons_are_the_catalogs_own_words() {
    let catalog = catalog();
    let body = json!({"error": {"code": "invalid_api_key", "message": "Incorrect API key provided: sk-SECRET"}});
    let facts = HttpFacts { status: 401, body: Some(&body), texts: &[] };
    let verdict = catalog.test_verdict(catalog.provider("openai").unwrap(), &facts);
    assert_eq!(verdict, TestVerdict::Invalid { reason: "OpenAI does not know it" });
    let luma = catalog.test_verdict(catalog.provider("luma").unwrap(), &HttpFacts::default());
    assert!(matches!(luma, TestVerdict::Inconclusive { reason } if reason.contains("Luma")));
}
