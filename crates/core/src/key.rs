//! A provider key, as the vault keeps it: everything about it but the secret.

use std::time::Duration;

use time::OffsetDateTime;

use crate::catalog::AuthType;
use crate::ids::{KeyName, KeySlug, ModelId, ProviderId};

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Usable.
    Active,
    /// Switched off by its owner.
    Disabled,
    /// Rejected by its provider in a live test.
    Invalid,
    /// Revoked: never used again.
    Revoked,
    /// Revoked, and its ciphertext destroyed.
    Purged,
}

impl KeyState {
    /// The name in rows and audit events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Disabled => "DISABLED",
            Self::Invalid => "INVALID",
            Self::Revoked => "REVOKED",
            Self::Purged => "PURGED",
        }
    }

    /// Reads a name from a row.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Disabled, Self::Invalid, Self::Revoked, Self::Purged]
            .into_iter()
            .find(|s| s.as_str() == name)
    }

    /// Ended for good, whether its ciphertext is left or not.
    #[must_use]
    pub fn is_revoked(self) -> bool {
        matches!(self, Self::Revoked | Self::Purged)
    }

    /// The state after its owner switched it off or on. A key that its provider rejected stays so.
    #[must_use]
    pub fn switched(self, disabled: bool, last_test: Option<&KeyTest>) -> Self {
        let rejected = last_test.is_some_and(|test| test.result == TestResult::Invalid);
        match (self, disabled) {
            (Self::Active | Self::Invalid, true) => Self::Disabled,
            (Self::Disabled, false) if rejected => Self::Invalid,
            (Self::Disabled, false) => Self::Active,
            (state, _) => state,
        }
    }

    /// The state after another secret was put in: a new secret is a new chance, but what its owner switched off stays off.
    #[must_use]
    pub fn with_new_secret(self) -> Self {
        match self {
            Self::Active | Self::Invalid => Self::Active,
            state => state,
        }
    }

    /// The state after a live test, with what the one before showed. Only a clear yes or no moves it, and only between ACTIVE
    /// and INVALID. Where no test can be made (SKIPPED), reports alone made the key INVALID, unless a test did: then whoever
    /// asks for one gives it another chance.
    #[must_use]
    pub fn after_test(self, result: TestResult, before: Option<TestResult>) -> Self {
        match (self, result) {
            (Self::Active, TestResult::Invalid) => Self::Invalid,
            (Self::Invalid, TestResult::Skipped) if before != Some(TestResult::Invalid) => Self::Active,
            (Self::Invalid, result) if result.is_live() => Self::Active,
            (state, _) => state,
        }
    }

    /// The state after callers reported often enough that a provider that cannot be asked rejects the key.
    #[must_use]
    pub fn after_rejections(self) -> Self {
        if self == Self::Active { Self::Invalid } else { self }
    }
}

/// What a live test showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TestResult {
    /// The provider accepts the key.
    Valid,
    /// Live, but not allowed what the test asked.
    Restricted,
    /// Live, without quota or credit.
    QuotaExhausted,
    /// Limited in a way that only live keys are.
    RateLimited,
    /// The provider rejects the key.
    Invalid,
    /// The provider was not reached, or its answer proves nothing.
    Inconclusive,
    /// Not tested.
    Skipped,
}

impl TestResult {
    const ALL: [Self; 7] = [
        Self::Valid,
        Self::Restricted,
        Self::QuotaExhausted,
        Self::RateLimited,
        Self::Invalid,
        Self::Inconclusive,
        Self::Skipped,
    ];

    /// The name in rows and audit events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "VALID",
            Self::Restricted => "RESTRICTED",
            Self::QuotaExhausted => "QUOTA_EXHAUSTED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Invalid => "INVALID",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Skipped => "SKIPPED",
        }
    }

    /// Reads a name from a row.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == name)
    }

    /// The provider knows the key.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Valid | Self::Restricted | Self::QuotaExhausted | Self::RateLimited)
    }
}

/// One live test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTest {
    /// What it showed.
    pub result: TestResult,
    /// Why, in our own words.
    pub detail: String,
    /// When it ended.
    pub time: OffsetDateTime,
    /// The provider's HTTP status, if it answered.
    pub http_status: Option<u16>,
    /// How long the provider took.
    pub duration: Duration,
}

/// What people see of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// The first 8 characters and `***`; `***` alone for a secret shorter than 16.
    pub masked: String,
    /// The last 4 characters; empty for a secret shorter than 16.
    pub last_four: String,
}

impl Mask {
    /// Masks a text of ASCII characters.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        match (secret.len() >= 16, secret.get(..8), secret.get(secret.len().saturating_sub(4)..)) {
            (true, Some(first), Some(last)) => Self { masked: format!("{first}***"), last_four: last.to_owned() },
            _ => Self { masked: "***".to_owned(), last_four: String::new() },
        }
    }

    /// For a key without a secret.
    #[must_use]
    pub fn none() -> Self {
        Self { masked: String::new(), last_four: String::new() }
    }
}

/// How a key ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub time: OffsetDateTime,
    /// By which identity.
    pub actor: String,
    /// What it said; may be empty.
    pub reason: String,
}

/// A stored key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderKey {
    /// Its owner and id.
    pub name: KeyName,
    /// Its provider.
    pub provider: ProviderId,
    /// How its secret authenticates.
    pub auth_type: AuthType,
    /// What callers pin it by.
    pub slug: KeySlug,
    /// For people: at most 128 characters.
    pub label: String,
    /// What people see of the secret.
    pub mask: Mask,
    /// 0 is tried first.
    pub priority: i32,
    /// Its own destination, in canonical form.
    pub base_url: Option<String>,
    /// Its cloud region.
    pub location: Option<String>,
    /// The only models it may be used for; empty is all.
    pub allowed_models: Vec<ModelId>,
    /// Where it is in its life.
    pub state: KeyState,
    /// Counts its secrets, from 1.
    pub secret_version: u32,
    /// Its newest live test.
    pub last_test: Option<KeyTest>,
    /// When it was stored.
    pub create_time: OffsetDateTime,
    /// By which identity.
    pub creator: String,
    /// When the row last changed.
    pub update_time: OffsetDateTime,
    /// When it stops being used.
    pub expire_time: Option<OffsetDateTime>,
    /// How it ended.
    pub revocation: Option<Revocation>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_show_nothing_of_short_secrets() {
        assert_eq!(Mask::of("sk-ant-api03-abcdefgh1234").masked, "sk-ant-a***");
        assert_eq!(Mask::of("sk-ant-api03-abcdefgh1234").last_four, "1234");
        let short = Mask::of("123456789012345");
        assert_eq!((short.masked.as_str(), short.last_four.as_str()), ("***", ""));
    }

    #[test]
    fn only_a_clear_answer_moves_the_state() {
        use KeyState::{Active, Disabled, Invalid, Purged, Revoked};
        for result in TestResult::ALL {
            let expected = if result == TestResult::Invalid { Invalid } else { Active };
            assert_eq!(Active.after_test(result, None), expected);
            let expected = if result.is_live() { Active } else { Invalid };
            assert_eq!(Invalid.after_test(result, Some(TestResult::Invalid)), expected);
            for fixed in [Disabled, Revoked, Purged] {
                assert_eq!(fixed.after_test(result, None), fixed);
            }
        }
    }

    #[test]
    fn what_reports_alone_say_holds_until_someone_asks_for_a_test_that_cannot_be_made() {
        use KeyState::{Active, Disabled, Invalid, Purged, Revoked};
        assert_eq!(Active.after_rejections(), Invalid);
        for fixed in [Disabled, Invalid, Revoked, Purged] {
            assert_eq!(fixed.after_rejections(), fixed);
        }
        for before in [None, Some(TestResult::Skipped), Some(TestResult::Valid), Some(TestResult::Inconclusive)] {
            assert_eq!(Invalid.after_test(TestResult::Skipped, before), Active);
            assert_eq!(Invalid.after_test(TestResult::Inconclusive, before), Invalid);
        }
        assert_eq!(Disabled.after_test(TestResult::Skipped, None), Disabled);
    }

    #[test]
    fn a_new_secret_is_a_new_chance_and_switches_nothing_on() {
        use KeyState::{Active, Disabled, Invalid, Purged, Revoked};
        assert_eq!([Active, Invalid].map(KeyState::with_new_secret), [Active, Active]);
        for fixed in [Disabled, Revoked, Purged] {
            assert_eq!(fixed.with_new_secret(), fixed);
        }
    }

    #[test]
    fn names_round_trip() {
        for result in TestResult::ALL {
            assert_eq!(TestResult::parse(result.as_str()), Some(result));
        }
        assert_eq!(KeyState::parse("PURGED"), Some(KeyState::Purged));
        assert_eq!(KeyState::parse("purged"), None);
    }
}
