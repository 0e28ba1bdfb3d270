//! Small conversions that both packages share.

use claviger_core::catalog::{AuthType, Outcome};
use claviger_core::fault::Fault;
use claviger_core::key::KeyState;
use claviger_core::workspace::{Consent, DefaultMode};
use prost_types::Timestamp;
use time::OffsetDateTime;

use crate::keyvault_v1 as kv;

/// `None` for the empty string.
pub(crate) fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Parses a field that may be left out.
pub(crate) fn optional<T>(
    field: &'static str,
    text: &str,
    parse: impl Fn(&str) -> Result<T, claviger_core::ids::InvalidId>,
) -> Result<Option<T>, Fault> {
    filled(text).map(parse).transpose().map_err(Fault::id(field))
}

/// The empty string for none.
pub(crate) fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// A time on the wire.
#[must_use]
pub fn timestamp(time: OffsetDateTime) -> Timestamp {
    // nanosecond() is below 10^9
    Timestamp { seconds: time.unix_timestamp(), nanos: i32::try_from(time.nanosecond()).unwrap_or(0) }
}

/// A time between the years 1970 and 9999, to the microsecond.
pub(crate) fn time(field: &'static str, value: &Timestamp) -> Result<OffsetDateTime, Fault> {
    let bad = || Fault::field(field, "must be a time between the years 1970 and 9999");
    if value.seconds < 0 || !(0..1_000_000_000).contains(&value.nanos) {
        return Err(bad());
    }
    let time = OffsetDateTime::from_unix_timestamp(value.seconds).map_err(|_| bad())?;
    let micros = value.nanos.unsigned_abs() / 1_000;
    time.replace_microsecond(micros).map_err(|_| bad())
}

pub(crate) fn auth_type(kind: AuthType) -> kv::AuthType {
    match kind {
        AuthType::ApiKey => kv::AuthType::ApiKey,
        AuthType::ServiceAccountJson => kv::AuthType::ServiceAccountJson,
        AuthType::None => kv::AuthType::None,
    }
}

pub(crate) fn auth_type_from(kind: kv::AuthType) -> Option<AuthType> {
    match kind {
        kv::AuthType::Unspecified => None,
        kv::AuthType::ApiKey => Some(AuthType::ApiKey),
        kv::AuthType::ServiceAccountJson => Some(AuthType::ServiceAccountJson),
        kv::AuthType::None => Some(AuthType::None),
    }
}

pub(crate) fn state(state: KeyState) -> kv::provider_key::State {
    use kv::provider_key::State;
    match state {
        KeyState::Active => State::Active,
        KeyState::Disabled => State::Disabled,
        KeyState::Invalid => State::Invalid,
        KeyState::Revoked => State::Revoked,
        KeyState::Purged => State::Purged,
    }
}

pub(crate) fn state_from(state: kv::provider_key::State) -> Option<KeyState> {
    use kv::provider_key::State;
    match state {
        State::Unspecified => None,
        State::Active => Some(KeyState::Active),
        State::Disabled => Some(KeyState::Disabled),
        State::Invalid => Some(KeyState::Invalid),
        State::Revoked => Some(KeyState::Revoked),
        State::Purged => Some(KeyState::Purged),
    }
}

/// What came of a call, on the wire.
#[must_use]
pub fn outcome(outcome: Outcome) -> kv::Outcome {
    match outcome {
        Outcome::Ok => kv::Outcome::Ok,
        Outcome::InvalidKey => kv::Outcome::InvalidKey,
        Outcome::Forbidden => kv::Outcome::Forbidden,
        Outcome::QuotaExhausted => kv::Outcome::QuotaExhausted,
        Outcome::RateLimited => kv::Outcome::RateLimited,
        Outcome::Overloaded => kv::Outcome::Overloaded,
        Outcome::ServerError => kv::Outcome::ServerError,
        Outcome::NetworkError => kv::Outcome::NetworkError,
        Outcome::BadRequest => kv::Outcome::BadRequest,
        Outcome::ClientAborted => kv::Outcome::ClientAborted,
    }
}

/// Reads what [`outcome`] wrote.
pub(crate) fn outcome_from(outcome: kv::Outcome) -> Option<Outcome> {
    Some(match outcome {
        kv::Outcome::Unspecified => return None,
        kv::Outcome::Ok => Outcome::Ok,
        kv::Outcome::InvalidKey => Outcome::InvalidKey,
        kv::Outcome::Forbidden => Outcome::Forbidden,
        kv::Outcome::QuotaExhausted => Outcome::QuotaExhausted,
        kv::Outcome::RateLimited => Outcome::RateLimited,
        kv::Outcome::Overloaded => Outcome::Overloaded,
        kv::Outcome::ServerError => Outcome::ServerError,
        kv::Outcome::NetworkError => Outcome::NetworkError,
        kv::Outcome::BadRequest => Outcome::BadRequest,
        kv::Outcome::ClientAborted => Outcome::ClientAborted,
    })
}

pub(crate) fn default_mode(mode: DefaultMode) -> kv::DefaultMode {
    match mode {
        DefaultMode::Auto => kv::DefaultMode::Auto,
        DefaultMode::Metered => kv::DefaultMode::Metered,
    }
}

/// A mode that may be left out.
pub(crate) fn default_mode_from(field: &'static str, number: i32) -> Result<Option<DefaultMode>, Fault> {
    match kv::DefaultMode::try_from(number) {
        Ok(kv::DefaultMode::Unspecified) => Ok(None),
        Ok(kv::DefaultMode::Auto) => Ok(Some(DefaultMode::Auto)),
        Ok(kv::DefaultMode::Metered) => Ok(Some(DefaultMode::Metered)),
        Err(_) => Err(unknown_enum(field)),
    }
}

pub(crate) fn consent(consent: Consent) -> kv::FallbackConsent {
    match consent {
        Consent::Never => kv::FallbackConsent::Never,
        Consent::NoKey => kv::FallbackConsent::NoKey,
        Consent::Any => kv::FallbackConsent::Any,
    }
}

/// A consent that may be left out; an unknown number is refused, never taken for a loose one.
pub(crate) fn consent_from(field: &'static str, number: i32) -> Result<Option<Consent>, Fault> {
    match kv::FallbackConsent::try_from(number) {
        Ok(kv::FallbackConsent::Unspecified) => Ok(None),
        Ok(kv::FallbackConsent::Never) => Ok(Some(Consent::Never)),
        Ok(kv::FallbackConsent::NoKey) => Ok(Some(Consent::NoKey)),
        Ok(kv::FallbackConsent::Any) => Ok(Some(Consent::Any)),
        Err(_) => Err(unknown_enum(field)),
    }
}

pub(crate) fn unknown_enum(field: &'static str) -> Fault {
    Fault::field(field, "must be one of the values that its enum documents")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn hostile_times_are_refused() {
        for (seconds, nanos) in [(-1, 0), (i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(time("t", &Timestamp { seconds, nanos }).is_err(), "{seconds} {nanos}");
        }
        let now = Timestamp { seconds: 1_800_000_000, nanos: 123_456_000 };
        assert_eq!(timestamp(time("t", &now).unwrap()), now);
    }

    #[test]
    fn an_unknown_consent_is_never_taken_for_a_loose_one() {
        assert!(consent_from("c", 99).is_err());
        assert_eq!(consent_from("c", 0), Ok(None));
    }
}
