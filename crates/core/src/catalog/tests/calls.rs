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
    let code = match status {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => 400,
        "UNAUTHENTICATED" => 401,
        "PERMISSION_DENIED" => 403,
        "RESOURCE_EXHAUSTED" => 429,
        "UNAVAILABLE" => 503,
        _ => 504,
    };
    json!({"error": {"code": code, "message": message, "status": status, "details": details}})
}

fn used_up(details: Value) -> Value {
    google("RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan.", details)
}

fn reason(name: &str) -> Value {
    json!([{"@type": "type.googleapis.com/google.rpc.Help"}, {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": name}])
}

fn unknown_caller(reason_name: &str) -> Value {
    google("UNAUTHENTICATED", "Request had invalid authentication credentials.", reason(reason_name))
}

fn violation(quota: &str, value: &str) -> Value {
    json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota, "quotaValue": value}]}])
}

pub(super) type Case = (&'static str, u16, Value, Outcome);

fn anthropic_cases() -> Vec<Case> {
    let id = "anthropic";
    let spend = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "You will regain access on 2026-12-01 at 00:00 UTC.", "details": {"error_code": "enforced_spend_limit_reached"}}});
    vec![
        (id, 401, anthropic("authentication_error", "CORS requests are not allowed for this organization"), BadRequest),
        (id, 401, anthropic("authentication_error", "invalid x-api-key"), InvalidKey),
        (id, 403, anthropic("permission_error", "Request not allowed"), Forbidden),
        (
            id,
            402,
            anthropic("billing_error", "There is an issue with your billing or payment information."),
            QuotaExhausted,
        ),
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
        (
            id,
            429,
            anthropic(
                "rate_limit_error",
                "This request would exceed your organization's rate limit of 50 requests per minute.",
            ),
            RateLimited,
        ),
        (id, 529, anthropic("overloaded_error", "Overloaded"), Overloaded),
        (id, 504, anthropic("timeout_error", "The request timed out."), ServerError),
        (id, 500, anthropic("api_error", "Internal server error"), ServerError),
        (id, 404, anthropic("not_found_error", "model: x"), BadRequest),
        (id, 413, anthropic("request_too_large", "Request exceeds the maximum size"), BadRequest),
    ]
}

fn openai_cases() -> Vec<Case> {
    let (request, quota) = ("invalid_request_error", "You exceeded your current quota");
    let mut answers = vec![
        (401, request, "invalid_api_key", "Incorrect API key provided: sk-x IP ", InvalidKey),
        (401, request, "missing_scope", "Missing scopes: api.model.read", Forbidden),
        (401, request, "no_organization", "You must be a member of an organization to use the API", Forbidden),
        (401, request, "ip_not_authorized", "Your IP is not authorized", Forbidden),
        (401, request, "ip_not_authorized", "IP not authorized", Forbidden),
        (403, request, "missing_scope", "Insufficient permissions. Missing scopes: model.request", Forbidden),
        (403, "request_forbidden", "unsupported_country", "Country, region, or territory not supported", Forbidden),
        (429, "insufficient_quota", "unknown", quota, QuotaExhausted),
        (429, "tokens", "unknown", "Rate limit reached for gpt-5.5", RateLimited),
        (429, "requests", "rate_limit_exceeded", "Rate limit reached for gpt-5.5", RateLimited),
        (429, "requests", "slow_down", "Your traffic rose too fast", RateLimited),
        (404, request, "model_not_found", "The model does not exist", BadRequest),
        (503, "server_error", "server_is_overloaded", "Our servers are currently overloaded", Overloaded),
    ];
    for code in [
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "insufficient_quota",
    ] {
        answers.push((429, "billing", code, quota, QuotaExhausted));
    }
    let of = |id| {
        answers
            .iter()
            .map(move |(status, kind, code, message, outcome)| (id, *status, openai(kind, code, message), *outcome))
    };
    ["openai", "dalle", "openai-tts"].into_iter().flat_map(of).collect()
}

fn google_cases() -> Vec<Case> {
    let mut cases = vec![
        ("google", 400, google("INVALID_ARGUMENT", "API key expired.", reason("API_KEY_INVALID")), InvalidKey),
        ("google", 401, unknown_caller("ACCESS_TOKEN_TYPE_UNSUPPORTED"), InvalidKey),
        ("google", 401, unknown_caller("CREDENTIALS_MISSING"), InvalidKey),
        ("google", 401, unknown_caller("ACCESS_TOKEN_EXPIRED"), InvalidKey),
        ("google", 403, google("PERMISSION_DENIED", "Your API key was reported as leaked.", json!([])), InvalidKey),
        ("google", 400, google("INVALID_ARGUMENT", "Invalid value at 'contents'", json!([])), BadRequest),
        ("vertex", 400, json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}), InvalidKey),
        ("vertex", 401, unknown_caller("ACCESS_TOKEN_EXPIRED"), ServerError),
        ("vertex", 401, unknown_caller("CREDENTIALS_MISSING"), InvalidKey),
    ];
    for id in ["google", "vertex"] {
        cases.extend([
            (id, 400, google("FAILED_PRECONDITION", "User location is not supported", json!([])), Forbidden),
            (
                id,
                403,
                google(
                    "PERMISSION_DENIED",
                    "Permission denied: the consumer has been suspended.",
                    reason("CONSUMER_SUSPENDED"),
                ),
                InvalidKey,
            ),
            (
                id,
                403,
                google(
                    "PERMISSION_DENIED",
                    "This API method requires billing to be enabled.",
                    reason("BILLING_DISABLED"),
                ),
                QuotaExhausted,
            ),
            (
                id,
                403,
                google(
                    "PERMISSION_DENIED",
                    "Requests to this API method are blocked.",
                    reason("API_KEY_SERVICE_BLOCKED"),
                ),
                Forbidden,
            ),
            (id, 429, used_up(violation("GenerateRequestsPerDayPerProject", "50")), QuotaExhausted),
            (id, 429, used_up(violation("GenerateRequestsPerMinute", "0")), QuotaExhausted),
            (id, 429, used_up(violation("GenerateRequestsPerMinute", "10")), RateLimited),
            (id, 503, google("UNAVAILABLE", "The model is overloaded.", json!([])), Overloaded),
            (id, 504, google("DEADLINE_EXCEEDED", "Deadline expired.", json!([])), ServerError),
        ]);
    }
    cases
}

fn openrouter_cases() -> Vec<Case> {
    let id = "openrouter";
    let error = |code: u16, metadata: Value| json!({"error": {"code": code, "message": "Provider returned error", "metadata": metadata}});
    vec![
        (id, 200, json!({"id": "gen-1", "choices": []}), Fine),
        (id, 200, json!({"choices": [], "error": null}), Fine),
        (id, 200, error(401, json!({})), InvalidKey),
        (id, 200, error(402, json!({})), QuotaExhausted),
        (id, 200, error(429, json!({"provider_name": "Acme"})), Overloaded),
        (id, 200, error(429, json!({})), RateLimited),
        (id, 200, error(502, json!({})), ServerError),
        (id, 200, error(503, json!({"error_type": "provider_overloaded"})), Overloaded),
        (id, 200, json!({"id": "gen-1", "error": {"message": "Stream ended early"}}), ServerError),
        (id, 401, error(401, json!({})), InvalidKey),
        (id, 402, error(402, json!({"error_type": "payment_required"})), QuotaExhausted),
        (id, 403, error(403, json!({"reasons": ["violence"]})), BadRequest),
        (id, 403, error(403, json!({"patterns": ["secrets"]})), BadRequest),
        (id, 403, error(403, json!({})), Forbidden),
        (id, 429, error(429, json!({"provider_code": "rate_limited"})), Overloaded),
        (id, 429, error(429, json!({"provider_name": "Acme", "raw": "too many requests"})), Overloaded),
        (id, 429, error(429, json!({})), RateLimited),
        (id, 408, error(408, json!({})), ServerError),
        (id, 524, error(524, json!({})), ServerError),
    ]
}

fn model_cases() -> Vec<Case> {
    vec![
        ("groq", 498, openai("flex", "capacity_exceeded", "Flex tier capacity exceeded"), Overloaded),
        ("groq", 401, openai("invalid_request_error", "invalid_api_key", "Invalid API Key"), InvalidKey),
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
            json!({"error": {"message": "Authentication Fails", "type": "authentication_error", "param": null, "code": "invalid_request_error"}}),
            InvalidKey,
        ),
        (
            "xai",
            400,
            json!({"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***"}),
            InvalidKey,
        ),
        ("xai", 400, json!({"code": "Some requested entity was not found", "error": "Model not found"}), BadRequest),
        ("together", 403, json!({"error": {"message": "input too long"}}), BadRequest),
        (
            "together",
            402,
            json!({"error": {"message": "Spending limit reached", "type": "payment_required"}}),
            QuotaExhausted,
        ),
        (
            "fireworks",
            412,
            json!({"error": {"code": "PRECONDITION_FAILED", "message": "Account is suspended"}}),
            QuotaExhausted,
        ),
    ]
}

fn media_cases() -> Vec<Case> {
    let detail = |status: &str| json!({"detail": {"status": status, "message": "This request was refused."}});
    vec![
        ("runway", 400, json!({"error": "You do not have enough credits to run this task."}), QuotaExhausted),
        ("runway", 429, json!({"error": "You have reached your daily task limit."}), RateLimited),
        ("elevenlabs", 401, detail("quota_exceeded"), QuotaExhausted),
        ("elevenlabs", 401, detail("missing_permissions"), Forbidden),
        ("elevenlabs", 401, detail("invalid_api_key"), InvalidKey),
        ("elevenlabs", 401, detail("detected_unusual_activity"), Forbidden),
        ("elevenlabs", 429, detail("system_busy"), RateLimited),
        ("elevenlabs", 429, detail("too_many_concurrent_requests"), RateLimited),
        (
            "deepgram",
            403,
            json!({"err_code": "INSUFFICIENT_PERMISSIONS", "err_msg": "User does not have sufficient permissions."}),
            Forbidden,
        ),
        (
            "deepgram",
            403,
            json!({"category": "INSUFFICIENT_PERMISSIONS", "message": "Your key may not do this.", "request_id": "r1"}),
            Forbidden,
        ),
        (
            "deepgram",
            402,
            json!({"err_code": "ASR_PAYMENT_REQUIRED", "err_msg": "Project is out of credit."}),
            QuotaExhausted,
        ),
    ]
}

fn research_cases() -> Vec<Case> {
    vec![
        (
            "perplexity",
            401,
            json!({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": 401}}),
            QuotaExhausted,
        ),
        (
            "perplexity",
            401,
            json!({"error": {"message": "Invalid API key provided", "type": "invalid_api_key", "code": 401}}),
            InvalidKey,
        ),
        (
            "tavily",
            432,
            json!({"detail": {"error": "This request exceeds your plan's set usage limit."}}),
            QuotaExhausted,
        ),
        ("tavily", 433, json!({"detail": {"error": "This request exceeds the pay-as-you-go limit."}}), QuotaExhausted),
        ("serper", 403, json!({"message": "Unauthorized.", "statusCode": 403}), InvalidKey),
        ("serper", 400, json!({"message": "Not enough credits", "statusCode": 400}), QuotaExhausted),
        ("serper", 400, json!({"message": "Missing query", "statusCode": 400}), BadRequest),
        (
            "brave",
            422,
            json!({"type": "ErrorResponse", "error": {"status": 422, "detail": "The provided subscription token is invalid.", "code": "SUBSCRIPTION_TOKEN_INVALID"}}),
            InvalidKey,
        ),
        ("brave", 422, json!({"errors": [{"code": "SUBSCRIPTION_TOKEN_INVALID"}]}), InvalidKey),
        (
            "brave",
            422,
            json!({"type": "ErrorResponse", "error": {"status": 422, "detail": "Unable to validate request parameter(s)", "code": "VALIDATION"}}),
            BadRequest,
        ),
        (
            "exa",
            402,
            json!({"error": "You have exceeded your credits limit.", "tag": "NO_MORE_CREDITS"}),
            QuotaExhausted,
        ),
        ("exa", 402, json!({"error": "The key is over its budget.", "tag": "API_KEY_BUDGET_EXCEEDED"}), QuotaExhausted),
        ("exa", 401, json!({"error": "Invalid API key", "tag": "INVALID_API_KEY"}), InvalidKey),
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

pub(super) fn cases() -> Vec<Case> {
    [
        anthropic_cases(),
        openai_cases(),
        google_cases(),
        openrouter_cases(),
        model_cases(),
        media_cases(),
        research_cases(),
        common_cases(),
    ]
    .concat()
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
