//! The forms in which answers tell how long to wait. A text that is none, and a time that is not ahead, tell nothing.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// The form of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Seconds from now: `30`, `1.5`.
    Seconds,
    /// Milliseconds from now.
    Milliseconds,
    /// What Go prints as a duration, from now: `12ms`, `2m59.56s`.
    Duration,
    /// Seconds, or a date in one of the three forms of HTTP (RFC 9110, 5.6.7 and 10.2.3).
    RetryAfter,
    /// A time as RFC 3339 has it.
    Rfc3339,
    /// Seconds since 1970.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
}

/// What counts as forever: the sum of two of these is still a duration.
const FOREVER: f64 = 1e12;

impl Form {
    const ALL: [Self; 7] = [
        Self::Seconds,
        Self::Milliseconds,
        Self::Duration,
        Self::RetryAfter,
        Self::Rfc3339,
        Self::UnixSeconds,
        Self::UnixMillis,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Duration => "duration",
            Self::RetryAfter => "retry_after",
            Self::Rfc3339 => "rfc3339",
            Self::UnixSeconds => "unix_seconds",
            Self::UnixMillis => "unix_millis",
        }
    }

    /// Reads the name in the catalog file.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == name)
    }

    /// How long from `now` on; always above zero.
    pub(super) fn wait(self, text: &str, now: OffsetDateTime) -> Option<Duration> {
        let text = text.trim();
        let since_1970 = now - OffsetDateTime::UNIX_EPOCH;
        let wait = match self {
            Self::Seconds => seconds(decimal(text)?),
            Self::Milliseconds => seconds(decimal(text)? / 1e3),
            Self::Duration => seconds(go_duration(text)?),
            Self::RetryAfter => match decimal(text) {
                Some(number) => seconds(number),
                None => OffsetDateTime::from(httpdate::parse_http_date(text).ok()?) - now,
            },
            Self::Rfc3339 => OffsetDateTime::parse(text, &Rfc3339).ok()? - now,
            Self::UnixSeconds => seconds(decimal(text)?) - since_1970,
            Self::UnixMillis => seconds(decimal(text)? / 1e3) - since_1970,
        };
        wait.is_positive().then_some(wait)
    }
}

fn seconds(number: f64) -> Duration {
    Duration::seconds_f64(number.min(FOREVER))
}

/// A number as headers have it: digits and perhaps a point, no sign, no exponent.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

/// Seconds of a duration such as `1h2m3.5s`.
fn go_duration(text: &str) -> Option<f64> {
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| c != '.' && !c.is_ascii_digit())?);
        let (unit, tail) = tail.split_at(tail.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(tail.len()));
        sum += decimal(number)? * unit_seconds(unit)?;
        rest = tail;
    }
    (!text.is_empty() && f64::is_finite(sum)).then_some(sum)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "h" => Some(3600.0),
        "m" => Some(60.0),
        "s" => Some(1.0),
        "ms" => Some(1e-3),
        "us" | "\u{b5}s" | "\u{3bc}s" => Some(1e-6),
        "ns" => Some(1e-9),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(1994-11-06 08:49:00 UTC);

    #[test]
    fn each_form_is_read() {
        for (form, text, millis) in [
            (Form::Seconds, "30", 30_000),
            (Form::Seconds, " 11.382867097854614 ", 11_382),
            (Form::Seconds, ".5", 500),
            (Form::Milliseconds, "1250", 1_250),
            (Form::Duration, "1s", 1_000),
            (Form::Duration, "12ms", 12),
            (Form::Duration, "6m0s", 360_000),
            (Form::Duration, "2m59.56s", 179_560),
            (Form::Duration, "1h2m3.5s", 3_723_500),
            (Form::Duration, "5000\u{b5}s", 5),
            (Form::RetryAfter, "37", 37_000),
            (Form::RetryAfter, "0.25", 250),
            (Form::RetryAfter, "Sun, 06 Nov 1994 08:49:37 GMT", 37_000),
            (Form::RetryAfter, "Sunday, 06-Nov-94 08:49:37 GMT", 37_000),
            (Form::RetryAfter, "Sun Nov  6 08:49:37 1994", 37_000),
            (Form::Rfc3339, "1994-11-06T08:49:37Z", 37_000),
            (Form::Rfc3339, "1994-11-06T09:49:37.5+01:00", 37_500),
            (Form::UnixSeconds, "784111777", 37_000),
            (Form::UnixMillis, "784111777250", 37_250),
        ] {
            let wait = form.wait(text, NOW).map(Duration::whole_milliseconds);
            assert_eq!(wait, Some(millis), "{form:?} {text}");
        }
    }

    #[test]
    fn what_is_not_of_the_form_or_not_ahead_tells_nothing() {
        for text in [
            "",
            " ",
            ".",
            "0",
            "0s",
            "-1",
            "-1s",
            "+1s",
            "NaN",
            "inf",
            "1e300",
            "0x10",
            "1,5",
            "1.2.3",
            "1 s",
            "s",
            "1d",
            "1s2",
            "soon",
            "\u{661}",
            "1994-11-06T08:48:59Z",
            "1994-11-06 08:49:37",
            "Sun, 06 Nov 1994 08:49:00 GMT",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Thu, 31 Nov 2094 08:49:37 GMT",
        ] {
            for form in Form::ALL {
                assert_eq!(form.wait(text, NOW), None, "{form:?} {text:?}");
            }
        }
        for (form, past) in [(Form::UnixSeconds, "784111740"), (Form::UnixMillis, "784111739999")] {
            assert_eq!(form.wait(past, NOW), None, "{form:?}");
        }
        assert_eq!(Form::Duration.wait("60", NOW), None, "a number alone has no unit");
    }

    proptest! {
        #[test]
        fn no_text_and_no_time_panics(
            text in prop_oneof!["[0-9.]{0,400}[hmsun]{0,2}", "[0-9]{1,4}-[0-9]{2}-[0-9]{2}T23:59:59[+-]23:59", any::<String>()],
            unix in prop_oneof![-377_705_116_800_i64..=253_402_300_799, 0_i64..2_000_000_000],
        ) {
            let now = OffsetDateTime::from_unix_timestamp(unix).unwrap();
            for form in Form::ALL {
                prop_assert!(form.wait(&text, now).is_none_or(Duration::is_positive), "{form:?}");
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for form in Form::ALL {
            assert_eq!(Form::parse(form.as_str()), Some(form));
        }
        assert_eq!(Form::parse("minutes"), None);
    }
}
