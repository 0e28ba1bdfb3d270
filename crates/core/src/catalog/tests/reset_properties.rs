//! What holds for every answer, however hostile.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, UtcOffset};

use super::super::reset::{MAX_PASSING, MAX_QUOTA};
use super::*;
use Outcome::{Overloaded, QuotaExhausted, RateLimited};

static CATALOG: LazyLock<Catalog> = LazyLock::new(catalog);

#[derive(Debug)]
struct Answer {
    provider: Index,
    outcome: Outcome,
    now: OffsetDateTime,
    status: u16,
    body: Option<Value>,
    retry_after: String,
    /// Which of the provider's headers, and what it says.
    headers: Vec<(Index, String)>,
}

impl Answer {
    fn provider(&self) -> &'static Provider {
        self.provider.get(CATALOG.providers())
    }

    fn headers(&self) -> Vec<(&'static str, &str)> {
        let names = CATALOG.reset_headers(self.provider());
        self.headers.iter().map(|(name, value)| (*name.get(&names), value.as_str())).collect()
    }

    fn reset(&self, headers: &[(&str, &str)]) -> Option<Reset> {
        let http =
            HttpFacts { status: self.status, body: self.body.as_ref(), texts: &["enforced_spend_limit_reached"] };
        let facts = AnswerFacts { http, retry_after: &self.retry_after, headers };
        CATALOG.reset(self.provider(), &facts, self.outcome, self.now)
    }
}

fn times() -> impl Strategy<Value = OffsetDateTime> {
    let all = -377_705_116_800_i64..=253_402_300_799; // -9999-01-01 to 9999-12-31
    let soon = 1_700_000_000_i64..1_900_000_000;
    (prop_oneof![all, soon.clone(), soon], -14_i8..=14).prop_map(|(unix, hours)| {
        let utc = OffsetDateTime::from_unix_timestamp(unix).unwrap();
        utc.checked_to_offset(UtcOffset::from_hms(hours, 0, 0).unwrap()).unwrap_or(utc)
    })
}

const HOSTILE: &[&str] = &[
    "",
    "-1",
    "NaN",
    "inf",
    "-inf",
    "1e300",
    "1e300s",
    "99999999999999999999999",
    "18446744073709551616",
    "9223372036854775807",
    "0,0",
    "0, 0, 0",
    "9999-12-31T23:59:59-23:59",
    "-9999-01-01T00:00:00Z",
    "0000-01-01T00:00:00+23:59",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
];

fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        select(HOSTILE).prop_map(str::to_owned),
        Just("0".to_owned()),
        any::<u64>().prop_map(|n| n.to_string()),
        (1..10_000_u32).prop_map(|n| n.to_string()),
        (1..10_000_u32).prop_map(|n| format!("{n}s")),
        (1..10_000_000_u32).prop_map(|n| format!("{n}, {n}")),
        (0.0..1e7_f64).prop_map(|n| n.to_string()),
        "[0-9.]{0,400}(h|m|s|ms|\u{b5}s|ns)",
        "([0-9]{1,20}(h|m|s|ms|us|ns)){1,6}",
        times().prop_map(|t| t.to_string()),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})",
        "(Mon|Fri), [0-9]{2} (Jan|Feb) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
        "\\PC{0,30}",
        any::<String>(),
    ]
}

/// A body with something at each place where the catalog looks.
fn bodies() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        values().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!([1, {"seconds": 2}])),
    ];
    (value.clone(), value.clone(), value).prop_map(|(a, b, c)| {
        json!({
            "retry_after": a,
            "error": {
                "type": "rate_limit_error",
                "details": [{"retryDelay": b}],
                "metadata": {"headers": {"X-RateLimit-Remaining": c, "X-RateLimit-Reset": a}},
            },
        })
    })
}

fn answers() -> impl Strategy<Value = Answer> {
    let outcome = prop_oneof![
        4 => select(&[RateLimited, QuotaExhausted, Overloaded][..]),
        1 => select(&[Outcome::Ok, Outcome::InvalidKey, Outcome::ServerError, Outcome::BadRequest][..]),
    ];
    let header = (any::<Index>(), prop_oneof![1 => Just("0".to_owned()), 3 => values()]);
    let facts = (prop::option::of(bodies()), values(), prop::collection::vec(header, 0..12));
    (any::<Index>(), outcome, times(), prop_oneof![Just(429), any::<u16>()], facts).prop_map(
        |(provider, outcome, now, status, (body, retry_after, headers))| Answer {
            provider,
            outcome,
            now,
            status,
            body,
            retry_after,
            headers,
        },
    )
}

fn longest(outcome: Outcome) -> Duration {
    if outcome == QuotaExhausted { MAX_QUOTA } else { MAX_PASSING }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reset_is_ahead_and_below_its_cap(answer in answers()) {
        let Some(reset) = answer.reset(&answer.headers()) else { return Ok(()) };
        prop_assert!(reset.until > answer.now);
        prop_assert!(reset.until - answer.now <= longest(reset.outcome));
        let corrected = answer.outcome == RateLimited && reset.outcome == QuotaExhausted;
        prop_assert!(reset.outcome == answer.outcome || corrected);
        prop_assert!(matches!(answer.outcome, RateLimited | QuotaExhausted | Overloaded));
        prop_assert!(!corrected || answer.provider().id.as_str() == "brave", "no other provider tells of a quota's window");
    }

    /// Whatever the windows of an answer say: without a remaining 0, they are as good as not told.
    #[test]
    fn windows_that_are_not_exhausted_change_nothing(answer in answers()) {
        let told = |(name, _): &(&str, &str)| name.starts_with("retry-after");
        let headers: Vec<_> = answer.headers().into_iter().filter(|h| told(h) || !h.0.contains("remaining")).collect();
        let (explicit, windows): (Vec<_>, Vec<_>) = headers.iter().copied().partition(told);
        // twice: two lines of a header are a list of two
        let left = CATALOG.reset_headers(answer.provider()).into_iter().filter(|n| n.contains("remaining"));
        let left = left.flat_map(|name| [(name, "7"), (name, "7")]);
        let left: Vec<_> = left.chain(windows).chain(explicit.clone()).collect();
        prop_assert_eq!(answer.reset(&left), answer.reset(&explicit));
        prop_assert_eq!(answer.reset(&headers), answer.reset(&explicit));
    }
}

/// The properties above would hold if nothing were ever told.
#[test]
fn the_answers_tried_do_tell_of_resets() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<_, u32>::new();
    for _ in 0..4_000 {
        let answer = answers().new_tree(&mut runner).unwrap().current();
        if let Some(reset) = answer.reset(&answer.headers()) {
            let capped = reset.until - answer.now == longest(reset.outcome);
            *seen.entry((reset.outcome.as_str(), capped)).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
    assert!(seen.values().all(|count| *count >= 20), "{seen:?}");
}
