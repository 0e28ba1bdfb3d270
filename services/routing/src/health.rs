//! How keys do, as this replica knows it.

use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use claviger_core::health::{Change, Health, Report};
use claviger_core::ids::{KeyId, ModelId};
use claviger_core::route::RouteKey;
use time::OffsetDateTime;

/// The health of all keys. It goes with the process.
#[derive(Debug)]
pub struct HealthBook {
    health: RwLock<Health>,
    /// From 0 to 1, for the jitter of cooldowns.
    draw: fn() -> f64,
}

impl Default for HealthBook {
    fn default() -> Self {
        Self { health: RwLock::default(), draw }
    }
}

impl HealthBook {
    /// With draws that are known beforehand.
    #[cfg(test)]
    pub(crate) fn drawing(draw: fn() -> f64) -> Self {
        Self { draw, ..Self::default() }
    }

    /// For a decision. Not to be held while waiting for anything.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Health> {
        self.health.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Health::claim`].
    #[must_use]
    pub fn claim(&self, key: &RouteKey, model: Option<&str>, now: OffsetDateTime) -> bool {
        self.write().claim(key, model, now)
    }

    /// [`Health::release`].
    pub fn release(&self, key: KeyId, claimed: OffsetDateTime) {
        self.write().release(key, claimed);
    }

    /// [`Health::report`], with a draw of its own.
    pub fn report(&self, report: &Report<'_>, now: OffsetDateTime) -> Vec<Change> {
        self.write().report(report, now, (self.draw)())
    }

    /// [`Health::cools_until`].
    #[must_use]
    pub fn cools_until(&self, key: KeyId, model: Option<&ModelId>, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.read().cools_until(key, model.map(ModelId::as_str), now)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Health> {
        self.health.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From 0 to 1, another each time. Jitter needs no better randomness than what hash maps are seeded with.
fn draw() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_spread_from_zero_to_one() {
        let draws: Vec<_> = (0..1_000).map(|_| draw()).collect();
        assert!(draws.iter().all(|draw| (0.0..=1.0).contains(draw)));
        let low = draws.iter().filter(|draw| **draw < 0.5).count();
        assert!((350..=650).contains(&low), "{low}");
    }
}
