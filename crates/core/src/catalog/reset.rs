//! From when on a key can be used again, as far as the provider's answer tells.
//!
//! Which headers and fields tell it, and in which form, is catalog data; here is how several are weighed. What an
//! answer says is never trusted beyond a cap: a provider, or who pretends to be one, must not put a key out for good.

use time::{Date, Duration, OffsetDateTime, Time};

use super::Catalog;
use super::classify::{HttpFacts, Outcome, first_match};
use super::provider::Provider;
use super::reset_form::Form;
use super::rule::{Path, Ruling, Until};

/// How far ahead a reset of [`Outcome::RateLimited`] and [`Outcome::Overloaded`] can be.
pub const MAX_PASSING: Duration = Duration::hours(1);

/// How far ahead a reset of [`Outcome::QuotaExhausted`] can be: a month and a day.
pub const MAX_QUOTA: Duration = Duration::days(32);

/// What is known of a provider's answer, with what may tell when to come back. Nothing of it is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnswerFacts<'a> {
    /// Status, and body or texts.
    pub http: HttpFacts<'a>,
    /// The value of `Retry-After`, where the caller tells it apart from `headers`; else empty.
    pub retry_after: &'a str,
    /// Names, in any case, and values. [`Catalog::reset_headers`] says which ones are of use.
    pub headers: &'a [(&'a str, &'a str)],
}

/// When a key can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// The outcome that ends then. It differs from the answer's own in one case: a rate limit whose exhausted window is
    /// a quota (Brave's month) is [`Outcome::QuotaExhausted`].
    pub outcome: Outcome,
    /// When: after `now`, and at most [`MAX_PASSING`] or [`MAX_QUOTA`] after it.
    pub until: OffsetDateTime,
}

/// A place where a provider's answers tell when a key can be used again.
#[derive(Debug, Clone, PartialEq)]
pub struct ResetSource {
    pub(super) place: Place,
    pub(super) form: Form,
    /// The entry of a comma-separated list, from 0; for the window's values too.
    pub(super) entry: Option<usize>,
    /// Set if it is told of a window whether or not that one is exhausted; else it is told of this very answer.
    pub(super) window: Option<Window>,
    /// What ends then; without a window, none for any outcome.
    pub(super) outcome: Option<Outcome>,
}

/// The rest of what is told of a window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    pub(super) remaining: Place,
    /// A limit of zero or less is none: some providers tell of windows that they do not count.
    pub(super) limit: Option<Place>,
    /// Whether it comes back bit by bit: its reset is when it is whole again, so that it can be used before.
    pub(super) refills: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// A header, by its name in lower case.
    Header(String),
    /// A value in the body.
    Field(Path),
}

/// What an exhausted window is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WindowKind {
    Quota,
    Fixed,
    Refilling,
}

/// What one answer tells.
struct Told<'a> {
    /// In order.
    sources: Vec<&'a ResetSource>,
    facts: &'a AnswerFacts<'a>,
    now: OffsetDateTime,
}

impl Catalog {
    /// When the key that got this answer can be used again. `None` if the answer does not tell, tells of a time that is
    /// not after `now`, or `outcome` is not one that passes by itself: only [`Outcome::RateLimited`],
    /// [`Outcome::QuotaExhausted`] and [`Outcome::Overloaded`] do.
    ///
    /// The first of these that tells a time decides:
    /// 1. the rule that read the answer ([`Until`]);
    /// 2. an exhausted window that is a quota;
    /// 3. an exhausted window that comes back as a whole;
    /// 4. what is told of this very answer, such as `Retry-After`, in the order of the catalog;
    /// 5. an exhausted window that refills: it is whole again then, and `Retry-After` would be nearer the mark.
    ///
    /// Of several exhausted windows the last to come back counts. One that is not exhausted never does. Windows end
    /// rate limits and quotas; an overload has nothing to do with them, nor has a quota with windows of another kind.
    #[must_use]
    pub fn reset(
        &self,
        provider: &Provider,
        facts: &AnswerFacts<'_>,
        outcome: Outcome,
        now: OffsetDateTime,
    ) -> Option<Reset> {
        cap(outcome)?;
        let told = Told { sources: provider.resets.iter().chain(&self.resets).collect(), facts, now };
        let (may_be_quota, may_be_window) = (outcome != Outcome::Overloaded, outcome == Outcome::RateLimited);
        let quota = || told.of_windows(WindowKind::Quota).filter(|_| may_be_quota);
        if let Some(wait) = self.ruled(provider, facts, outcome, now).or_else(quota) {
            return Reset::after(wait, Outcome::QuotaExhausted, now);
        }
        let window = |kind| told.of_windows(kind).filter(|_| may_be_window);
        let wait =
            window(WindowKind::Fixed).or_else(|| told.of_answer(outcome)).or_else(|| window(WindowKind::Refilling))?;
        Reset::after(wait, outcome, now)
    }

    /// The headers that [`Catalog::reset`] looks at, in lower case: what callers should report of this provider's
    /// answers, besides `Retry-After`.
    #[must_use]
    pub fn reset_headers<'c>(&'c self, provider: &'c Provider) -> Vec<&'c str> {
        let mut names = Vec::new();
        for place in provider.resets.iter().chain(&self.resets).flat_map(ResetSource::places) {
            match place {
                Place::Header(name) if !names.contains(&name.as_str()) => names.push(name.as_str()),
                Place::Header(_) | Place::Field(_) => {}
            }
        }
        names
    }

    /// What the rule that read the answer says of the time.
    fn ruled(
        &self,
        provider: &Provider,
        facts: &AnswerFacts<'_>,
        outcome: Outcome,
        now: OffsetDateTime,
    ) -> Option<Duration> {
        let rule = first_match(&[&provider.rules, &self.rules], &facts.http)?;
        let until = rule.until.filter(|_| rule.ruling == Ruling::Outcome(outcome))?;
        match until {
            Until::NextMonth => next_month(now).map(|first| first - now),
        }
    }
}

impl Reset {
    fn after(wait: Duration, outcome: Outcome, now: OffsetDateTime) -> Option<Self> {
        let until = now.checked_add(wait.min(cap(outcome)?))?;
        Some(Self { outcome, until })
    }
}

impl Told<'_> {
    /// Until the last exhausted window of a kind comes back.
    fn of_windows(&self, kind: WindowKind) -> Option<Duration> {
        let exhausted = self.sources.iter().filter(|source| source.exhausted(self.facts) == Some(kind));
        exhausted.filter_map(|source| source.wait(self.facts, self.now)).max()
    }

    /// What is told of this very answer.
    fn of_answer(&self, outcome: Outcome) -> Option<Duration> {
        let mut sources = self.sources.iter().filter(|source| source.is_of_answer(outcome));
        sources.find_map(|source| source.wait(self.facts, self.now))
    }
}

impl ResetSource {
    /// Whether it is told of an answer with this outcome, rather than of a window.
    fn is_of_answer(&self, outcome: Outcome) -> bool {
        self.window.is_none() && self.outcome.is_none_or(|only| only == outcome)
    }

    /// What kind of window it is told of, if that one is exhausted.
    fn exhausted(&self, facts: &AnswerFacts<'_>) -> Option<WindowKind> {
        let window = self.window.as_ref()?;
        let number = |place: &Place| self.read(place, facts)?.trim().parse::<f64>().ok();
        let counts = window.limit.as_ref().and_then(number).is_none_or(|limit| limit > 0.0);
        // below zero is not exhausted: Azure says -1 where it does not count
        let none_left = number(&window.remaining).is_some_and(|remaining| remaining == 0.0);
        (counts && none_left).then_some(match self.outcome {
            Some(Outcome::QuotaExhausted) => WindowKind::Quota,
            _ if window.refills => WindowKind::Refilling,
            _ => WindowKind::Fixed,
        })
    }

    fn wait(&self, facts: &AnswerFacts<'_>, now: OffsetDateTime) -> Option<Duration> {
        self.form.wait(&self.read(&self.place, facts)?, now)
    }

    fn read(&self, place: &Place, facts: &AnswerFacts<'_>) -> Option<String> {
        match place {
            Place::Field(path) => path.text(facts.http.body?),
            Place::Header(name) => match self.entry {
                None => facts.header(name).next(),
                // several headers of one name are one list (RFC 9110, 5.3)
                Some(entry) => facts.header(name).flat_map(|values| values.split(',')).nth(entry),
            }
            .map(str::to_owned),
        }
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        let of_window = self.window.iter().flat_map(|w| std::iter::once(&w.remaining).chain(&w.limit));
        std::iter::once(&self.place).chain(of_window)
    }
}

impl<'a> AnswerFacts<'a> {
    fn header<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let apart = (name == "retry-after" && !self.retry_after.trim().is_empty()).then_some(self.retry_after);
        apart.into_iter().chain(self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v))
    }
}

fn cap(outcome: Outcome) -> Option<Duration> {
    match outcome {
        Outcome::RateLimited | Outcome::Overloaded => Some(MAX_PASSING),
        Outcome::QuotaExhausted => Some(MAX_QUOTA),
        _ => None,
    }
}

fn next_month(now: OffsetDateTime) -> Option<OffsetDateTime> {
    let today = now.checked_to_utc()?.date();
    let year = today.year() + i32::from(today.month() == time::Month::December);
    let first = Date::from_calendar_date(year, today.month().next(), 1).ok()?;
    Some(first.with_time(Time::MIDNIGHT).assume_utc())
}
