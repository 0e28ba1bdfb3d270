//! Until when: a time, or how long ago.

use std::str::FromStr;

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// A moment in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before(OffsetDateTime);

/// The text is no moment in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a time in the past in RFC 3339, or an age such as 90d or 36h")]
pub struct InvalidBefore;

impl Before {
    /// The moment.
    #[must_use]
    pub fn time(self) -> OffsetDateTime {
        self.0
    }

    fn parse(text: &str, now: OffsetDateTime) -> Option<Self> {
        let time = match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(time) => time,
            Err(_) => now.checked_sub(age(text)?)?,
        };
        (time <= now).then_some(Self(time))
    }
}

fn age(text: &str) -> Option<Duration> {
    let (number, of) = text.strip_suffix('d').map(|n| (n, 24)).or_else(|| Some((text.strip_suffix('h')?, 1)))?;
    let hours = i64::from(number.parse::<u32>().ok()?) * of;
    Some(Duration::hours(hours))
}

impl FromStr for Before {
    type Err = InvalidBefore;

    fn from_str(text: &str) -> Result<Self, InvalidBefore> {
        Self::parse(text, OffsetDateTime::now_utc()).ok_or(InvalidBefore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ages_are_read_and_the_future_is_not() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(100);
        let read = |text| Before::parse(text, now).map(|before| before.time() - OffsetDateTime::UNIX_EPOCH);
        assert_eq!(read("90d"), Some(Duration::days(10)));
        assert_eq!(read("36h"), Some(Duration::hours(2_364)));
        assert_eq!(read("0h"), Some(Duration::days(100)));
        assert_eq!(read("1970-01-02T01:00:00+01:00"), Some(Duration::days(1)));
        for wrong in
            ["", "d", "90", "-1d", "1.5d", "90 d", "90days", "1970-06-01T00:00:00Z", "4294967295d", "1970-01-02"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
