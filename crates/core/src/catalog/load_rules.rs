//! From a file's rules to rules that can be held against answers.

use serde::Deserialize;

use super::classify::Outcome;
use super::error::Problem;
use super::rule::{BodyMatch, BodyTest, Path, Rule, Ruling, StatusMatch, Until};

/// A rule as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    status: RawStatus,
    field: Option<String>,
    op: Option<String>,
    value: Option<RawValue>,
    outcome: String,
    reason: Option<String>,
    until: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawStatus {
    Number(u16),
    Class(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawValue {
    Text(String),
    Number(i64),
    Texts(Vec<String>),
}

/// A problem and the field of the rule that has it.
pub(super) type RuleProblem = (&'static str, Problem);

impl RawRule {
    /// `of_test`: whether the rule may find an answer inconclusive.
    pub(super) fn build(self, of_test: bool) -> Result<Rule, RuleProblem> {
        let status = self.status.build()?;
        let ruling = ruling(&self.outcome, of_test)?;
        let blameless = matches!(status, StatusMatch::ServerErrors | StatusMatch::Exactly(429 | 500..));
        if blameless && ruling == Ruling::Outcome(Outcome::InvalidKey) {
            return Err(("outcome", Problem::NeverInvalid));
        }
        if self.reason.as_ref().is_some_and(|r| r.trim().is_empty() || r.chars().any(char::is_control)) {
            return Err(("reason", Problem::Empty));
        }
        let body = body(self.field.as_deref(), self.op.as_deref(), self.value)?;
        let until = self.until.map(|name| until(&name, ruling, of_test)).transpose()?;
        Ok(Rule { status, body, ruling, reason: self.reason, until })
    }
}

impl RawStatus {
    fn build(&self) -> Result<StatusMatch, RuleProblem> {
        match self {
            Self::Number(status @ 100..=599) => Ok(StatusMatch::Exactly(*status)),
            Self::Class(class) if class == "5xx" => Ok(StatusMatch::ServerErrors),
            _ => Err(("status", Problem::Status)),
        }
    }
}

fn ruling(name: &str, of_test: bool) -> Result<Ruling, RuleProblem> {
    match Outcome::parse(name) {
        None if name == "inconclusive" && of_test => Ok(Ruling::Inconclusive),
        // these two are no answers
        None | Some(Outcome::NetworkError | Outcome::ClientAborted) => Err(("outcome", Problem::Outcome)),
        Some(outcome) => Ok(Ruling::Outcome(outcome)),
    }
}

fn until(name: &str, ruling: Ruling, of_test: bool) -> Result<Until, RuleProblem> {
    let goes_along = ruling == Ruling::Outcome(Outcome::QuotaExhausted) && !of_test;
    if name == "next_month" && goes_along { Ok(Until::NextMonth) } else { Err(("until", Problem::Until)) }
}

fn body(field: Option<&str>, op: Option<&str>, value: Option<RawValue>) -> Result<Option<BodyMatch>, RuleProblem> {
    let (field, op) = match (field, op) {
        (None, None | Some("any")) if value.is_none() => return Ok(None),
        (None, None | Some("any")) => return Err(("value", Problem::Value)),
        (Some(field), Some(op)) if op != "any" => (field, op),
        _ => return Err(("op", Problem::OpField)),
    };
    let paths: Option<Vec<_>> = field.split('|').map(Path::parse).collect();
    let paths = paths.ok_or(("field", Problem::Path))?;
    Ok(Some(BodyMatch { paths, test: body_test(op, value)? }))
}

fn body_test(op: &str, value: Option<RawValue>) -> Result<BodyTest, RuleProblem> {
    match op {
        "exists" => bare(value, BodyTest::Exists),
        "le_zero" => bare(value, BodyTest::LeZero),
        "is_true" => bare(value, BodyTest::IsTrue),
        "is_false" => bare(value, BodyTest::IsFalse),
        "eq" => one(value).map(|v| BodyTest::Equals(vec![v])),
        "in" => match value {
            Some(RawValue::Texts(_)) => several(value).map(BodyTest::Equals),
            _ => Err(("value", Problem::Value)),
        },
        "contains" => several(value).map(BodyTest::Contains),
        "starts_with" => several(value).map(BodyTest::StartsWith),
        "ge_field" => Path::parse(&one(value)?).map(BodyTest::GeField).ok_or(("value", Problem::Path)),
        _ => Err(("op", Problem::Op)),
    }
}

fn bare(value: Option<RawValue>, test: BodyTest) -> Result<BodyTest, RuleProblem> {
    if value.is_none() { Ok(test) } else { Err(("value", Problem::Value)) }
}

fn one(value: Option<RawValue>) -> Result<String, RuleProblem> {
    match value {
        Some(RawValue::Text(text)) if !text.is_empty() => Ok(text),
        Some(RawValue::Number(number)) => Ok(number.to_string()),
        _ => Err(("value", Problem::Value)),
    }
}

/// An empty text would be contained in any other.
fn several(value: Option<RawValue>) -> Result<Vec<String>, RuleProblem> {
    match value {
        Some(RawValue::Texts(texts)) if !texts.is_empty() && texts.iter().all(|t| !t.is_empty()) => Ok(texts),
        Some(RawValue::Texts(_)) => Err(("value", Problem::Value)),
        other => one(other).map(|text| vec![text]),
    }
}
