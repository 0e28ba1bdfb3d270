//! Live tests: ask a provider whether it knows a key.
//!
//! The secret goes to the key's own destination alone, over a connection that is made for it and closed after it;
//! redirects are not followed, and what the provider answers is read for its meaning and never passed on.

mod client;
mod egress;
mod outbound;
mod token;

use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_core::catalog::{AuthType, Catalog, HttpFacts, LiveTest, Provider, TestVerdict};
use claviger_core::command::Verification;
use claviger_core::fault::Fault;
use claviger_core::key::{KeyTest, TestResult};
use claviger_core::reason::Reason;
use secrecy::SecretString;
use time::OffsetDateTime;

pub use client::{Answer, Client, ClientError, Failure};
pub use egress::{Egress, Forbidden};
pub use outbound::{EgressProxy, ExtraRoots, Outbound, ProxyError, RootsError};
pub use token::{AccessToken, MintError, TokenFor, Tokens};

use crate::usecase::{destination, now};

const ACCEPTED: &str = "the provider accepts it";
/// When a provider that limited or could not answer a test is worth asking again.
const RETRY: Duration = Duration::from_secs(30);

/// Tests keys at their providers.
#[derive(Debug, Clone)]
pub struct Verifier {
    catalog: Arc<Catalog>,
    client: Client,
}

/// What is tested.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The key's provider.
    pub provider: &'a Provider,
    /// How the secret authenticates.
    pub auth_type: AuthType,
    /// The secret, if there is one.
    pub secret: Option<&'a SecretString>,
    /// The key's own destination.
    pub base_url: Option<&'a str>,
    /// The key's cloud region.
    pub location: Option<&'a str>,
}

/// What a provider's answer, or its silence, shows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it shows.
    pub result: TestResult,
    /// Why, in our own words.
    pub detail: String,
    /// The provider's HTTP status, if it answered.
    pub http_status: Option<u16>,
}

impl Finding {
    fn new(result: TestResult, detail: impl ToString, http_status: Option<u16>) -> Self {
        Self { result, detail: detail.to_string(), http_status }
    }
}

impl Verifier {
    /// Over an HTTP client.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, client: Client) -> Self {
        Self { catalog, client }
    }

    /// Where tests may go.
    #[must_use]
    pub fn egress(&self) -> &Egress {
        self.client.egress()
    }

    /// Tests a key live, once. A service account is tested by the exchange that its access tokens come from.
    ///
    /// # Errors
    /// `BASE_URL_NOT_ALLOWED` when the destination turns out to be a forbidden address.
    pub async fn test(&self, subject: &Subject<'_>) -> Result<KeyTest, Fault> {
        let start = Instant::now();
        let finding = match (&subject.provider.test, subject.auth_type, subject.secret) {
            (LiveTest::TokenExchange(_), AuthType::ServiceAccountJson, Some(account)) => {
                self.try_exchange(subject.provider, account).await
            }
            // a key file is no header: it is never sent
            (LiveTest::Http(_), AuthType::ApiKey | AuthType::None, _) => match self.try_request(subject).await? {
                Some(finding) => finding,
                None => return Ok(skipped(&no_test(subject.provider), now())),
            },
            _ => return Ok(skipped(&no_test(subject.provider), now())),
        };
        let Finding { result, detail, http_status } = finding;
        // to the microsecond, as rows keep it: what is answered now is what is shown later
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(KeyTest { result, detail, time: now(), http_status, duration: Duration::from_micros(micros) })
    }

    /// Whether there is a test that can be made of a key.
    #[must_use]
    pub fn can_test(provider: &Provider, auth_type: AuthType, base_url: Option<&str>, location: Option<&str>) -> bool {
        match (&provider.test, auth_type) {
            (LiveTest::TokenExchange(_), AuthType::ServiceAccountJson) => true,
            (LiveTest::Http(_), AuthType::ApiKey | AuthType::None) => {
                provider.test_request(base_url, location).is_some()
            }
            _ => false,
        }
    }

    async fn try_exchange(&self, provider: &Provider, account: &SecretString) -> Finding {
        match self.mint(provider, account, OffsetDateTime::now_utc()).await {
            Ok(_token) => Finding::new(TestResult::Valid, ACCEPTED, Some(200)),
            Err(MintError(finding)) => finding,
        }
    }

    async fn try_request(&self, subject: &Subject<'_>) -> Result<Option<Finding>, Fault> {
        let Some(request) = subject.provider.test_request(subject.base_url, subject.location) else { return Ok(None) };
        match self.client.send(&request, subject).await {
            Ok(answer) => Ok(Some(self.finding(subject.provider, &answer))),
            Err(Failure::Forbidden(forbidden)) => Err(destination::forbidden(forbidden)),
            Err(failure) => Ok(Some(Finding::new(TestResult::Inconclusive, failure, None))),
        }
    }

    fn finding(&self, provider: &Provider, answer: &Answer) -> Finding {
        let facts = HttpFacts { status: answer.status, body: answer.body.as_ref(), texts: &[] };
        let (result, detail) = match self.catalog.test_verdict(provider, &facts) {
            TestVerdict::Valid if proves_key(provider) => (TestResult::Valid, ACCEPTED),
            TestVerdict::Valid => (TestResult::Valid, "the server answers; it may not look at keys for this"),
            TestVerdict::Restricted { reason } => (TestResult::Restricted, reason),
            TestVerdict::QuotaExhausted { reason } => (TestResult::QuotaExhausted, reason),
            TestVerdict::RateLimitedLive => (TestResult::RateLimited, "it is live; the provider limited the test"),
            TestVerdict::Invalid { reason } => (TestResult::Invalid, reason),
            TestVerdict::Inconclusive { reason } => (TestResult::Inconclusive, reason),
        };
        Finding::new(result, detail, Some(answer.status))
    }
}

fn proves_key(provider: &Provider) -> bool {
    matches!(&provider.test, LiveTest::Http(test) if test.proves_key)
        || matches!(&provider.test, LiveTest::TokenExchange(_))
}

/// A test that was not made, and why.
#[must_use]
pub fn skipped(why: &str, now: OffsetDateTime) -> KeyTest {
    KeyTest {
        result: TestResult::Skipped,
        detail: why.to_owned(),
        time: now,
        http_status: None,
        duration: Duration::ZERO,
    }
}

fn no_test(provider: &Provider) -> String {
    match &provider.test {
        LiveTest::None { reason } => format!("not tested: {reason}"),
        _ => format!("not tested: {} keys cannot be tested by one request", provider.name),
    }
}

/// Whether a new secret may be stored after its test.
///
/// # Errors
/// `INVALID_PROVIDER_KEY` for one that its provider rejects; `VERIFICATION_UNAVAILABLE` where the test proves nothing and
/// the caller requires a proof.
pub fn accept(provider: &Provider, test: &KeyTest, verification: Verification) -> Result<(), Fault> {
    match (test.result, verification) {
        (TestResult::Invalid, _) => {
            let message = format!("Invalid {} key: {}", provider.name, test.detail);
            Err(Fault::new(Reason::InvalidProviderKey, message).at("secret"))
        }
        (TestResult::Inconclusive, Verification::Require) => {
            let message = format!(
                "{} could not tell whether the key is valid: {}; verification IF_POSSIBLE stores it all the same",
                provider.name, test.detail
            );
            Err(Fault::new(Reason::VerificationUnavailable, message).retry_after(RETRY))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
