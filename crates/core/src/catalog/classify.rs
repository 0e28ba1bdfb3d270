//! What a provider's answer means: for the health of a key, and for a live test.

use serde_json::Value;

use super::Catalog;
use super::provider::{LiveTest, Provider};
use super::rule::{Rule, Ruling};

/// What is known of a provider's answer. No rule keeps or repeats any of it: error bodies may echo the key.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpFacts<'a> {
    /// The HTTP status; 0 if there was no answer.
    pub status: u16,
    /// The body, if it is JSON.
    pub body: Option<&'a Value>,
    /// Where there is no body: the error's type, code and message as a caller read them out of it. Each is held against
    /// every text that a rule looks for.
    pub texts: &'a [&'a str],
}

/// What came of a call, as far as the key is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It went well.
    Ok,
    /// The provider rejects the key.
    InvalidKey,
    /// The key is live, but may not do this; or the region is not served.
    Forbidden,
    /// Quota, credit or a spending limit is used up.
    QuotaExhausted,
    /// Too many requests for now.
    RateLimited,
    /// The provider has no capacity for now.
    Overloaded,
    /// The provider failed.
    ServerError,
    /// No answer came.
    NetworkError,
    /// The request was at fault.
    BadRequest,
    /// The caller gave up.
    ClientAborted,
}

impl Outcome {
    /// All of them, in the order of usage.proto.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::InvalidKey,
        Self::Forbidden,
        Self::QuotaExhausted,
        Self::RateLimited,
        Self::Overloaded,
        Self::ServerError,
        Self::NetworkError,
        Self::BadRequest,
        Self::ClientAborted,
    ];

    /// The name in the catalog file, and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::InvalidKey => "invalid_key",
            Self::Forbidden => "forbidden",
            Self::QuotaExhausted => "quota_exhausted",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::NetworkError => "network_error",
            Self::BadRequest => "bad_request",
            Self::ClientAborted => "client_aborted",
        }
    }

    /// Reads that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.as_str() == name)
    }

    /// Whether the same call with the same key can go well later without anybody acting.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Overloaded | Self::ServerError | Self::NetworkError)
    }
}

/// An answer that has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classified<'c> {
    /// What it means.
    pub outcome: Outcome,
    /// Why, in the catalog's words.
    pub reason: Option<&'c str>,
    /// [`Outcome::is_retryable`].
    pub retryable: bool,
}

/// What a live test shows. Reasons are the catalog's or ours; they read on from "Invalid Anthropic key: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestVerdict<'c> {
    /// The provider accepts the key; where the test does not
    /// [prove the key](super::provider::HttpTest::proves_key), that the server answers.
    Valid,
    /// Live, but not allowed what the test asked.
    Restricted {
        /// Why.
        reason: &'c str,
    },
    /// Live, without quota or credit.
    QuotaExhausted {
        /// Why.
        reason: &'c str,
    },
    /// Limited in a way that only live keys are.
    RateLimitedLive,
    /// The provider rejects the key.
    Invalid {
        /// Why.
        reason: &'c str,
    },
    /// The answer proves nothing.
    Inconclusive {
        /// Why.
        reason: &'c str,
    },
}

impl Catalog {
    /// Reads the answer to a call: by the provider's rules, then those of any provider, then by the status.
    #[must_use]
    pub fn classify<'c>(&'c self, provider: &'c Provider, facts: &HttpFacts<'_>) -> Classified<'c> {
        let rule = first_match(&[&provider.rules, &self.rules], facts);
        let (outcome, reason) = match rule {
            Some(Rule { ruling: Ruling::Outcome(outcome), reason, .. }) => (*outcome, reason.as_deref()),
            _ => (by_status(facts.status), None),
        };
        Classified { outcome, reason, retryable: outcome.is_retryable() }
    }

    /// Reads the answer to a live test: by the test's rules, then the provider's, then those of any provider. Without a
    /// rule, only the expected status is a success, and everything else is inconclusive. 429 and 5xx are never
    /// `Invalid`: the catalog refuses such rules.
    #[must_use]
    pub fn test_verdict<'c>(&'c self, provider: &'c Provider, facts: &HttpFacts<'_>) -> TestVerdict<'c> {
        let (own, expect, proves_live) = match &provider.test {
            LiveTest::Http(test) => (&*test.rules, test.expect, test.rate_limited_proves_live),
            LiveTest::TokenExchange(test) => (&*test.rules, 200, false),
            LiveTest::None { reason } => return TestVerdict::Inconclusive { reason },
        };
        let inconclusive = TestVerdict::Inconclusive { reason: proves_nothing(facts.status) };
        match first_match(&[own, &provider.rules, &self.rules], facts) {
            Some(rule) => verdict(rule, proves_live, inconclusive),
            None if facts.status == expect => TestVerdict::Valid,
            None => inconclusive,
        }
    }
}

pub(super) fn first_match<'c>(lists: &[&'c [Rule]], facts: &HttpFacts<'_>) -> Option<&'c Rule> {
    lists.iter().flat_map(|rules| rules.iter()).find(|rule| rule.matches(facts))
}

fn by_status(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Ok,
        300..=499 => Outcome::BadRequest,
        500..=599 => Outcome::ServerError,
        _ => Outcome::NetworkError,
    }
}

fn verdict<'c>(rule: &'c Rule, proves_live: bool, inconclusive: TestVerdict<'c>) -> TestVerdict<'c> {
    let or = |default: &'static str| rule.reason.as_deref().unwrap_or(default);
    let Ruling::Outcome(outcome) = rule.ruling else {
        return rule.reason.as_deref().map_or(inconclusive, |reason| TestVerdict::Inconclusive { reason });
    };
    match outcome {
        Outcome::Ok => TestVerdict::Valid,
        Outcome::InvalidKey => TestVerdict::Invalid { reason: or("the provider rejects it") },
        Outcome::Forbidden => TestVerdict::Restricted { reason: or("it is live, but restricted") },
        Outcome::QuotaExhausted => TestVerdict::QuotaExhausted { reason: or("its quota or credit is used up") },
        Outcome::RateLimited if proves_live => TestVerdict::RateLimitedLive,
        Outcome::RateLimited
        | Outcome::Overloaded
        | Outcome::ServerError
        | Outcome::NetworkError
        | Outcome::BadRequest
        | Outcome::ClientAborted => inconclusive,
    }
}

fn proves_nothing(status: u16) -> &'static str {
    match status {
        429 => "the provider limits requests, which does not show whether it knows the key",
        200..=299 => "the provider's answer is not the expected one",
        300..=399 => "the provider redirected the test, and redirects are not followed",
        404 => "the provider has nothing at the address of the test",
        400..=499 => "the provider refused the test for a reason other than the key",
        500..=599 => "the provider failed to answer",
        _ => "the provider could not be reached",
    }
}
