//! How a key's calls have gone of late, as far as they were reported.

use time::OffsetDateTime;

use crate::catalog::Outcome;
use crate::health::is_ended_by;
use crate::ids::ModelId;
use crate::key::KeyTest;

/// Cooldowns that are shown at most.
const MOST_COOLDOWNS: usize = 100;
/// So many reports in a row that a key is rejected count as its provider's word, where that cannot be asked.
pub const REJECTIONS: u32 = 3;

/// What is known of a key's health.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyHealth {
    /// Those that have not run out, the one that lasts longest first.
    pub cooldowns: Vec<Cooldown>,
    /// What the newest report said, and when it came in.
    pub last_outcome: Option<(Outcome, OffsetDateTime)>,
    /// When it was last handed out.
    pub last_use: Option<OffsetDateTime>,
}

/// A time for which a key, or a key for one model, is not handed out to unpinned calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cooldown {
    /// For which model; none for all.
    pub model: Option<ModelId>,
    /// The outcome that began it.
    pub cause: Outcome,
    /// When it began.
    pub since: OffsetDateTime,
    /// When it runs out.
    pub until: OffsetDateTime,
}

/// A key's health in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthStatus {
    /// Nothing was reported.
    Unknown,
    /// No cooldown runs.
    Healthy,
    /// A cooldown of some models runs.
    PartlyCooling,
    /// A cooldown of the whole key runs.
    Cooling,
}

impl KeyHealth {
    /// What of this holds now, and after the key's newest live test.
    #[must_use]
    pub fn at(mut self, now: OffsetDateTime, last_test: Option<&KeyTest>) -> Self {
        let test = last_test.map(|test| (test.result, test.time));
        self.cooldowns.retain(|cooldown| cooldown.until > now && !is_ended_by(test, cooldown.cause, cooldown.since));
        self.cooldowns.sort_by_key(|cooldown| std::cmp::Reverse(cooldown.until));
        self.cooldowns.truncate(MOST_COOLDOWNS);
        self
    }

    /// In a word.
    #[must_use]
    pub fn status(&self) -> HealthStatus {
        if self.cooldowns.iter().any(|cooldown| cooldown.model.is_none()) {
            return HealthStatus::Cooling;
        }
        match (self.cooldowns.is_empty(), self.last_outcome) {
            (false, _) => HealthStatus::PartlyCooling,
            (true, Some(_)) => HealthStatus::Healthy,
            (true, None) => HealthStatus::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use time::macros::datetime;

    use super::*;
    use crate::key::TestResult;

    const NOW: OffsetDateTime = datetime!(2030-06-15 12:00 UTC);

    fn cooldown(model: Option<&str>, began: i64, lasts: i64) -> Cooldown {
        let since = NOW + time::Duration::seconds(began);
        let model = model.map(|model| ModelId::parse(model).unwrap());
        Cooldown { model, cause: Outcome::RateLimited, since, until: since + time::Duration::seconds(lasts) }
    }

    fn health(cooldowns: &[Cooldown]) -> KeyHealth {
        KeyHealth { cooldowns: cooldowns.to_vec(), ..KeyHealth::default() }
    }

    #[test]
    fn a_cooldown_holds_until_it_runs_out_and_the_longest_is_first() {
        let [over, short, long] = [cooldown(None, -60, 60), cooldown(Some("a"), -60, 61), cooldown(Some("b"), -1, 60)];
        let now = health(&[over, short.clone(), long.clone()]).at(NOW, None);
        assert_eq!(now.cooldowns, [long, short]);
        let many: Vec<_> = (0..150).map(|n| cooldown(Some("m"), 0, n + 1)).collect();
        let now = health(&many).at(NOW, None);
        assert_eq!((now.cooldowns.len(), now.cooldowns[0].until), (100, NOW + time::Duration::seconds(150)));
    }

    #[test]
    fn a_live_test_that_went_well_ends_what_began_before_it() {
        let test = |result, began| KeyTest {
            result,
            detail: String::new(),
            time: NOW + time::Duration::seconds(began),
            http_status: None,
            duration: Duration::ZERO,
        };
        let cooling = health(&[cooldown(None, -10, 60)]);
        let left = |test: KeyTest| cooling.clone().at(NOW, Some(&test)).cooldowns.len();
        assert_eq!(left(test(TestResult::Valid, -9)), 0);
        assert_eq!(left(test(TestResult::Valid, -11)), 1);
        assert_eq!(left(test(TestResult::QuotaExhausted, -9)), 1, "live, and no more");
        let rejected = Cooldown { cause: Outcome::InvalidKey, ..cooldown(None, -10, 60) };
        let lifted = health(&[rejected]).at(NOW, Some(&test(TestResult::QuotaExhausted, -9)));
        assert!(lifted.cooldowns.is_empty(), "which is all that was doubted");
        assert_eq!(left(test(TestResult::Inconclusive, -9)), 1);
    }

    #[test]
    fn a_word_sums_it_up() {
        let (all, some) = (cooldown(None, 0, 1), cooldown(Some("a"), 0, 1));
        assert_eq!(health(&[]).status(), HealthStatus::Unknown);
        assert_eq!(health(std::slice::from_ref(&some)).status(), HealthStatus::PartlyCooling);
        assert_eq!(health(&[some, all]).status(), HealthStatus::Cooling);
        let reported = KeyHealth { last_outcome: Some((Outcome::BadRequest, NOW)), ..KeyHealth::default() };
        assert_eq!(reported.status(), HealthStatus::Healthy);
    }
}
