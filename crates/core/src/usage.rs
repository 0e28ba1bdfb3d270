//! Usage: what calls are told apart by, and what is counted of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::catalog::{Charge, Credits, Outcome};
use crate::ids::{AgentId, KeyId, ModelId, ProviderId, SessionId, Tenant, UserId, WorkspaceId};
use crate::journal::{Reported, Use};
use crate::route::Source;

/// A report on a key that was handed out longer ago is not counted. Routing refuses it after an hour; what it took before then
/// is at most this late.
pub const LATEST_REPORT: Duration = Duration::from_secs(90 * 60);

impl Use {
    /// Whose key it was.
    #[must_use]
    pub fn tenant(&self) -> Tenant {
        match self.payer {
            Source::Personal | Source::Workspace => Tenant::Workspace(self.workspace.clone()),
            Source::Platform => Tenant::Platform,
        }
    }
}

impl Reported {
    /// It came in too late to be told from one that was counted before.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.time - self.of.time > LATEST_REPORT
    }
}

/// What usage is kept by: an hour of one caller with one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// Whose calls.
    pub workspace: WorkspaceId,
    /// The hour in which the key was handed out: its beginning, in UTC.
    pub hour: OffsetDateTime,
    /// The person that the calls were made for.
    pub user: Option<UserId>,
    /// The agent that called.
    pub agent: Option<AgentId>,
    /// The session.
    pub session: Option<SessionId>,
    /// Which key.
    pub key: KeyId,
    /// Its provider.
    pub provider: ProviderId,
    /// The model, where one was known.
    pub model: Option<ModelId>,
    /// Whose key it was.
    pub payer: Source,
}

impl Cell {
    /// Where a use is counted.
    #[must_use]
    pub fn of(of: &Use) -> Self {
        Self {
            workspace: of.workspace.clone(),
            hour: hour(of.time),
            user: of.user.clone(),
            agent: of.agent.clone(),
            session: of.session.clone(),
            key: of.key,
            provider: of.provider.clone(),
            model: of.model.clone(),
            payer: of.payer,
        }
    }
}

/// The beginning of a time's hour in UTC.
#[must_use]
pub fn hour(time: OffsetDateTime) -> OffsetDateTime {
    let seconds = time.unix_timestamp();
    OffsetDateTime::from_unix_timestamp(seconds - seconds.rem_euclid(3_600)).unwrap_or(time)
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// How often a key was handed out.
    pub calls: u64,
    /// What came of it, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// As reported.
    pub input_tokens: u64,
    /// As reported.
    pub output_tokens: u64,
    /// What the platform charges.
    pub credits: Credits,
    /// Of orchestrations, as reported.
    pub duration: Duration,
    /// Reports of tokens on the platform's keys that no price is known for.
    pub unpriced_calls: u64,
}

impl Counts {
    /// Counts a key that was handed out, with the fee for it.
    pub fn add_call(&mut self, fee: Credits) {
        self.calls = self.calls.saturating_add(1);
        self.add_credits(fee);
    }

    /// Counts a report, with what it costs.
    pub fn add_report(&mut self, reported: &Reported, charge: Charge) {
        let place = Outcome::ALL.iter().position(|outcome| *outcome == reported.outcome);
        if let Some(count) = place.and_then(|place| self.outcomes.get_mut(place)) {
            *count = count.saturating_add(1);
        }
        self.input_tokens = self.input_tokens.saturating_add(reported.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(reported.output_tokens);
        self.duration = self.duration.saturating_add(reported.duration);
        self.unpriced_calls = self.unpriced_calls.saturating_add(charge.is_unpriced.into());
        self.add_credits(charge.credits);
    }

    fn add_credits(&mut self, credits: Credits) {
        self.credits = Credits::of_micros(self.credits.micros().saturating_add(credits.micros()));
    }
}

/// Whose key it was, as rows, filters and groups name it.
#[must_use]
pub fn payer(source: Source) -> &'static str {
    match source {
        Source::Personal => "PERSONAL_KEY",
        Source::Workspace => "WORKSPACE_KEY",
        Source::Platform => "PLATFORM_KEY",
    }
}

/// A group's usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouped {
    /// One for each dimension that was asked for, in that order.
    pub marks: Vec<Mark>,
    /// Summed up.
    pub counts: Counts,
}

/// What tells a group from others, by one dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Mark {
    /// A name; empty for none.
    Text(String),
    /// A time, in microseconds since 1970.
    Time(i64),
}

/// Who used a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerUse {
    /// Workspace, user, agent and session; empty for none.
    pub caller: [String; 4],
    /// How often.
    pub calls: u64,
    /// When first.
    pub first_use: OffsetDateTime,
    /// When last.
    pub last_use: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;

    fn reported(outcome: Outcome) -> Reported {
        let of = Use {
            workspace: WorkspaceId::parse("acme").unwrap(),
            user: None,
            agent: None,
            session: None,
            key: KeyId::new(Uuid::from_u128(7)),
            secret_version: 1,
            provider: ProviderId::parse("openai").unwrap(),
            model: None,
            payer: Source::Platform,
            time: datetime!(2030-06-15 12:59:59.999_999 UTC),
        };
        Reported {
            replica: Uuid::from_u128(9),
            number: 1,
            outcome,
            input_tokens: 3,
            output_tokens: u64::MAX,
            duration: Duration::from_millis(1),
            time: of.time,
            of,
        }
    }

    #[test]
    fn a_use_belongs_to_the_hour_in_which_the_key_was_handed_out() {
        let mut of = reported(Outcome::Ok).of;
        assert_eq!(Cell::of(&of).hour, datetime!(2030-06-15 12:00 UTC));
        assert_eq!(of.tenant(), Tenant::Platform);
        of.time = datetime!(2030-06-15 13:00 UTC);
        of.payer = Source::Personal;
        assert_eq!(Cell::of(&of).hour, of.time);
        assert_eq!(of.tenant(), Tenant::Workspace(of.workspace.clone()));
    }

    #[test]
    fn reports_add_up_and_never_overflow() {
        let charge = Charge { credits: Credits::of_micros(u64::MAX), is_unpriced: true };
        let mut counts = Counts::default();
        counts.add_call(Credits::of_micros(5));
        counts.add_report(&reported(Outcome::Ok), charge);
        counts.add_report(&reported(Outcome::ClientAborted), charge);
        assert_eq!((counts.calls, counts.outcomes), (1, [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!((counts.input_tokens, counts.output_tokens), (6, u64::MAX));
        assert_eq!((counts.credits.micros(), counts.unpriced_calls), (u64::MAX, 2));
        assert_eq!(counts.duration, Duration::from_millis(2));
    }

    #[test]
    fn a_report_is_late_after_an_hour_and_a_half() {
        let mut report = reported(Outcome::Ok);
        report.time = report.of.time + LATEST_REPORT;
        assert!(!report.is_late());
        report.time += Duration::from_micros(1);
        assert!(report.is_late());
    }
}
