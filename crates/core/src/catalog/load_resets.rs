//! From a file's resets to places where answers are looked at.

use serde::Deserialize;
use toml::Value;

use super::classify::Outcome;
use super::document::shape;
use super::error::{CatalogError, Problem};
use super::load_rules::RuleProblem;
use super::reset::{Place, ResetSource, Window};
use super::reset_form::Form;
use super::rule::Path;

/// The `resets` of an entry, or of any provider with `*`.
pub(super) fn build_resets(entry: &str, list: Option<Value>) -> Result<Vec<ResetSource>, CatalogError> {
    let raw: Option<Vec<RawReset>> = list.map(Value::try_into).transpose().map_err(|e| shape(entry, "resets", e))?;
    let build = |(index, reset): (usize, RawReset)| {
        let invalid = |(part, problem)| CatalogError::Invalid {
            entry: entry.to_owned(),
            field: format!("resets[{index}].{part}"),
            problem,
        };
        reset.build().map_err(invalid)
    };
    raw.unwrap_or_default().into_iter().enumerate().map(build).collect()
}

/// A reset as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReset {
    header: Option<String>,
    field: Option<String>,
    form: String,
    position: Option<usize>,
    remaining: Option<String>,
    limit: Option<String>,
    #[serde(default)]
    refills: bool,
    outcome: Option<String>,
}

impl RawReset {
    fn build(self) -> Result<ResetSource, RuleProblem> {
        let place = match (&self.header, &self.field) {
            (Some(name), None) => header("header", name)?,
            (None, Some(path)) => field("field", path)?,
            _ => return Err(("header", Problem::ResetPlace)),
        };
        let form = Form::parse(&self.form).ok_or(("form", Problem::Form))?;
        let entry = match self.position {
            Some(position) if position > 0 && self.header.is_some() => Some(position - 1),
            None => None,
            Some(_) => return Err(("position", Problem::Position)),
        };
        Ok(ResetSource {
            place,
            form,
            entry,
            window: self.window()?,
            outcome: self.outcome.as_deref().map(|name| outcome(name, self.remaining.is_some())).transpose()?,
        })
    }

    fn window(&self) -> Result<Option<Window>, RuleProblem> {
        // all of a window's facts stand in the headers, or all in the body
        let place = if self.header.is_some() { header } else { field };
        let limit = self.limit.as_deref().map(|name| place("limit", name)).transpose()?;
        match &self.remaining {
            Some(name) => Ok(Some(Window { remaining: place("remaining", name)?, limit, refills: self.refills })),
            None if limit.is_some() => Err(("limit", Problem::NoWindow)),
            None if self.refills => Err(("refills", Problem::NoWindow)),
            None => Ok(None),
        }
    }
}

fn header(part: &'static str, name: &str) -> Result<Place, RuleProblem> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    let good = !name.is_empty() && name.bytes().all(token);
    if good { Ok(Place::Header(name.to_ascii_lowercase())) } else { Err((part, Problem::HeaderName)) }
}

fn field(part: &'static str, path: &str) -> Result<Place, RuleProblem> {
    Path::parse(path).map(Place::Field).ok_or((part, Problem::Path))
}

fn outcome(name: &str, of_window: bool) -> Result<Outcome, RuleProblem> {
    match Outcome::parse(name) {
        Some(outcome @ (Outcome::RateLimited | Outcome::QuotaExhausted)) => Ok(outcome),
        Some(Outcome::Overloaded) if !of_window => Ok(Outcome::Overloaded),
        _ => Err(("outcome", Problem::ResetOutcome)),
    }
}
