//! What the answers to calls mean: a body for each rule.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::super::classify::first_match;
use super::*;
use Outcome::{BadRequest, Forbidden, InvalidKey, Ok as Fine, Overloaded, QuotaExhausted, RateLimited, ServerError};

fn anthropic(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})
}

fn openai(kind: &str, code: &str, message: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

fn google(status: &str, message: &str, details: Value) -> Value {
    json!({"error": {"code": 1, "message": message, "status": status, "details": details}})
}

fn reason(name: &str) -> Value {
    json!([{"@type": "type.googleapis.com/google.rpc.Help"}, {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": name}])
}

fn violation(quota: &str, value: &str) -> Value {
    json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota, "quotaValue": value}]}])
}

type Case = (&'static str, u16, Value, Outcome);

fn anthropic_cases() -> Vec<Case> {
    let id = "anthropic";
    let spend = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "x", "details": {"error_code": "enforced_spend_limit_reached"}}});
    vec![
        (id, 401, anthropic("authentication_error", "CORS requests are not allowed for this organization"), BadRequest),
        (id, 401, anthropic("authentication_error", "invalid x-api-key"), InvalidKey),
        (id, 403, anthropic("permission_error", "Request not allowed"), Forbidden),
        (id, 402, anthropic("billing_error", "payment"), QuotaExhausted),
        (
            id,
            400,
            anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API"),
            QuotaExhausted,
        ),
        (
            id,
            400,
            anthropic("invalid_request_error", "You have reached your specified API usage limits"),
            QuotaExhausted,
        ),
        (
            id,
            400,
            anthropic("invalid_request_error", "This credential is only authorized for use with Claude Code"),
            InvalidKey,
        ),
        (id, 400, anthropic("invalid_request_error", "max_tokens: too large"), BadRequest),
        (id, 429, spend, QuotaExhausted),
        (id, 429, anthropic("rate_limit_error", "slow"), RateLimited),
        (id, 529, anthropic("overloaded_error", "Overloaded"), Overloaded),
        (id, 504, anthropic("timeout_error", "x"), ServerError),
        (id, 500, anthropic("api_error", "x"), ServerError),
        (id, 404, anthropic("not_found_error", "model: x"), BadRequest),
        (id, 413, anthropic("request_too_large", "x"), BadRequest),
    ]
}

fn openai_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for id in ["openai", "dalle", "openai-tts"] {
        cases.extend([
            (
                id,
                401,
                openai("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-x IP "),
                InvalidKey,
            ),
            (id, 401, openai("x", "x", "Missing scopes: api.model.read"), Forbidden),
            (id, 401, openai("x", "x", "You must be a member of an organization to use the API"), Forbidden),
            (id, 401, openai("x", "x", "IP not authorized"), Forbidden),
            (id, 403, openai("x", "x", "You have insufficient permissions. Missing scopes: model.request"), Forbidden),
            (
                id,
                403,
                openai("x", "unsupported_country_region_territory", "Country, region, or territory not supported"),
                Forbidden,
            ),
            (id, 429, openai("x", "project_spend_limit_exceeded", "x"), QuotaExhausted),
            (id, 429, openai("insufficient_quota", "x", "You exceeded your current quota"), QuotaExhausted),
            (id, 429, openai("requests", "rate_limit_exceeded", "x"), RateLimited),
            (id, 429, openai("tokens", "x", "x"), RateLimited),
            (id, 404, openai("invalid_request_error", "model_not_found", "x"), BadRequest),
            (id, 503, openai("server_error", "server_is_overloaded", "x"), Overloaded),
        ]);
    }
    cases
}

fn google_cases() -> Vec<Case> {
    let mut cases = vec![
        ("google", 400, google("INVALID_ARGUMENT", "API key expired.", reason("API_KEY_INVALID")), InvalidKey),
        ("google", 401, google("UNAUTHENTICATED", "x", reason("ACCESS_TOKEN_TYPE_UNSUPPORTED")), InvalidKey),
        ("google", 403, google("PERMISSION_DENIED", "Your API key was reported as leaked.", json!([])), InvalidKey),
        ("google", 400, google("INVALID_ARGUMENT", "bad field", json!([])), BadRequest),
        ("vertex", 400, json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}), InvalidKey),
        ("vertex", 401, google("UNAUTHENTICATED", "x", reason("ACCESS_TOKEN_EXPIRED")), ServerError),
        ("vertex", 401, google("UNAUTHENTICATED", "x", reason("CREDENTIALS_MISSING")), InvalidKey),
    ];
    for id in ["google", "vertex"] {
        cases.extend([
            (id, 400, google("FAILED_PRECONDITION", "User location is not supported", json!([])), Forbidden),
            (id, 403, google("PERMISSION_DENIED", "x", reason("CONSUMER_SUSPENDED")), InvalidKey),
            (id, 403, google("PERMISSION_DENIED", "x", reason("BILLING_DISABLED")), QuotaExhausted),
            (id, 403, google("PERMISSION_DENIED", "x", reason("API_KEY_SERVICE_BLOCKED")), Forbidden),
            (
                id,
                429,
                google("RESOURCE_EXHAUSTED", "x", violation("GenerateRequestsPerDayPerProject", "50")),
                QuotaExhausted,
            ),
            (id, 429, google("RESOURCE_EXHAUSTED", "x", violation("GenerateRequestsPerMinute", "0")), QuotaExhausted),
            (id, 429, google("RESOURCE_EXHAUSTED", "x", violation("GenerateRequestsPerMinute", "10")), RateLimited),
            (id, 503, google("UNAVAILABLE", "x", json!([])), Overloaded),
            (id, 504, google("DEADLINE_EXCEEDED", "x", json!([])), ServerError),
        ]);
    }
    cases
}

fn openrouter_cases() -> Vec<Case> {
    let id = "openrouter";
    let error = |code: u16, metadata: Value| json!({"error": {"code": code, "message": "x", "metadata": metadata}});
    vec![
        (id, 200, json!({"id": "gen-1", "choices": []}), Fine),
        (id, 200, json!({"choices": [], "error": null}), Fine),
        (id, 200, error(401, json!({})), InvalidKey),
        (id, 200, error(402, json!({})), QuotaExhausted),
        (id, 200, error(429, json!({"provider_name": "Acme"})), Overloaded),
        (id, 200, error(429, json!({})), RateLimited),
        (id, 200, error(502, json!({})), ServerError),
        (id, 401, error(401, json!({})), InvalidKey),
        (id, 402, error(402, json!({"error_type": "payment_required"})), QuotaExhausted),
        (id, 403, error(403, json!({"reasons": ["violence"]})), BadRequest),
        (id, 403, error(403, json!({"patterns": ["x"]})), BadRequest),
        (id, 403, error(403, json!({})), Forbidden),
        (id, 429, error(429, json!({"provider_code": "rate_limited"})), Overloaded),
        (id, 429, error(429, json!({})), RateLimited),
        (id, 408, error(408, json!({})), ServerError),
        (id, 524, error(524, json!({})), ServerError),
    ]
}

fn other_cases() -> Vec<Case> {
    let detail = |status: &str| json!({"detail": {"status": status, "message": "x"}});
    vec![
        ("groq", 498, json!({}), Overloaded),
        ("groq", 401, openai("invalid_request_error", "invalid_api_key", "x"), InvalidKey),
        (
            "azure",
            401,
            json!({"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."}}),
            InvalidKey,
        ),
        ("cohere", 402, json!({"message": "Maximum billing reached"}), QuotaExhausted),
        ("cohere", 498, json!({"message": "invalid token"}), InvalidKey),
        ("deepseek", 402, json!({"error": {"message": "Insufficient Balance"}}), QuotaExhausted),
        (
            "deepseek",
            401,
            json!({"error": {"type": "authentication_error", "code": "invalid_request_error"}}),
            InvalidKey,
        ),
        ("xai", 400, json!({"code": "x", "error": "Incorrect API key provided: xa***"}), InvalidKey),
        ("xai", 400, json!({"code": "x", "error": "Model not found"}), BadRequest),
        ("together", 403, json!({"error": {"message": "input too long"}}), BadRequest),
        ("together", 402, json!({}), QuotaExhausted),
        ("fireworks", 412, json!({}), QuotaExhausted),
        ("runway", 400, json!({"error": "You do not have enough credits to run this task."}), QuotaExhausted),
        ("runway", 429, json!({"error": "daily limit"}), RateLimited),
        ("elevenlabs", 401, detail("quota_exceeded"), QuotaExhausted),
        ("elevenlabs", 401, detail("missing_permissions"), Forbidden),
        ("elevenlabs", 401, detail("invalid_api_key"), InvalidKey),
        ("elevenlabs", 401, detail("detected_unusual_activity"), Forbidden),
        ("elevenlabs", 429, detail("system_busy"), RateLimited),
        ("deepgram", 403, json!({"err_code": "INSUFFICIENT_PERMISSIONS"}), Forbidden),
        ("deepgram", 402, json!({"err_code": "ASR_PAYMENT_REQUIRED"}), QuotaExhausted),
        ("perplexity", 401, json!({"error": {"type": "insufficient_quota", "code": 401}}), QuotaExhausted),
        ("perplexity", 401, json!({"error": {"type": "invalid_api_key", "code": 401}}), InvalidKey),
        ("tavily", 432, json!({"detail": {"error": "x"}}), QuotaExhausted),
        ("tavily", 433, json!({"detail": {"error": "x"}}), QuotaExhausted),
        ("serper", 403, json!({"message": "Unauthorized.", "statusCode": 403}), InvalidKey),
        ("serper", 400, json!({"message": "Not enough credits", "statusCode": 400}), QuotaExhausted),
        ("serper", 400, json!({"message": "Missing query", "statusCode": 400}), BadRequest),
        ("brave", 422, json!({"error": {"code": "SUBSCRIPTION_TOKEN_INVALID"}}), InvalidKey),
        ("brave", 422, json!({"errors": [{"code": "SUBSCRIPTION_TOKEN_INVALID"}]}), InvalidKey),
        ("brave", 422, json!({"error": {"code": "VALIDATION"}}), BadRequest),
        ("exa", 402, json!({"error": "x", "tag": "API_KEY_BUDGET_EXCEEDED"}), QuotaExhausted),
        ("exa", 401, json!({"error": "x", "tag": "INVALID_API_KEY"}), InvalidKey),
    ]
}

/// Rules of any provider, and none.
fn common_cases() -> Vec<Case> {
    vec![
        ("mistral", 401, json!({"detail": "Invalid API Key"}), InvalidKey),
        ("mistral", 402, json!({}), QuotaExhausted),
        ("mistral", 403, json!({}), Forbidden),
        ("mistral", 408, json!({}), ServerError),
        ("mistral", 429, json!({}), RateLimited),
        ("mistral", 503, json!({}), Overloaded),
        ("mistral", 529, json!({}), Overloaded),
        ("mistral", 599, json!({}), ServerError),
        ("mistral", 200, json!({}), Fine),
        ("mistral", 400, json!({}), BadRequest),
        ("mistral", 404, json!({}), BadRequest),
        ("mistral", 422, json!({}), BadRequest),
    ]
}

fn cases() -> Vec<Case> {
    [anthropic_cases(), openai_cases(), google_cases(), openrouter_cases(), other_cases(), common_cases()].concat()
}

#[test]
fn each_answer_is_read_right() {
    let catalog = catalog();
    for (id, status, body, outcome) in cases() {
        let facts = HttpFacts { status, body: Some(&body), texts: &[] };
        let read = catalog.classify(catalog.provider(id).unwrap(), &facts);
        assert_eq!(read.outcome, outcome, "{id} {status} {body}");
        assert_eq!(read.retryable, matches!(outcome, RateLimited | Overloaded | ServerError), "{id} {status}");
    }
}

#[test]
fn no_rule_goes_unexercised() {
    let catalog = catalog();
    let mut used = HashSet::new();
    for (id, status, body, _) in cases() {
        let facts = HttpFacts { status, body: Some(&body), texts: &[] };
        let rules = &catalog.provider(id).unwrap().rules;
        used.extend(first_match(&[rules, &catalog.rules], &facts).map(std::ptr::from_ref));
    }
    let own = catalog.providers().iter().flat_map(|p| p.rules.iter().map(|rule| (p.id.as_str(), rule)));
    for (id, rule) in own.chain(catalog.rules.iter().map(|rule| ("*", rule))) {
        assert!(used.contains(&std::ptr::from_ref(rule)), "{id}: {rule:?}");
    }
}

#[test]
fn reported_texts_stand_in_for_a_body() {
    let catalog = catalog();
    for (id, status, texts, outcome) in [
        ("anthropic", 429, ["rate_limit_error", "enforced_spend_limit_reached", "until next month"], QuotaExhausted),
        ("anthropic", 400, ["invalid_request_error", "", "Your credit balance is too low to"], QuotaExhausted),
        ("openai", 429, ["insufficient_quota", "insufficient_quota", ""], QuotaExhausted),
        ("google", 429, ["RESOURCE_EXHAUSTED", "GenerateRequestsPerDay", ""], QuotaExhausted),
        ("elevenlabs", 401, ["", "missing_permissions", ""], Forbidden),
        ("openrouter", 403, ["x", "y", "z"], Forbidden),
        ("mistral", 0, ["", "", ""], Outcome::NetworkError),
    ] {
        let facts = HttpFacts { status, body: None, texts: &texts };
        assert_eq!(catalog.classify(catalog.provider(id).unwrap(), &facts).outcome, outcome, "{id}");
    }
}
