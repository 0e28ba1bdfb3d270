//! The provider, in which each key has its own trouble.

use time::{Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time};

use super::START;

/// What befalls a key.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    None,
    /// So many calls in each window; `told` in `retry-after`.
    Limit {
        calls: u32,
        window: Duration,
        told: bool,
    },
    /// So many calls in each month; `told` in a header.
    MonthlyQuota {
        calls: u32,
        told: bool,
    },
    /// The provider fails again and again, and one call in fifty in between.
    Flapping {
        up: Duration,
        down: Duration,
    },
    /// The provider does not know the key any more.
    Revoked {
        after: Duration,
    },
}

/// What the provider answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) retry_after: Option<i64>,
}

impl Reply {
    pub(super) fn is_ok(&self) -> bool {
        self.status == 200
    }
}

pub(super) struct Provider {
    troubles: Vec<Trouble>,
    /// Of each key: the window that it is in, and how many calls it has had there.
    used: Vec<(OffsetDateTime, u32)>,
    calls: u32,
}

impl Provider {
    pub(super) fn new(troubles: impl Into<Vec<Trouble>>) -> Self {
        let troubles = troubles.into();
        Self { used: vec![(START, 0); troubles.len()], troubles, calls: 0 }
    }

    /// A call with a key.
    pub(super) fn call(&mut self, key: usize, now: OffsetDateTime) -> Reply {
        let reply = self.reply(key, now);
        self.calls += 1;
        if matches!(self.troubles[key], Trouble::Flapping { .. }) && self.calls.is_multiple_of(50) {
            return Reply { status: 500, ..Reply::default() };
        }
        if let Some(end) = self.window_end(key, now) {
            if self.used[key].0 != end {
                self.used[key] = (end, 0);
            }
            self.used[key].1 += u32::from(reply.is_ok());
        }
        reply
    }

    /// Whether a call with a key would go well.
    pub(super) fn is_well(&self, key: usize, now: OffsetDateTime) -> bool {
        self.reply(key, now).is_ok()
    }

    /// Whether the provider knows a key.
    pub(super) fn knows(&self, key: usize, now: OffsetDateTime) -> bool {
        self.reply(key, now).status != 401
    }

    fn reply(&self, key: usize, now: OffsetDateTime) -> Reply {
        let fine = Reply { status: 200, ..Reply::default() };
        let used = |end| if self.used[key].0 == end { self.used[key].1 } else { 0 };
        let Some(end) = self.window_end(key, now) else {
            return match self.troubles[key] {
                Trouble::Flapping { up, down }
                    if (now - START).as_seconds_f64() % (up + down).as_seconds_f64() >= up.as_seconds_f64() =>
                {
                    Reply { status: 500, ..Reply::default() }
                }
                Trouble::Revoked { after } if now - START >= after => {
                    Reply { status: 401, code: "invalid_api_key", retry_after: None }
                }
                _ => fine,
            };
        };
        let left = (end - now).whole_seconds() + 1;
        match self.troubles[key] {
            Trouble::Limit { calls, told, .. } if used(end) >= calls => {
                Reply { status: 429, code: "rate_limit_exceeded", retry_after: told.then_some(left) }
            }
            Trouble::MonthlyQuota { calls, told } if used(end) >= calls => {
                Reply { status: 429, code: "insufficient_quota", retry_after: told.then_some(left) }
            }
            _ => fine,
        }
    }

    /// The end of the window that a key's calls are counted in.
    fn window_end(&self, key: usize, now: OffsetDateTime) -> Option<OffsetDateTime> {
        match self.troubles[key] {
            Trouble::Limit { window, .. } => {
                let windows = (now - START).whole_milliseconds() / window.whole_milliseconds() + 1;
                Some(START + window * i32::try_from(windows).ok()?)
            }
            Trouble::MonthlyQuota { .. } => next_month(now),
            _ => None,
        }
    }
}

fn next_month(now: OffsetDateTime) -> Option<OffsetDateTime> {
    let (year, month) = match now.month() {
        Month::December => (now.year() + 1, Month::January),
        month => (now.year(), month.next()),
    };
    Some(PrimitiveDateTime::new(Date::from_calendar_date(year, month, 1).ok()?, Time::MIDNIGHT).assume_utc())
}
