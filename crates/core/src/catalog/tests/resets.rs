//! When a key can be used again: each provider's dialect, and which of several resets counts.

use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::super::reset::{MAX_PASSING, MAX_QUOTA};
use super::*;
use Outcome::{Overloaded, QuotaExhausted, RateLimited};

const NOW: OffsetDateTime = datetime!(2026-11-06 08:49:00 UTC);

type Headers<'a> = &'a [(&'a str, &'a str)];

fn reset_at(id: &str, facts: &AnswerFacts<'_>, outcome: Outcome, now: OffsetDateTime) -> Option<Reset> {
    let catalog = catalog();
    catalog.reset(catalog.provider(id).unwrap(), facts, outcome, now)
}

/// The outcome that ends, and after how many milliseconds.
fn told(id: &str, facts: &AnswerFacts<'_>, outcome: Outcome) -> Option<(Outcome, i128)> {
    let reset = reset_at(id, facts, outcome, NOW)?;
    Some((reset.outcome, (reset.until - NOW).whole_milliseconds()))
}

/// Of a 429 with these headers.
fn limited(id: &str, headers: Headers<'_>) -> Option<i128> {
    let http = HttpFacts { status: 429, ..HttpFacts::default() };
    let (outcome, wait) = told(id, &AnswerFacts { http, headers, ..AnswerFacts::default() }, RateLimited)?;
    assert_eq!(outcome, RateLimited, "{id} {headers:?}");
    Some(wait)
}

fn of_body(id: &str, status: u16, body: &Value, outcome: Outcome) -> Option<(Outcome, i128)> {
    let http = HttpFacts { status, body: Some(body), texts: &[] };
    told(id, &AnswerFacts { http, ..AnswerFacts::default() }, outcome)
}

#[test]
fn the_exhausted_window_counts_in_each_dialect() {
    for (id, headers, millis) in [
        (
            "anthropic",
            &[
                ("anthropic-ratelimit-requests-remaining", "49"),
                ("anthropic-ratelimit-requests-reset", "2026-11-06T08:59:00Z"),
                ("anthropic-ratelimit-output-tokens-remaining", "0"),
                ("anthropic-ratelimit-output-tokens-reset", "2026-11-06T08:49:13Z"),
            ][..],
            13_000,
        ),
        (
            "openai",
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "12ms"),
                ("x-ratelimit-remaining-tokens", "149984"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ],
            12,
        ),
        (
            "groq",
            &[
                ("x-ratelimit-remaining-requests", "14370"),
                ("x-ratelimit-reset-requests", "23h59m0s"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "7.66s"),
            ],
            7_660,
        ),
        ("azure", &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "38")], 38_000),
        ("openrouter", &[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1793954977500")], 37_500),
        ("together", &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "4")], 4_000),
        (
            "cerebras",
            &[
                ("x-ratelimit-remaining-requests-day", "9500"),
                ("x-ratelimit-reset-requests-day", "33011.382867"),
                ("x-ratelimit-remaining-tokens-minute", "0"),
                ("x-ratelimit-reset-tokens-minute", "11.382867"),
            ],
            11_382,
        ),
        ("brave", &[("X-RateLimit-Remaining", "0, 12437"), ("X-RateLimit-Reset", "1, 1419704")], 1_000),
        ("dalle", &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1m")], 60_000),
        ("custom", &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1m")], 60_000),
    ] {
        assert_eq!(limited(id, headers), Some(millis), "{id}");
        let shouted: Vec<_> = headers.iter().map(|(name, value)| (name.to_uppercase(), *value)).collect();
        let shouted: Vec<_> = shouted.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(limited(id, &shouted), Some(millis), "{id}");
    }
}

#[test]
fn a_window_that_is_not_exhausted_never_counts() {
    for remaining in ["1", "14370", "-1", "", "none", "0x0", "NaN"] {
        let headers = [("x-ratelimit-remaining-requests", remaining), ("x-ratelimit-reset-requests", "23h59m0s")];
        assert_eq!(limited("groq", &headers), None, "{remaining}");
        let and_retry_after = [headers[0], headers[1], ("retry-after", "2")];
        assert_eq!(limited("groq", &and_retry_after), Some(2_000), "{remaining}");
    }
    assert_eq!(
        limited("groq", &[("x-ratelimit-reset-requests", "23h59m0s")]),
        None,
        "nothing says that it is exhausted"
    );
}

#[test]
fn of_several_exhausted_windows_the_last_to_come_back_counts() {
    let both = [
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "20s"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "45s"),
    ];
    assert_eq!(limited("openai", &both), Some(45_000));
    let one_illegible = [both[0], both[1], both[2], ("x-ratelimit-reset-tokens", "later")];
    assert_eq!(limited("openai", &one_illegible), Some(20_000));
}

#[test]
fn retry_after_is_read_in_all_its_forms() {
    for (value, millis) in [
        ("30", 30_000),
        (" 1.5 ", 1_500),
        ("Fri, 06 Nov 2026 08:49:37 GMT", 37_000),
        ("Friday, 06-Nov-26 08:49:37 GMT", 37_000),
        ("Fri Nov  6 08:49:37 2026", 37_000),
    ] {
        for outcome in [RateLimited, QuotaExhausted, Overloaded] {
            let apart = AnswerFacts { retry_after: value, ..AnswerFacts::default() };
            assert_eq!(told("mistral", &apart, outcome), Some((outcome, millis)), "{value}");
            let headers = AnswerFacts { headers: &[("Retry-After", value)], ..AnswerFacts::default() };
            assert_eq!(told("mistral", &headers, outcome), Some((outcome, millis)), "{value}");
        }
    }
    for value in ["", "0", "-5", "soon", "NaN", "inf", "1e300", "Fri, 06 Nov 2026 08:49:00 GMT"] {
        let facts = AnswerFacts { retry_after: value, ..AnswerFacts::default() };
        assert_eq!(told("mistral", &facts, RateLimited), None, "{value}");
    }
}

#[test]
fn milliseconds_come_before_seconds_and_only_if_they_can_be_read() {
    assert_eq!(limited("azure", &[("retry-after", "2"), ("retry-after-ms", "1250")]), Some(1_250));
    assert_eq!(limited("azure", &[("retry-after", "2"), ("retry-after-ms", "soon")]), Some(2_000));
}

/// What is said of this very answer is nearer than when a bucket is full again, but not than when a window ends.
#[test]
fn retry_after_comes_before_windows_that_refill_and_after_those_that_end() {
    let requests = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "23h59m0s")];
    assert_eq!(limited("groq", &[requests[0], requests[1], ("retry-after", "6")]), Some(6_000));
    assert_eq!(limited("groq", &requests), Some(MAX_PASSING.whole_milliseconds()));
    let azure = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "40"), ("retry-after", "6")];
    assert_eq!(limited("azure", &azure), Some(40_000));
}

#[test]
fn a_limit_of_zero_is_no_window() {
    for limit in ["0", "-1"] {
        let headers = [
            ("x-ratelimit-limit-tokens", limit),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "60"),
            ("retry-after", "2"),
        ];
        assert_eq!(limited("azure", &headers), Some(2_000), "{limit}");
    }
}

#[test]
fn the_month_of_brave_makes_a_rate_limit_a_quota() {
    let month = [
        ("X-RateLimit-Limit", "1, 15000"),
        ("X-RateLimit-Remaining", "0, 0"),
        ("X-RateLimit-Reset", "1, 1419704"),
        ("Retry-After", "1"),
    ];
    let facts = |headers| AnswerFacts { headers, ..AnswerFacts::default() };
    for outcome in [RateLimited, QuotaExhausted] {
        assert_eq!(told("brave", &facts(&month), outcome), Some((QuotaExhausted, 1_419_704_000)));
    }
    let lines = [
        ("X-RateLimit-Remaining", "1"),
        ("X-RateLimit-Remaining", "0"),
        ("X-RateLimit-Reset", "1"),
        ("X-RateLimit-Reset", "1419704"),
    ];
    assert_eq!(told("brave", &facts(&lines), RateLimited), Some((QuotaExhausted, 1_419_704_000)));
    // plans without a month have a second entry too: 50 a second, and nothing counted beyond
    let no_month =
        [("X-RateLimit-Limit", "50, 0"), ("X-RateLimit-Remaining", "0, 0"), ("X-RateLimit-Reset", "1, 719977")];
    assert_eq!(limited("brave", &no_month), Some(1_000));
    assert_eq!(told("brave", &facts(&no_month), QuotaExhausted), None);
}

#[test]
fn windows_end_no_other_outcome() {
    let headers = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "20s")];
    let facts = AnswerFacts { headers: &headers, ..AnswerFacts::default() };
    assert_eq!(told("openai", &facts, QuotaExhausted), None, "an account without credit is not back in 20 s");
    assert_eq!(told("openai", &facts, Overloaded), None);
    let month = [("X-RateLimit-Remaining", "1, 0"), ("X-RateLimit-Reset", "1, 1419704")];
    assert_eq!(told("brave", &AnswerFacts { headers: &month, ..AnswerFacts::default() }, Overloaded), None);
}

#[test]
fn bodies_tell_too() {
    let google = |quota: &str| {
        json!({"error": {"code": 429, "message": "Resource has been exhausted", "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota, "quotaValue": "10"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "23s"},
        ]}})
    };
    for id in ["google", "vertex"] {
        let body = google("GenerateRequestsPerMinutePerProjectPerModel");
        assert_eq!(of_body(id, 429, &body, RateLimited), Some((RateLimited, 23_000)));
        let body = google("GenerateRequestsPerDayPerProjectPerModel");
        assert_eq!(of_body(id, 429, &body, QuotaExhausted), None, "the day is not over in 23 s");
    }
    let http = HttpFacts { status: 429, body: None, texts: &["RESOURCE_EXHAUSTED", "429", "Please retry in 23s."] };
    assert_eq!(told("google", &AnswerFacts { http, ..AnswerFacts::default() }, RateLimited), None, "no body, no delay");
    for (value, millis) in [(json!(30), 30_000), (json!(0.5), 500), (json!("12"), 12_000)] {
        let body = json!({"title": "Too many requests", "detail": "Request was throttled.", "status": 429, "retry_after": value});
        assert_eq!(of_body("replicate", 429, &body, RateLimited), Some((RateLimited, millis)));
    }
    let headers =
        json!({"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1793954977500"});
    let body = json!({"error": {"code": 429, "message": "Rate limit exceeded", "metadata": {"headers": headers}}});
    assert_eq!(of_body("openrouter", 429, &body, RateLimited), Some((RateLimited, 37_500)));
}

#[test]
fn the_enforced_spend_limit_of_anthropic_lasts_until_the_next_month() {
    let body = json!({"type": "error", "error": {
        "type": "rate_limit_error",
        "message": "You have reached the spend limit of this month.",
        "details": {"error_code": "enforced_spend_limit_reached"},
    }});
    let texts = ["rate_limit_error", "enforced_spend_limit_reached", ""];
    for (now, first) in [
        (NOW, datetime!(2026-12-01 00:00 UTC)),
        (datetime!(2026-12-31 23:59:59 UTC), datetime!(2027-01-01 00:00 UTC)),
        (datetime!(2027-01-01 00:00 UTC), datetime!(2027-02-01 00:00 UTC)),
        (datetime!(2027-02-01 00:30 +01:00), datetime!(2027-02-01 00:00 UTC)),
        (datetime!(2027-01-31 23:30 -01:00), datetime!(2027-03-01 00:00 UTC)),
    ] {
        for http in [
            HttpFacts { status: 429, body: Some(&body), texts: &[] },
            HttpFacts { status: 429, body: None, texts: &texts },
        ] {
            let facts = AnswerFacts { http, ..AnswerFacts::default() };
            let expected = Reset { outcome: QuotaExhausted, until: first };
            assert_eq!(reset_at("anthropic", &facts, QuotaExhausted, now), Some(expected), "{now}");
            assert_eq!(reset_at("anthropic", &facts, RateLimited, now), None, "the rule read something else");
        }
    }
    let other = json!({"type": "error", "error": {"type": "billing_error", "message": "x"}});
    assert_eq!(of_body("anthropic", 402, &other, QuotaExhausted), None);
}

#[test]
fn nothing_lasts_longer_than_its_cap() {
    let far = ["99999999999999999999", "2000000", "Fri, 31 Dec 9999 23:59:59 GMT", "Tue, 01 Jan 2030 00:00:00 GMT"];
    for value in far {
        for (outcome, cap) in [(RateLimited, MAX_PASSING), (Overloaded, MAX_PASSING), (QuotaExhausted, MAX_QUOTA)] {
            let facts = AnswerFacts { retry_after: value, ..AnswerFacts::default() };
            let until = reset_at("mistral", &facts, outcome, NOW).unwrap().until;
            let expected = if value == "2000000" { cap.min(Duration::seconds(2_000_000)) } else { cap };
            assert_eq!(until - NOW, expected, "{outcome:?} {value}");
        }
    }
    assert_eq!((MAX_PASSING, MAX_QUOTA), (Duration::HOUR, Duration::days(32)));
}

#[test]
fn other_outcomes_have_no_reset() {
    use Outcome::{BadRequest, ClientAborted, Forbidden, InvalidKey, NetworkError, Ok as Fine, ServerError};
    let facts = AnswerFacts { retry_after: "30", ..AnswerFacts::default() };
    for outcome in [Fine, InvalidKey, Forbidden, ServerError, NetworkError, BadRequest, ClientAborted] {
        assert_eq!(told("openai", &facts, outcome), None, "{outcome:?}");
    }
}

/// `a-{b,c}-{d,e}` stands for `a-b-d`, `a-b-e`, `a-c-d`, `a-c-e`.
fn expand(pattern: &str) -> Vec<String> {
    let Some((head, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let (choices, tail) = rest.split_once('}').unwrap();
    choices.split(',').flat_map(|choice| expand(&format!("{head}{choice}{tail}"))).collect()
}

#[test]
fn the_headers_of_use_are_listed() {
    let catalog = catalog();
    let windows = [
        ("anthropic", vec!["anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{reset,remaining}"]),
        ("openai", vec!["x-ratelimit-{reset,remaining}-{requests,tokens,tokens_usage_based}"]),
        ("dalle", vec!["x-ratelimit-{reset,remaining}-{requests,tokens,tokens_usage_based}"]),
        ("openai-tts", vec!["x-ratelimit-{reset,remaining}-{requests,tokens,tokens_usage_based}"]),
        ("openrouter", vec!["x-ratelimit-{reset,remaining}"]),
        ("groq", vec!["x-ratelimit-{reset,remaining}-{requests,tokens}"]),
        ("azure", vec!["x-ratelimit-{limit,reset,remaining}-{requests,tokens}"]),
        ("custom", vec!["x-ratelimit-{reset,remaining}-{requests,tokens}"]),
        ("together", vec!["x-ratelimit-{reset,remaining}"]),
        (
            "cerebras",
            vec![
                "x-ratelimit-{reset,remaining}-requests-{day,hour,minute}",
                "x-ratelimit-{reset,remaining}-tokens-{minute,day}",
            ],
        ),
        ("brave", vec!["x-ratelimit-{limit,reset,remaining}"]),
    ];
    for provider in catalog.providers() {
        let own = windows.iter().find(|(id, _)| *id == provider.id.as_str()).into_iter().flat_map(|(_, own)| own);
        let general = ["retry-after{,-ms}"];
        let mut expected: Vec<_> = own.chain(&general).flat_map(|pattern| expand(pattern)).collect();
        let mut headers = catalog.reset_headers(provider);
        expected.sort_unstable();
        headers.sort_unstable();
        assert_eq!(headers, expected, "{}", provider.id.as_str());
        assert!(headers.len() <= 64, "a report carries at most 64 headers");
    }
}
