//! Which bad keys the log was told of lately. Each resolve meets them again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use claviger_core::ids::KeyId;

/// How long a key is no news.
const MINUTE: Duration = Duration::from_secs(60);
/// Keys that are told of within it, at most.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<KeyId, Instant>>);

impl Told {
    /// Whether the log is to be told of a key now.
    pub(super) fn is_news(&self, key: KeyId, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |at: &Instant| now.saturating_duration_since(*at) < MINUTE;
        if told.get(&key).is_some_and(lately) {
            return false;
        }
        if told.len() >= MOST {
            told.retain(|_, at| lately(at));
        }
        let room = told.len() < MOST || told.contains_key(&key);
        if room {
            told.insert(key, now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_key_is_news_once_a_minute_and_keys_are_bounded() {
        let (told, start) = (Told::default(), Instant::now());
        let key = |number: usize| KeyId::new(Uuid::from_u128(number as u128));
        assert!(told.is_news(key(0), start) && told.is_news(key(1), start));
        assert!(!told.is_news(key(0), start) && !told.is_news(key(0), start + MINUTE - Duration::from_millis(1)));
        assert!(told.is_news(key(0), start + MINUTE));
        assert!((2..=MOST).all(|number| told.is_news(key(number), start + MINUTE)));
        assert!(!told.is_news(key(MOST + 1), start + MINUTE), "as many as there is room for");
        assert!(told.is_news(key(MOST + 1), start + MINUTE * 2));
    }
}
