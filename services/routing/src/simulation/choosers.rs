//! Who chooses the keys: routing's own code, and what it is held against.

use std::sync::Arc;

use claviger_core::catalog::{Catalog, Outcome};
use claviger_core::journal::Entry;
use claviger_core::key::{KeyState, TestResult};
use claviger_crypto::{ResolutionKey, ResolutionSealer, ServiceKey};
use claviger_proto::keyvault::entry_from;
use claviger_proto::routing::{Answer, CallResult, Report};
use time::{Duration, OffsetDateTime};

use super::provider::{Provider, Reply};
use super::stage::{ask, scene};
use crate::feed::Feed;
use crate::health::HealthBook;
use crate::journal::Journal;
use crate::report::Reports;
use crate::resolve::{Resolver, Scene};

/// How long the vault takes to hear of a rejected key and to test it.
pub(super) const RETEST: Duration = Duration::seconds(2);

/// How long it tests that key no more.
const PAUSE: Duration = Duration::seconds(30);

/// A key that a call got.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) key: usize,
    pub(super) replica: usize,
    pub(super) id: String,
    pub(super) is_probe: bool,
}

/// What a caller says of its call.
#[derive(Debug, Clone)]
pub(super) enum Say {
    Reply(Reply),
    Outcome(Outcome),
}

/// What a report did.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Effect {
    /// It was counted.
    pub(super) counted: bool,
    /// It began or moved a cooldown.
    pub(super) cooled: bool,
}

pub(super) trait Chooser {
    /// A key for a call that has tried some; none when none is left.
    fn choose(&mut self, replica: usize, tried: &[usize], now: OffsetDateTime) -> Option<Ticket>;
    fn report(&mut self, ticket: &Ticket, say: &Say, now: OffsetDateTime) -> Effect;
    /// What happens by itself as time goes on.
    fn pass(&mut self, _provider: &Provider, _now: OffsetDateTime) {}
    /// Whether a replica passes a key over now.
    fn avoids(&self, _replica: usize, _key: usize, _now: OffsetDateTime) -> bool {
        false
    }
}

/// The production code of several replicas over one vault.
pub(super) struct Claviger {
    scene: Scene,
    replicas: Vec<Replica>,
    /// Keys that the vault will test, and when.
    retests: Vec<(usize, OffsetDateTime)>,
    /// When it last tested each.
    tested: Vec<Option<OffsetDateTime>>,
}

struct Replica {
    resolver: Resolver,
    reports: Reports,
    journal: Arc<Journal>,
}

impl Claviger {
    pub(super) fn new(keys: usize, replicas: usize) -> Self {
        let catalog = Arc::new(Catalog::builtin().unwrap());
        let key = Arc::new(ResolutionKey::of(&ServiceKey::generate().unwrap()).unwrap());
        let replicas = (0..replicas).map(|_| Replica::new(&catalog, &key)).collect();
        Self { scene: scene(keys), replicas, retests: Vec::new(), tested: vec![None; keys] }
    }

    /// Takes what a replica would ship: the vault tests live what is said to be rejected.
    fn ship(&mut self, replica: usize, now: OffsetDateTime) -> bool {
        let journal = &self.replicas[replica].journal;
        let mut cooled = false;
        while let Some(batch) = journal.batch() {
            journal.taken(batch.first_offset + batch.entries.len() as u64 - 1);
            for entry in batch.entries.into_iter().map(|entry| entry_from(entry).unwrap()) {
                match entry {
                    Entry::Health(change) => cooled |= change.until.is_some(),
                    Entry::Reported(reported) if reported.outcome == Outcome::InvalidKey => {
                        let key = usize::try_from(reported.of.key.uuid().as_u128()).unwrap() - 1;
                        let after_pause = self.tested[key].map_or(now, |at| at + PAUSE).max(now) + RETEST;
                        if !self.retests.iter().any(|(waiting, _)| *waiting == key) {
                            self.retests.push((key, after_pause));
                        }
                    }
                    Entry::Reported(_) | Entry::Resolved(_) => {}
                }
            }
        }
        cooled
    }
}

impl Replica {
    fn new(catalog: &Arc<Catalog>, key: &Arc<ResolutionKey>) -> Self {
        let (feed, health, journal) =
            (Feed::with_key(key.clone()), Arc::new(HealthBook::drawing(|| 0.5)), Arc::<Journal>::default());
        let sealer = Arc::new(ResolutionSealer::new(0).unwrap());
        let reports = Reports::new(feed.clone(), catalog.clone(), health.clone(), journal.clone());
        let resolver = Resolver::new(feed, catalog.clone(), health, journal.clone(), sealer, true);
        Self { resolver, reports, journal }
    }
}

impl Chooser for Claviger {
    fn choose(&mut self, replica: usize, tried: &[usize], now: OffsetDateTime) -> Option<Ticket> {
        let resolved = self.replicas[replica].resolver.resolve(&self.scene, &ask(tried), now).ok()?;
        let key = usize::try_from(resolved.choice.key.id.uuid().as_u128()).unwrap() - 1;
        Some(Ticket { key, replica, is_probe: resolved.choice.is_probe, id: resolved.id })
    }

    fn report(&mut self, ticket: &Ticket, say: &Say, now: OffsetDateTime) -> Effect {
        let result = match say {
            Say::Outcome(outcome) => CallResult::Outcome(*outcome),
            Say::Reply(reply) => CallResult::Answer(Answer {
                status: reply.status,
                texts: if reply.code.is_empty() { Vec::new() } else { vec![reply.code.to_owned()] },
                retry_after: reply.retry_after.map(|seconds| seconds.to_string()),
                headers: Vec::new(),
            }),
        };
        let report = Report {
            resolution_id: ticket.id.clone(),
            result,
            input_tokens: 0,
            output_tokens: 0,
            duration: std::time::Duration::ZERO,
        };
        let taken = self.replicas[ticket.replica].reports.take(&report, now);
        let counted = taken.is_ok_and(|taken| !taken.is_repeated);
        Effect { counted, cooled: self.ship(ticket.replica, now) }
    }

    fn pass(&mut self, provider: &Provider, now: OffsetDateTime) {
        let (due, later) = self.retests.drain(..).partition(|(_, at)| *at <= now);
        self.retests = later;
        let due: Vec<(usize, OffsetDateTime)> = due;
        for (key, at) in due {
            let result = if provider.knows(key, at) { TestResult::Valid } else { TestResult::Invalid };
            self.tested[key] = Some(at);
            let tested = &mut self.scene.keys_mut()[key];
            tested.last_test = Some((result, at));
            tested.state = match result {
                TestResult::Invalid => KeyState::Invalid,
                _ => KeyState::Active,
            };
        }
    }

    fn avoids(&self, replica: usize, key: usize, now: OffsetDateTime) -> bool {
        let (decision, _) = self.replicas[replica].resolver.explain(&self.scene, &ask(&[]), now);
        decision.candidates[key].standing.is_cooling()
    }
}

/// The keys in their order, each time anew.
pub(super) struct NoHealth(usize);

impl NoHealth {
    pub(super) fn new(keys: usize) -> Self {
        Self(keys)
    }
}

impl Chooser for NoHealth {
    fn choose(&mut self, replica: usize, tried: &[usize], _: OffsetDateTime) -> Option<Ticket> {
        let key = (0..self.0).find(|key| !tried.contains(key))?;
        Some(Ticket { key, replica, id: String::new(), is_probe: false })
    }

    fn report(&mut self, _: &Ticket, _: &Say, _: OffsetDateTime) -> Effect {
        Effect::default()
    }
}

/// A minute's rest for a key after whatever went wrong, at each replica.
pub(super) struct FixedCooldown(Vec<Vec<OffsetDateTime>>);

impl FixedCooldown {
    pub(super) fn new(keys: usize, replicas: usize) -> Self {
        Self(vec![vec![super::START; keys]; replicas])
    }
}

impl Chooser for FixedCooldown {
    fn choose(&mut self, replica: usize, tried: &[usize], now: OffsetDateTime) -> Option<Ticket> {
        let key = (0..self.0[replica].len()).find(|key| !tried.contains(key) && self.0[replica][*key] <= now)?;
        Some(Ticket { key, replica, id: String::new(), is_probe: false })
    }

    fn report(&mut self, ticket: &Ticket, say: &Say, now: OffsetDateTime) -> Effect {
        let fine = match say {
            Say::Reply(reply) => reply.is_ok(),
            Say::Outcome(outcome) => *outcome == Outcome::Ok,
        };
        if !fine {
            self.0[ticket.replica][ticket.key] = now + Duration::MINUTE;
        }
        Effect { counted: true, cooled: !fine }
    }
}
