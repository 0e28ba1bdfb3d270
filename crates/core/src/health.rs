//! How keys do, by what callers report: which of them cool, until when, and who tries out one whose cooldown has run out.
//!
//! Pure: the time and the random draw are arguments. Evidence is ordered by when the key was handed out: what was handed out
//! before a cooldown began neither ends it nor makes it longer.

mod breaker;

use std::collections::HashMap;

use time::OffsetDateTime;

use crate::catalog::Outcome;
use crate::ids::{KeyId, ModelId};
use crate::route::RouteKey;

pub(crate) use breaker::is_ended_by;
use breaker::{Breaker, Evidence};
pub use breaker::{Cooling, PROBE_WAIT, Standing};

/// Models of one key whose health is kept, at most: their names are the callers'.
const MOST_MODELS: usize = 256;
/// Keys whose health is kept before those that have long been well are dropped.
const MANY_KEYS: usize = 10_000;

/// The health of all keys that something is known of.
#[derive(Debug, Clone, Default)]
pub struct Health {
    keys: HashMap<KeyId, KeyHealth>,
    /// How many keys are too many to keep without a look at them.
    sweep_at: usize,
}

#[derive(Debug, Clone, Default)]
struct KeyHealth {
    /// The secret that it is the health of.
    secret_version: u32,
    whole: Breaker,
    models: HashMap<ModelId, Breaker>,
}

/// What came of one call.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The call's key.
    pub key: KeyId,
    /// Which of its secrets.
    pub secret_version: u32,
    /// The call's model, where one was known.
    pub model: Option<&'a ModelId>,
    /// When the key was handed out.
    pub resolved: OffsetDateTime,
    /// What came of it.
    pub outcome: Outcome,
    /// Until when the provider says that the key is of no use.
    pub reset: Option<OffsetDateTime>,
    /// Others than those who report depend on the key: a platform's. One report rests it for minutes at most.
    pub is_shared: bool,
}

/// A cooldown that began, was moved or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// For which model; none for all.
    pub model: Option<ModelId>,
    /// What it cools for; [`Outcome::Ok`] when it no longer does.
    pub cause: Outcome,
    /// When that began.
    pub since: OffsetDateTime,
    /// When it runs out; none when it is over.
    pub until: Option<OffsetDateTime>,
    /// How many cooldowns came one after the other.
    pub times: u32,
}

impl Health {
    /// Whether a key may be handed out for a model to calls that do not pin it.
    #[must_use]
    pub fn standing(&self, key: &RouteKey, model: Option<&str>, now: OffsetDateTime) -> Standing {
        let Some(health) = self.keys.get(&key.id).filter(|health| health.secret_version == key.secret_version) else {
            return Standing::Ready;
        };
        let whole = health.whole.standing(key.last_test, now);
        match model.and_then(|model| health.models.get(model)) {
            Some(breaker) => whole.and(breaker.standing(key.last_test, now)),
            None => whole,
        }
    }

    /// Until when a key cools for a model, by reports alone.
    #[must_use]
    pub fn cools_until(&self, key: KeyId, model: Option<&str>, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let health = self.keys.get(&key)?;
        let of_model = model.and_then(|model| health.models.get(model));
        let ends = [Some(&health.whole), of_model].into_iter().flatten().filter_map(Breaker::until);
        ends.max().filter(|end| *end > now)
    }

    /// Takes the right to try out a key whose cooldown has run out; `now` must be the time of the resolution. False when
    /// another call has it.
    pub fn claim(&mut self, key: &RouteKey, model: Option<&str>, now: OffsetDateTime) -> bool {
        if self.standing(key, model, now).is_cooling() {
            return false;
        }
        let Some(health) = self.keys.get_mut(&key.id) else { return true };
        let of_model = model.and_then(|model| health.models.get_mut(model));
        for breaker in [Some(&mut health.whole), of_model].into_iter().flatten() {
            breaker.claim(key.last_test, now);
        }
        true
    }

    /// Gives back the right to try a key out: the call that claimed it at this time got no key after all.
    pub fn release(&mut self, key: KeyId, claimed: OffsetDateTime) {
        if let Some(health) = self.keys.get_mut(&key) {
            health.models.values_mut().chain([&mut health.whole]).for_each(|breaker| breaker.release(claimed));
        }
    }

    /// Takes in what came of a call. `draw`, from 0 to 1, is the jitter.
    pub fn report(&mut self, report: &Report<'_>, now: OffsetDateTime, draw: f64) -> Vec<Change> {
        if self.keys.len() >= self.sweep_at.max(MANY_KEYS) {
            self.keys.retain(|_, health| !health.is_blank(now));
            self.sweep_at = self.keys.len() * 2; // so that a report looks at two keys on average
        }
        let fresh = || KeyHealth { secret_version: report.secret_version, ..KeyHealth::default() };
        let health = self.keys.entry(report.key).or_insert_with(fresh);
        if health.secret_version < report.secret_version {
            *health = fresh();
        }
        let changes = if health.secret_version == report.secret_version {
            health.report(report, now, draw)
        } else {
            Vec::new() // of a secret that has been replaced
        };
        if health.is_blank(now) {
            self.keys.remove(&report.key);
        }
        changes
    }
}

#[cfg(test)]
impl Health {
    /// As if nothing had been reported of a key.
    pub(crate) fn forget(&mut self, key: KeyId) {
        self.keys.remove(&key);
    }
}

impl KeyHealth {
    fn report(&mut self, report: &Report<'_>, now: OffsetDateTime, draw: f64) -> Vec<Change> {
        let evidence = Evidence {
            outcome: report.outcome,
            resolved: report.resolved,
            reset: report.reset,
            is_shared: report.is_shared,
            now,
            draw,
        };
        let of_model = matches!(report.outcome, Outcome::RateLimited | Outcome::Forbidden);
        let model = report.model.filter(|model| of_model || self.models.contains_key(*model));
        let mut changes = Vec::new();
        if let Some(model) = model.filter(|_| of_model || report.outcome == Outcome::Ok) {
            self.make_room(model, now);
            let breaker = self.models.entry(model.clone()).or_default();
            changes.extend(breaker.take(&evidence).map(|change| Change { model: Some(model.clone()), ..change }));
        }
        if model.is_none() || !of_model {
            changes.extend(self.whole.take(&evidence));
        } else {
            self.whole.answered();
        }
        for breaker in self.models.values_mut().chain([&mut self.whole]) {
            breaker.release(report.resolved); // whatever came of it, the call is over
        }
        self.models.retain(|_, breaker| !breaker.is_blank(now));
        changes
    }

    /// Forgets the model that is well again soonest, where there are too many.
    fn make_room(&mut self, model: &ModelId, now: OffsetDateTime) {
        if self.models.len() < MOST_MODELS || self.models.contains_key(model) {
            return;
        }
        let soonest = self.models.iter().min_by_key(|(_, breaker)| breaker.until().unwrap_or(now));
        if let Some(model) = soonest.map(|(model, _)| model.clone()) {
            self.models.remove(&model);
        }
    }

    fn is_blank(&self, now: OffsetDateTime) -> bool {
        self.models.values().chain([&self.whole]).all(|breaker| breaker.is_blank(now))
    }
}

#[cfg(test)]
mod tests;
