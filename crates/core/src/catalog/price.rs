//! What calls cost: the operator's price list, a part of the catalog file. The built-in catalog has no prices.
//!
//! Whole numbers alone, in millionths of a credit; a charge is rounded once, half up.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::Catalog;
use super::error::Problem;

/// Millionths in a credit.
const MICROS: u64 = 1_000_000;
/// Digits before the point of a price at most.
const MOST_DIGITS: usize = 12;
/// Digits behind it at most.
const DECIMALS: usize = 6;

/// An amount of credits, to the millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Credits(u64);

impl Credits {
    /// So many millionths of a credit.
    #[must_use]
    pub const fn of_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// In millionths of a credit.
    #[must_use]
    pub fn micros(self) -> u64 {
        self.0
    }

    /// Reads a decimal number without sign: up to 12 digits, and up to 6 more behind a point.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number =
            |digits: &str, most| (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole, MOST_DIGITS) || !is_number(decimals, DECIMALS) {
            return None;
        }
        let micros: u64 = format!("{decimals:0<DECIMALS$}").parse().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(MICROS)?.checked_add(micros).map(Self)
    }
}

/// A decimal number, without zeros at its end.
impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, micros) = (self.0 / MICROS, self.0 % MICROS);
        if micros == 0 {
            return write!(f, "{whole}");
        }
        write!(f, "{whole}.{}", format!("{micros:0DECIMALS$}").trim_end_matches('0'))
    }
}

/// What the models of a pattern cost on the platform's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    pattern: Pattern,
    input_per_1000: Credits,
    output_per_1000: Credits,
}

/// A model's name, or the beginning of models' names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
    is_prefix: bool,
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let prefix = text.strip_suffix('*');
        let (text, is_prefix) = (prefix.unwrap_or(text), prefix.is_some());
        let good = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*') && (is_prefix || !text.is_empty());
        good.then(|| Self { text: text.to_owned(), is_prefix })
    }

    /// How much of a model's name it names: the longest wins, a whole name over a beginning of the same length.
    fn fit(&self, model: &str) -> Option<(usize, bool)> {
        let fits = if self.is_prefix { model.starts_with(&self.text) } else { model == self.text };
        fits.then_some((self.text.len(), !self.is_prefix))
    }
}

/// The platform's own fees, whoever pays for the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fees {
    /// For each key that is handed out.
    pub per_call: Credits,
    /// For each second of orchestration that is reported.
    pub per_second: Credits,
}

/// What a report is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metered<'a> {
    /// The catalog id.
    pub provider: &'a str,
    /// Empty where none is known: then a pattern of `*` alone has its price.
    pub model: &'a str,
    /// Whether the operator's key was used. Tokens on any other cost nothing.
    pub platform: bool,
    /// As reported.
    pub input_tokens: u64,
    /// As reported.
    pub output_tokens: u64,
    /// Of the orchestration.
    pub duration: Duration,
}

/// What a report costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charge {
    /// Tokens and the time of orchestration; rounded once, half up. What is too much to count is the most that can be counted.
    pub credits: Credits,
    /// There are tokens on the platform's key, and no price for the model.
    pub is_unpriced: bool,
}

impl Catalog {
    /// The platform's own fees.
    #[must_use]
    pub fn fees(&self) -> Fees {
        self.fees
    }

    /// What a report costs.
    #[must_use]
    pub fn charge(&self, of: &Metered<'_>) -> Charge {
        let has_tokens = of.platform && (of.input_tokens > 0 || of.output_tokens > 0);
        let price = if has_tokens { self.price(of.provider, of.model) } else { None };
        let cost = |tokens: u64, per_1000: Credits| u128::from(tokens) * u128::from(per_1000.0);
        let tokens = price.map_or(0, |price| {
            cost(of.input_tokens, price.input_per_1000).saturating_add(cost(of.output_tokens, price.output_per_1000))
        });
        let time = of.duration.as_micros().saturating_mul(u128::from(self.fees.per_second.0));
        // both over a million: tokens are priced by the thousand, time by the second
        let millionths = tokens.saturating_mul(1_000).saturating_add(time);
        let micros = millionths.saturating_add(500_000) / 1_000_000;
        let credits = Credits(u64::try_from(micros).unwrap_or(u64::MAX));
        Charge { credits, is_unpriced: has_tokens && price.is_none() }
    }

    fn price(&self, provider: &str, model: &str) -> Option<&Price> {
        let prices = &self.provider(provider)?.prices;
        let fitting = prices.iter().filter_map(|price| Some((price.pattern.fit(model)?, price)));
        fitting.max_by_key(|(fit, _)| *fit).map(|(_, price)| price)
    }
}

/// A price as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrice {
    models: Vec<String>,
    input_per_1000: String,
    output_per_1000: String,
}

/// Fees as they stand in the file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFees {
    per_call: Option<String>,
    per_second: Option<String>,
}

/// A problem and the field that has it.
type Wrong = (String, Problem);

/// A provider's prices. No two are for the same pattern.
pub(super) fn prices(raw: Vec<RawPrice>) -> Result<Vec<Price>, Wrong> {
    let mut prices: Vec<Price> = Vec::new();
    for (index, price) in raw.into_iter().enumerate() {
        let at = |field: &str, problem| (format!("price[{index}].{field}"), problem);
        let amount = |field, text: &str| Credits::parse(text).ok_or_else(|| at(field, Problem::Amount));
        let input_per_1000 = amount("input_per_1000", &price.input_per_1000)?;
        let output_per_1000 = amount("output_per_1000", &price.output_per_1000)?;
        if price.models.is_empty() {
            return Err(at("models", Problem::Empty));
        }
        for model in &price.models {
            let pattern = Pattern::parse(model).ok_or_else(|| at("models", Problem::Pattern))?;
            if prices.iter().any(|known| known.pattern == pattern) {
                return Err(at("models", Problem::PricedTwice));
            }
            prices.push(Price { pattern, input_per_1000, output_per_1000 });
        }
    }
    Ok(prices)
}

pub(super) fn fees(raw: &RawFees) -> Result<Fees, Wrong> {
    let fee = |field: &str, text: &Option<String>| match text {
        None => Ok(Credits::default()),
        Some(text) => Credits::parse(text).ok_or_else(|| (format!("fees.{field}"), Problem::Amount)),
    };
    Ok(Fees { per_call: fee("per_call", &raw.per_call)?, per_second: fee("per_second", &raw.per_second)? })
}
