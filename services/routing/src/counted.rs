//! Which resolutions were reported to this process, so that each counts once.
//!
//! Known exactly for as long as a report is taken, and forgotten by the hour: a set of numbers for each process that
//! resolved and each hour in which it did. A process counts 1, 2, 3, …, so a set takes about a bit for each resolution, and
//! four hours' worth of them is all that is ever held.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use roaring::RoaringTreemap;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// How long after the resolution a report is taken.
const LONGEST: Duration = Duration::HOUR;
/// How much the clock of another process may be ahead of ours.
const AHEAD: Duration = Duration::MINUTE;
/// A generation's length in seconds.
const HOUR: i64 = 3_600;
/// Generations kept before the present one: the last hour's begin in the one before. One more, so that a clock that is set
/// back, by an hour at most, lets nothing count twice.
const KEPT: i64 = 2;

/// By process that resolved.
type Generation = HashMap<Uuid, RoaringTreemap>;

/// What a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// The first of its resolution: it counts.
    First,
    /// Of a resolution that was reported before.
    Repeated,
    /// Of a resolution made more than an hour ago, of which nobody knows whether it was reported.
    TooOld,
    /// Of a resolution made more than a minute from now: some clock is wrong.
    TooNew,
}

/// The reports of the last hours. To be shared between tasks by reference.
#[derive(Debug, Default)]
pub struct Counted {
    /// By the hour, counted from 1970, in which the resolutions were made.
    generations: Mutex<BTreeMap<i64, Generation>>,
}

impl Counted {
    /// Counts a report, unless it was counted before. The resolution is known by the process and the number there;
    /// `resolve_time` must be the same each time, as it is in a sealed id.
    pub fn first(&self, origin: Uuid, number: u64, resolve_time: OffsetDateTime, now: OffsetDateTime) -> Counting {
        if resolve_time - now > AHEAD {
            return Counting::TooNew;
        }
        if now - resolve_time > LONGEST {
            return Counting::TooOld;
        }
        let (mut generations, mut forgotten) = (self.lock(), Vec::new());
        while let Some(oldest) = generations.first_entry().filter(|oldest| *oldest.key() < hour(now) - KEPT) {
            forgotten.push(oldest.remove());
        }
        let numbers = generations.entry(hour(resolve_time)).or_default().entry(origin).or_default();
        let first = numbers.insert(number);
        drop(generations);
        drop(forgotten); // they may be large: nobody waits for it
        if first { Counting::First } else { Counting::Repeated }
    }

    /// Takes back a [`Counting::First`] whose report could not be taken after all: the next one is the first. A report that
    /// came in between was called repeated.
    pub fn forget(&self, origin: Uuid, number: u64, resolve_time: OffsetDateTime) {
        let mut generations = self.lock();
        if let Some(numbers) = generations.get_mut(&hour(resolve_time)).and_then(|them| them.get_mut(&origin)) {
            numbers.remove(number);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Generation>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hour(time: OffsetDateTime) -> i64 {
    time.unix_timestamp().div_euclid(HOUR)
}

#[cfg(test)]
mod tests;
