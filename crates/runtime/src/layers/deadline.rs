//! No call without an end.

use std::{future::Future, time::Duration};

use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tonic::{Status, body::Body};

use super::{methods::Method, refuse};

/// Of a call that names none.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// The most that a caller gets.
pub const MAX_DEADLINE: Duration = Duration::from_secs(60);

/// When a unary call ends at the latest. In request extensions; streams have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// What is left; zero if it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

pub(super) fn take(request: &mut Request<Body>, method: &Method) -> Option<Deadline> {
    if method.stream {
        return None;
    }
    let timeout = asked(request.headers()).unwrap_or(DEFAULT_DEADLINE).min(MAX_DEADLINE);
    let deadline = Deadline(Instant::now() + timeout);
    request.extensions_mut().insert(deadline);
    Some(deadline)
}

/// Answers when the deadline passes; the handler is dropped at its next await.
pub(super) async fn within(deadline: Option<Deadline>, inner: impl Future<Output = Response<Body>>) -> Response<Body> {
    let Some(Deadline(at)) = deadline else {
        return inner.await;
    };
    match tokio::time::timeout_at(at, inner).await {
        Ok(response) => response,
        Err(_) => refuse(Status::deadline_exceeded("the deadline passed before the call finished")),
    }
}

/// `grpc-timeout`: up to eight digits and a unit (gRPC over HTTP/2, "Timeout"). Anything else counts as absent.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn parsed(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        asked(&headers)
    }

    #[test]
    fn the_timeout_header_is_read_as_the_specification_says() {
        assert_eq!(parsed("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parsed("3M"), Some(Duration::from_secs(180)));
        assert_eq!(parsed("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(parsed("5m"), Some(Duration::from_millis(5)));
        assert_eq!(parsed("6u"), Some(Duration::from_micros(6)));
        assert_eq!(parsed("7n"), Some(Duration::from_nanos(7)));
        for bad in ["", "S", "5", "5s", "-5S", "+5S", "999999999S", "5 S", "5.0S"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
