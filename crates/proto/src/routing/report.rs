//! Reports of outcomes.

use std::fmt;
use std::time::Duration;

use claviger_core::catalog::Outcome;
use claviger_core::fault::Fault;
use time::OffsetDateTime;

use crate::convert::{self, filled, timestamp};
use crate::routing_v1 as rt;

const LONGEST_ID: usize = 2_048;
const LONGEST_TEXT: usize = 1_024;
const LONGEST_MESSAGE: usize = 4_096;
const MOST_HEADERS: usize = 64;
const MOST_TOKENS: i64 = 1_000_000_000;
const LONGEST_CALL: Duration = Duration::from_secs(24 * 60 * 60);

/// A report whose form has been checked.
#[derive(Debug)]
pub struct Report {
    /// The resolution that it is of, as the caller names it.
    pub resolution_id: String,
    /// What came of the call.
    pub result: CallResult,
    /// As the provider counts them.
    pub input_tokens: u64,
    /// As the provider counts them.
    pub output_tokens: u64,
    /// What the platform's fee per second is for.
    pub duration: Duration,
}

/// What came of a call.
#[derive(Debug)]
pub enum CallResult {
    /// As the caller reads it.
    Outcome(Outcome),
    /// For the catalog to read.
    Answer(Answer),
}

/// What a provider answered. It may echo the key: none of it is shown.
pub struct Answer {
    /// The HTTP status; 0 if there was no answer.
    pub status: u16,
    /// The error's type, code and message, those that are there.
    pub texts: Vec<String>,
    /// When to come again, as the provider puts it.
    pub retry_after: Option<String>,
    /// Names and values.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl TryFrom<rt::ReportOutcomeRequest> for Report {
    type Error = Fault;

    fn try_from(request: rt::ReportOutcomeRequest) -> Result<Self, Fault> {
        use rt::report_outcome_request::Result as Wire;
        if request.resolution_id.is_empty() || request.resolution_id.len() > LONGEST_ID {
            return Err(Fault::field("resolution_id", "must be an id that ResolveKey returned"));
        }
        let unset = || Fault::field("result", "must be set: an outcome, or http");
        let result = match request.result.ok_or_else(unset)? {
            Wire::Outcome(number) => CallResult::Outcome(outcome(number)?),
            Wire::Http(facts) => CallResult::Answer(answer(facts)?),
        };
        let usage = request.usage.unwrap_or_default();
        Ok(Self {
            resolution_id: request.resolution_id,
            result,
            input_tokens: tokens("usage.input_tokens", usage.input_tokens)?,
            output_tokens: tokens("usage.output_tokens", usage.output_tokens)?,
            duration: duration(usage.duration.unwrap_or_default())?,
        })
    }
}

fn outcome(number: i32) -> Result<Outcome, Fault> {
    let known = crate::keyvault_v1::Outcome::try_from(number).ok().and_then(convert::outcome_from);
    known.ok_or_else(|| convert::unknown_enum("outcome"))
}

fn answer(facts: rt::HttpFacts) -> Result<Answer, Fault> {
    let status = u16::try_from(facts.status).ok().filter(|status| matches!(status, 0 | 100..=599));
    let status = status.ok_or_else(|| Fault::field("http.status", "must be an HTTP status, or 0 for no answer"))?;
    let within = |field, text: &str, longest| {
        if text.len() <= longest {
            Ok(())
        } else {
            Err(Fault::field(field, format!("must be at most {longest} bytes")))
        }
    };
    within("http.error_type", &facts.error_type, LONGEST_TEXT)?;
    within("http.error_code", &facts.error_code, LONGEST_TEXT)?;
    within("http.error_message", &facts.error_message, LONGEST_MESSAGE)?;
    within("http.retry_after", &facts.retry_after, LONGEST_TEXT)?;
    if facts.headers.len() > MOST_HEADERS {
        return Err(Fault::field("http.headers", "must be at most 64"));
    }
    for header in &facts.headers {
        within("http.headers.name", &header.name, LONGEST_TEXT)?;
        within("http.headers.value", &header.value, LONGEST_TEXT)?;
    }
    let texts = [facts.error_type, facts.error_code, facts.error_message];
    Ok(Answer {
        status,
        texts: texts.into_iter().filter(|text| !text.is_empty()).collect(),
        retry_after: filled(&facts.retry_after).map(str::to_owned),
        headers: facts.headers.into_iter().map(|header| (header.name, header.value)).collect(),
    })
}

fn tokens(field: &'static str, value: i64) -> Result<u64, Fault> {
    let known = u64::try_from(value).ok().filter(|_| value <= MOST_TOKENS);
    known.ok_or_else(|| Fault::field(field, "must be from 0 to 1,000,000,000"))
}

fn duration(value: prost_types::Duration) -> Result<Duration, Fault> {
    let known = Duration::try_from(value).ok().filter(|duration| *duration <= LONGEST_CALL);
    known.ok_or_else(|| Fault::field("usage.duration", "must be from 0 to 24 hours"))
}

/// How a report was read.
#[must_use]
pub fn report_message(
    outcome: Outcome,
    repeated: bool,
    cooldown_end: Option<OffsetDateTime>,
) -> rt::ReportOutcomeResponse {
    rt::ReportOutcomeResponse {
        outcome: convert::outcome(outcome).into(),
        retryable: outcome.is_retryable(),
        repeated,
        cooldown_end_time: cooldown_end.map(timestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut rt::ReportOutcomeRequest)) -> Result<Report, Fault> {
        let mut request = rt::ReportOutcomeRequest {
            resolution_id: "id".into(),
            result: Some(rt::report_outcome_request::Result::Outcome(1)),
            usage: None,
        };
        change(&mut request);
        request.try_into()
    }

    fn http(change: impl FnOnce(&mut rt::HttpFacts)) -> Result<Report, Fault> {
        let mut facts = rt::HttpFacts { status: 429, error_type: "rate_limit".into(), ..Default::default() };
        change(&mut facts);
        request(|request| request.result = Some(rt::report_outcome_request::Result::Http(facts)))
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_its_field() {
        let usage = |input_tokens, output_tokens, seconds, nanos| {
            let duration = Some(prost_types::Duration { seconds, nanos });
            request(|request| request.usage = Some(rt::CallUsage { input_tokens, output_tokens, duration }))
        };
        let header = rt::Header { name: "x".into(), value: "v".repeat(1_025) };
        for (refused, field) in [
            (request(|r| r.resolution_id.clear()), "resolution_id"),
            (request(|r| r.resolution_id = "x".repeat(2_049)), "resolution_id"),
            (request(|r| r.result = None), "result"),
            (request(|r| r.result = Some(rt::report_outcome_request::Result::Outcome(0))), "outcome"),
            (request(|r| r.result = Some(rt::report_outcome_request::Result::Outcome(99))), "outcome"),
            (usage(-1, 0, 0, 0), "usage.input_tokens"),
            (usage(0, MOST_TOKENS + 1, 0, 0), "usage.output_tokens"),
            (usage(0, 0, -1, 0), "usage.duration"),
            (usage(0, 0, i64::MAX, 0), "usage.duration"),
            (usage(0, 0, 86_400, 1), "usage.duration"),
            (http(|h| h.status = 600), "http.status"),
            (http(|h| h.status = -1), "http.status"),
            (http(|h| h.status = 70_000), "http.status"),
            (http(|h| h.error_message = "x".repeat(4_097)), "http.error_message"),
            (http(|h| h.retry_after = "x".repeat(1_025)), "http.retry_after"),
            (http(|h| h.headers = vec![rt::Header::default(); 65]), "http.headers"),
            (http(|h| h.headers = vec![header]), "http.headers.value"),
        ] {
            assert_eq!(refused.err().and_then(|fault| fault.field), Some(field));
        }
        assert!(usage(MOST_TOKENS, 0, 86_400, 0).is_ok() && http(|h| h.status = 0).is_ok());
    }

    #[test]
    fn an_answer_is_not_shown() {
        let report = http(|facts| facts.error_message = "Incorrect API key: sk-canary".into());
        assert!(report.is_ok_and(|report| !format!("{report:?}").contains("canary")));
    }
}
