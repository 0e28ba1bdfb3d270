//! Usage, as it is asked for: sums of what was called, and who used a key.

use std::sync::Arc;

use claviger_core::command::{ListCallers, QueryUsage};
use claviger_core::fault::Fault;
use claviger_core::reason::Reason;
use claviger_core::usage::{CallerUse, Grouped, Mark, hour};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::custody::Custody;
use super::{now, page};
use crate::store::{CallersAfter, Store, UsageQuery};

const USAGE: &str = "usage";
const CALLERS: &str = "callers";

/// The use-cases of usage.
#[derive(Debug, Clone)]
pub struct Usage {
    store: Store,
    custody: Arc<Custody>,
}

/// Where sums go on. The interval is that of the first page, also when it was left out then.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    from: OffsetDateTime,
    until: OffsetDateTime,
    after: Option<Vec<Mark>>,
}

impl Usage {
    /// Over a store.
    #[must_use]
    pub fn new(store: Store, custody: Arc<Custody>) -> Self {
        Self { store, custody }
    }

    /// Sums usage up, a page of groups at a time, and what gets the next page.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `STORAGE_UNAVAILABLE`.
    pub async fn query(&self, asked: &QueryUsage) -> Result<(Vec<Grouped>, Option<String>), Fault> {
        let QueryUsage { scope, interval, group_by, filter, page } = asked;
        let (key, query) = (self.custody.page_token(), format!("{scope} {interval:?} {group_by:?} {filter:?}"));
        let cursor = page.token.as_ref().map(|token| page::cursor(key, USAGE, &query, token)).transpose()?;
        let Cursor { from, until, after } = match cursor {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| page::foreign())?,
            None => first(*interval, now())?,
        };
        let limit = u64::from(page.size) + 1;
        let after = after.as_deref();
        let found = self.store.usage(&UsageQuery { scope, from, until, group_by, filter, after, limit }).await?;
        Ok(cut(found, page.size, |last| {
            let cursor = Cursor { from, until, after: Some(last.marks.clone()) };
            page::token(key, USAGE, &query, &encoded(&cursor))
        }))
    }

    /// Lists who used a key, a page at a time, and what gets the next page.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `KEY_NOT_FOUND`, `STORAGE_UNAVAILABLE`.
    pub async fn callers(&self, asked: &ListCallers) -> Result<(Vec<CallerUse>, Option<String>), Fault> {
        let ListCallers { key: name, page } = asked;
        let (key, query) = (self.custody.page_token(), name.to_string());
        let cursor = page.token.as_ref().map(|token| page::cursor(key, CALLERS, &query, token)).transpose()?;
        let after: Option<CallersAfter> =
            cursor.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(|_| page::foreign())?;
        if self.store.key(name).await?.is_none() {
            let fault = Fault::new(Reason::KeyNotFound, "no such key");
            return Err(fault.resource("claviger.dev/ProviderKey", name.id.to_string()));
        }
        let found = self.store.callers(name.id, after.as_ref(), u64::from(page.size) + 1).await?;
        Ok(cut(found, page.size, |last| page::token(key, CALLERS, &query, &encoded(&CallersAfter::behind(last)))))
    }
}

/// From the first page on: whole hours.
fn first(interval: Option<(OffsetDateTime, Option<OffsetDateTime>)>, now: OffsetDateTime) -> Result<Cursor, Fault> {
    let (from, until) = match interval {
        None => {
            let until = whole(now);
            (until - Duration::DAY, until)
        }
        Some((from, until)) => (hour(from), whole(until.unwrap_or(now))),
    };
    if from >= until {
        return Err(Fault::field("interval", "must end after its beginning"));
    }
    Ok(Cursor { from, until, after: None })
}

/// The end of the hour that a time is in or ends.
fn whole(time: OffsetDateTime) -> OffsetDateTime {
    let begun = hour(time);
    if begun == time { time } else { begun.checked_add(Duration::HOUR).unwrap_or(time) }
}

fn cut<T>(mut found: Vec<T>, size: u32, token: impl FnOnce(&T) -> String) -> (Vec<T>, Option<String>) {
    let more = found.len() > size as usize;
    found.truncate(size as usize);
    let next = found.last().filter(|_| more).map(token);
    (found, next)
}

fn encoded(cursor: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(cursor).unwrap_or_default() // texts and numbers alone
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_interval_is_of_whole_hours() {
        let now = datetime!(2030-06-15 12:34:56 UTC);
        let of = |interval| first(interval, now).map(|cursor| (cursor.from, cursor.until));
        let until = datetime!(2030-06-15 13:00 UTC);
        assert_eq!(of(None).unwrap(), (datetime!(2030-06-14 13:00 UTC), until));
        assert_eq!(of(Some((now, None))).unwrap(), (datetime!(2030-06-15 12:00 UTC), until));
        let (start, end) = (datetime!(2030-06-01 1:59:59 UTC), datetime!(2030-06-01 2:00 UTC));
        assert_eq!(of(Some((start, Some(end)))).unwrap(), (datetime!(2030-06-01 1:00 UTC), end));
        assert_eq!(of(Some((end, Some(end)))).unwrap_err().field, Some("interval"));
        assert!(of(Some((until, None))).is_err(), "it has not begun");
        let last = datetime!(9999-12-31 23:30 UTC);
        assert!(of(Some((start, Some(last)))).is_ok());
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let now = datetime!(2030-06-15 12:34:56 UTC);
        let after = Some(vec![Mark::Text("a".to_owned()), Mark::Time(7)]);
        let cursor = Cursor { after: after.clone(), ..first(None, now).unwrap() };
        let read: Cursor = serde_json::from_slice(&encoded(&cursor)).unwrap();
        assert_eq!((read.from, read.until, read.after), (cursor.from, cursor.until, after));
    }
}
