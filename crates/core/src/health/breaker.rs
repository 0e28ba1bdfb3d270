//! One key, or one key for one model: well, cooling, or half-open with one call trying it out.

use time::{Duration, OffsetDateTime};

use super::Change;
use crate::catalog::Outcome;
use crate::key::TestResult;

/// How long a call that tries out a key keeps the others away, if it reports nothing.
pub const PROBE_WAIT: Duration = Duration::seconds(30);
/// This many failures of the provider in a row, within [`WINDOW`], begin a cooldown.
const IN_A_ROW: usize = 3;
const WINDOW: Duration = Duration::seconds(60);
/// A cooldown that ran out this long ago says nothing any more.
const FORGOTTEN: Duration = Duration::days(1);
/// Calls from before a recovery fail late, but not as late as this.
const STRAGGLERS: Duration = Duration::minutes(10);
/// A report that a key is rejected says nothing against a live test of no longer ago than this: the vault tests as often.
const TEST_HOLDS: Duration = Duration::seconds(30);
/// A key that others depend on is tried out again after so long, whatever a caller says.
const LONGEST_SHARED: Duration = Duration::minutes(5);
/// Jitter makes a cooldown longer by this part of it at most.
const JITTER: f64 = 0.25;

/// Whether unpinned calls may get a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They may.
    Ready,
    /// One of them may, to try it out for the others: a cooldown has run out.
    HalfOpen,
    /// They may not.
    Cooling(Cooling),
}

impl Standing {
    /// The stricter of two.
    pub(super) fn and(self, other: Self) -> Self {
        let rank = |standing| match standing {
            Self::Ready => (0, None),
            Self::HalfOpen => (1, None),
            Self::Cooling(cooling) => (2, Some(cooling.until)),
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// Whether they may not.
    #[must_use]
    pub fn is_cooling(self) -> bool {
        matches!(self, Self::Cooling(_))
    }
}

/// Why not, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cooling {
    /// When the next of them may.
    pub until: OffsetDateTime,
    /// What was reported.
    pub cause: Outcome,
    /// The cooldown has run out, and a call is trying the key out.
    pub is_probed: bool,
}

/// What a report says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    pub(super) outcome: Outcome,
    /// When the key was handed out.
    pub(super) resolved: OffsetDateTime,
    /// When the provider says that it may be used again.
    pub(super) reset: Option<OffsetDateTime>,
    /// Others than those who report depend on the key.
    pub(super) is_shared: bool,
    pub(super) now: OffsetDateTime,
    pub(super) draw: f64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Breaker {
    /// When the provider failed of late, without another answer between; the newest last.
    failures: Vec<OffsetDateTime>,
    cooldown: Option<Cooldown>,
    /// The call that ended the newest cooldown got the key then.
    well_since: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, Copy)]
struct Cooldown {
    cause: Outcome,
    since: OffsetDateTime,
    until: OffsetDateTime,
    times: u32,
    /// When the call that tries the key out got it.
    probe: Option<OffsetDateTime>,
}

impl Breaker {
    /// `test` is the key's newest live test.
    pub(super) fn standing(&self, test: Option<(TestResult, OffsetDateTime)>, now: OffsetDateTime) -> Standing {
        let matters = |cooldown: &Cooldown| !cooldown.is_disproved(test) && !cooldown.is_forgotten(now);
        let Some(cooldown) = self.cooldown.filter(matters) else {
            return Standing::Ready;
        };
        let cause = cooldown.cause;
        match (cooldown.end(test), cooldown.probe.map(|at| at + PROBE_WAIT)) {
            (until, _) if now < until => Standing::Cooling(Cooling { until, cause, is_probed: false }),
            (_, Some(until)) if now < until => Standing::Cooling(Cooling { until, cause, is_probed: true }),
            _ => Standing::HalfOpen,
        }
    }

    /// Marks the call of this time as the one that tries it out, if someone must.
    pub(super) fn claim(&mut self, test: Option<(TestResult, OffsetDateTime)>, now: OffsetDateTime) {
        if self.standing(test, now) != Standing::HalfOpen {
            return;
        }
        if let Some(cooldown) = &mut self.cooldown {
            cooldown.until = cooldown.end(test);
            cooldown.probe = Some(now);
        }
    }

    /// The call that got the key at this time is over.
    pub(super) fn release(&mut self, resolved: OffsetDateTime) {
        if let Some(cooldown) = self.cooldown.as_mut().filter(|cooldown| cooldown.probe == Some(resolved)) {
            cooldown.probe = None;
        }
    }

    /// The provider answered, so that its failures are not in a row.
    pub(super) fn answered(&mut self) {
        self.failures.clear();
    }

    pub(super) fn take(&mut self, evidence: &Evidence) -> Option<Change> {
        self.cooldown.take_if(|cooldown| cooldown.is_forgotten(evidence.now));
        match evidence.outcome {
            Outcome::BadRequest | Outcome::ClientAborted => None,
            Outcome::Ok => self.succeeded(evidence),
            _ if self.well_since.is_some_and(|well| evidence.resolved < well) => None, // it has been well since
            outcome if is_the_providers(outcome) => self.provider_failed(evidence),
            _ => {
                self.answered();
                self.cool(evidence)
            }
        }
    }

    fn succeeded(&mut self, evidence: &Evidence) -> Option<Change> {
        self.answered();
        // a call from before the failure shows nothing
        self.cooldown.take_if(|cooldown| evidence.resolved >= cooldown.since)?;
        self.well_since = Some(evidence.resolved);
        Some(Change { model: None, cause: Outcome::Ok, since: evidence.now, until: None, times: 0 })
    }

    fn provider_failed(&mut self, evidence: &Evidence) -> Option<Change> {
        let is_known = |cooldown: Cooldown| evidence.resolved >= cooldown.until || is_the_providers(cooldown.cause);
        if self.cooldown.is_some_and(is_known) {
            return self.cool(evidence);
        }
        self.failures.retain(|at| evidence.now - *at <= WINDOW);
        self.failures.push(evidence.now);
        if self.failures.len() < IN_A_ROW {
            return None;
        }
        self.failures.clear();
        self.cool(evidence)
    }

    fn cool(&mut self, evidence: &Evidence) -> Option<Change> {
        let times = match self.cooldown {
            None => 1,
            Some(cooldown) if evidence.resolved >= cooldown.until => cooldown.times.saturating_add(1),
            Some(cooldown) => return self.prolong(cooldown, evidence),
        };
        Some(self.begin(times, evidence))
    }

    /// One more failure of those that the cooldown began for. It counts for what it says beyond them.
    fn prolong(&mut self, cooldown: Cooldown, evidence: &Evidence) -> Option<Change> {
        let is_same = evidence.outcome == cooldown.cause
            || (is_the_providers(evidence.outcome) && is_the_providers(cooldown.cause));
        // rejected once more although it was handed out since: a live test spoke for it in between, or it was pinned
        let again = evidence.outcome == Outcome::InvalidKey && evidence.resolved > cooldown.since;
        let says_more = evidence.reset.is_some() || !is_same || again;
        let until = evidence.until(cooldown.times);
        if !says_more || until <= cooldown.until {
            return None;
        }
        let mut change = self.begin(cooldown.times, evidence);
        if let Some(begun) = self.cooldown.as_mut().filter(|_| is_same && !again) {
            begun.since = cooldown.since; // the same failure: whoever has tried the key out since knows better
            change.since = cooldown.since;
        }
        Some(change)
    }

    fn begin(&mut self, times: u32, evidence: &Evidence) -> Change {
        let (cause, since, until) = (evidence.outcome, evidence.now, evidence.until(times));
        self.cooldown = Some(Cooldown { cause, since, until, times, probe: None });
        Change { model: None, cause, since, until: Some(until), times }
    }

    pub(super) fn until(&self) -> Option<OffsetDateTime> {
        self.cooldown.map(|cooldown| cooldown.until)
    }

    /// Whether nothing that is known matters any more.
    pub(super) fn is_blank(&self, now: OffsetDateTime) -> bool {
        self.failures.iter().all(|at| now - *at > WINDOW)
            && self.cooldown.is_none_or(|cooldown| cooldown.is_forgotten(now))
            && self.well_since.is_none_or(|at| now - at > STRAGGLERS)
    }
}

/// Whether it is the provider that failed, whatever the key.
fn is_the_providers(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Overloaded | Outcome::ServerError | Outcome::NetworkError)
}

impl Cooldown {
    fn is_forgotten(&self, now: OffsetDateTime) -> bool {
        now - self.until > FORGOTTEN
    }

    /// Whether a later live test showed that the provider does accept the key.
    fn is_disproved(&self, test: Option<(TestResult, OffsetDateTime)>) -> bool {
        self.cause == Outcome::InvalidKey && is_ended_by(test, self.cause, self.since - TEST_HOLDS)
    }

    /// When it ends: a later live test that went well lets it be tried out at once.
    fn end(&self, test: Option<(TestResult, OffsetDateTime)>) -> OffsetDateTime {
        match test {
            Some((_, at)) if is_ended_by(test, self.cause, self.since) => self.until.min(at),
            _ => self.until,
        }
    }
}

/// Whether a live test ends a cooldown that began before it: any proof of life that of a rejected key, and a test that went
/// well in every way any other.
pub(crate) fn is_ended_by(test: Option<(TestResult, OffsetDateTime)>, cause: Outcome, since: OffsetDateTime) -> bool {
    let proves = |result: TestResult| result == TestResult::Valid || (cause == Outcome::InvalidKey && result.is_live());
    test.is_some_and(|(result, at)| at >= since && proves(result))
}

impl Evidence {
    /// Until when a key cools after that many failures, one after the other.
    fn until(&self, times: u32) -> OffsetDateTime {
        let until = self.told_or_guessed(times);
        if self.is_shared { until.min(self.now + LONGEST_SHARED) } else { until }
    }

    fn told_or_guessed(&self, times: u32) -> OffsetDateTime {
        if let Some(reset) = self.reset {
            return reset.max(self.now);
        }
        let (first, longest) = match self.outcome {
            Outcome::QuotaExhausted => (Duration::HOUR, Duration::DAY),
            Outcome::RateLimited => (Duration::seconds(5), Duration::minutes(5)),
            Outcome::InvalidKey | Outcome::Forbidden => (Duration::minutes(1), Duration::HOUR),
            _ => (Duration::seconds(10), Duration::minutes(5)),
        };
        let doubled = first * 2_i32.pow(times.saturating_sub(1).min(16));
        self.now + doubled.min(longest) * (1.0 + JITTER * self.draw.clamp(0.0, 1.0))
    }
}
