//! One exchange: a service account's assertion for an access token (RFC 7523, section 2.1).

use claviger_core::catalog::{LiveTest, Provider, ServiceAccount};
use claviger_core::key::TestResult;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::{AccessToken, MintError, assertion};
use crate::verify::{Failure, Finding, Verifier};

/// The longest that Google lets a token live; what a server says beyond is not believed.
const LONGEST_LIFE: Duration = Duration::hours(12);
/// The longest token that is taken, in bytes, as for any secret that becomes a header.
const LONGEST_TOKEN: usize = 16 * 1024;

impl Verifier {
    /// Asks for an access token, where the catalog says.
    pub(in crate::verify) async fn mint(
        &self,
        provider: &Provider,
        account: &SecretString,
        now: OffsetDateTime,
    ) -> Result<AccessToken, MintError> {
        let LiveTest::TokenExchange(exchange) = &provider.test else {
            return Err(unclear("the catalog has no token exchange for this provider", None));
        };
        let account = provider.check_service_account(account.expose_secret()).map_err(unusable)?;
        let answer = self.client.post_form(&exchange.url, form(account, now).await?).await.map_err(unanswered)?;
        let finding = self.finding(provider, &answer);
        match (finding.result, granted(answer.body, now)) {
            (TestResult::Valid, Some(token)) => Ok(token),
            (TestResult::Valid, None) => {
                Err(unclear("the answer to the exchange holds no access token", finding.http_status))
            }
            _ => Err(MintError(finding)),
        }
    }
}

/// Signs aside, as it takes a millisecond or more; the account is dropped with it.
async fn form(account: ServiceAccount, now: OffsetDateTime) -> Result<Zeroizing<Vec<u8>>, MintError> {
    let signed = tokio::task::spawn_blocking(move || assertion::sign(&account, now)).await;
    let assertion = signed.map_err(|_| unclear("signing broke off", None))?.map_err(unusable)?;
    // a JWT has no character that a form would encode
    let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}", *assertion);
    Ok(Zeroizing::new(form.into_bytes()))
}

/// The token of a successful answer (RFC 6749, section 5.1), if it can be used as a bearer's.
fn granted(body: Option<Value>, now: OffsetDateTime) -> Option<AccessToken> {
    let Some(Value::Object(mut fields)) = body else { return None };
    let Some(Value::String(text)) = fields.remove("access_token") else { return None };
    let secret = SecretString::from(text);
    let printable = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if !matches!(secret.expose_secret().len(), 1..=LONGEST_TOKEN) || !printable(secret.expose_secret()) {
        return None;
    }
    let bearer = |kind: &Value| kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !fields.get("token_type").is_none_or(bearer) {
        return None;
    }
    let seconds = fields.get("expires_in")?.as_u64().filter(|seconds| *seconds > 0)?;
    let life = i64::try_from(seconds).map_or(LONGEST_LIFE, Duration::seconds).min(LONGEST_LIFE);
    Some(AccessToken { secret, expire_time: now + life })
}

/// The key file itself cannot sign: no provider has to be asked.
fn unusable(error: impl std::error::Error) -> MintError {
    MintError(Finding::new(TestResult::Invalid, error, None))
}

fn unanswered(failure: Failure) -> MintError {
    match failure {
        Failure::Forbidden(_) => {
            unclear("the catalog's address for it may not be connected to (CLAVIGER_EGRESS_ALLOW can allow it)", None)
        }
        failure => unclear(failure, None),
    }
}

pub(super) fn unclear(detail: impl ToString, http_status: Option<u16>) -> MintError {
    MintError(Finding::new(TestResult::Inconclusive, detail, http_status))
}
