//! Calls that were refused before they reached a handler, counted by peer, reason and minute.
//!
//! Counting touches no database and waits for none, so that a flood of refusals slows nobody. What was counted is
//! drained into the audit log a minute at a time.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use claviger_auth::AuthError;
use claviger_core::reason::Reason;
use claviger_runtime::tls;
use time::{Duration, OffsetDateTime};
use tonic::Extensions;

/// Pairs of peer and reason that are told apart within one minute.
pub const MOST_PAIRS: usize = 1_000;

/// Minutes that wait to be drained. While that many do, refusals count as of the latest of them.
pub const MOST_MINUTES: usize = 60;

/// The refused calls of one peer, for one reason, in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When the minute began.
    pub minute: OffsetDateTime,
    /// The peer's IP address; `other` for all those beyond [`MOST_PAIRS`], `unknown` where the kernel gave none.
    pub peer: String,
    /// What the peer was told.
    pub reason: Reason,
    /// How many calls, 1 or more.
    pub count: u64,
}

/// The counter. It takes at most [`MOST_MINUTES`] times [`MOST_PAIRS`] entries, whoever calls and however often.
#[derive(Debug, Default)]
pub struct Refusals {
    minutes: Mutex<BTreeMap<i64, Pairs>>,
}

type Pairs = HashMap<(Peer, Reason), u64>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Peer {
    Address(IpAddr),
    Unknown,
    Other,
}

impl Refusals {
    /// What an [`IdentityLayer`](claviger_auth::IdentityLayer) calls when it refuses.
    pub fn hook(self: Arc<Self>) -> impl Fn(&Extensions, &AuthError) + Send + Sync + 'static {
        move |extensions, error| {
            let peer = tls::peer_address(extensions).map(|address| address.ip());
            self.count(OffsetDateTime::now_utc(), peer, claviger_auth::fault(error).reason);
        }
    }

    /// Counts one refused call. An IPv4 address counts as the same in either form.
    pub fn count(&self, now: OffsetDateTime, peer: Option<IpAddr>, reason: Reason) {
        let peer = peer.map_or(Peer::Unknown, |address| Peer::Address(address.to_canonical()));
        let mut minutes = self.lock();
        let minute = held(&minutes, minute_of(now));
        let pairs = minutes.entry(minute).or_default();
        let full = pairs.len() >= MOST_PAIRS && !pairs.contains_key(&(peer, reason));
        let count = pairs.entry((if full { Peer::Other } else { peer }, reason)).or_default();
        *count = count.saturating_add(1);
    }

    /// Takes out the minutes that have ended, in order. A call that is counted late, as its minute is drained, makes
    /// that minute come again with the rest: the counts add up.
    #[must_use]
    pub fn drain(&self, now: OffsetDateTime) -> Vec<Refused> {
        let mut minutes = self.lock();
        let unfinished = minutes.split_off(&minute_of(now));
        let finished = std::mem::replace(&mut *minutes, unfinished);
        drop(minutes);
        told(finished)
    }

    /// Takes out everything, the minute that still runs too: for the shutdown, when no more calls come.
    #[must_use]
    pub fn drain_all(&self) -> Vec<Refused> {
        let all = std::mem::take(&mut *self.lock());
        told(all)
    }

    /// No holder of the lock can leave the counts half changed.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Pairs>> {
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole minutes since 1970.
fn minute_of(time: OffsetDateTime) -> i64 {
    time.unix_timestamp().div_euclid(60)
}

/// The minute to count under: the present one, unless too many others wait.
fn held(minutes: &BTreeMap<i64, Pairs>, minute: i64) -> i64 {
    match minutes.last_key_value() {
        Some((last, _)) if minutes.len() >= MOST_MINUTES && !minutes.contains_key(&minute) => *last,
        _ => minute,
    }
}

fn told(minutes: BTreeMap<i64, Pairs>) -> Vec<Refused> {
    let each = minutes.into_iter().flat_map(|(minute, pairs)| pairs.into_iter().map(move |pair| (minute, pair)));
    each.map(|(minute, ((peer, reason), count))| {
        let minute = OffsetDateTime::UNIX_EPOCH + Duration::minutes(minute);
        Refused { minute, peer: peer.to_string(), reason, count }
    })
    .collect()
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unknown => f.write_str("unknown"),
            Self::Other => f.write_str("other"),
        }
    }
}

#[cfg(test)]
mod tests;
