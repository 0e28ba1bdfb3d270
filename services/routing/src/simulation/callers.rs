//! The callers: each call goes from key to key until one serves it, and reports what came of each.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use claviger_core::catalog::Outcome;
use time::{Duration, OffsetDateTime};

use super::choosers::{Chooser, Say, Ticket};
use super::provider::{Provider, Reply};
use super::{KEYS, REPLICAS, START, Scenario};

/// Parts of all calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Habits {
    /// Whose callers give up.
    pub(super) aborts: f64,
    /// That the provider cannot take.
    pub(super) bad: f64,
    /// Whose callers lie: that the key was rejected, again, and with an id of their own making.
    pub(super) lies: f64,
}

/// What came of a scenario.
#[derive(Debug, Default)]
pub(super) struct Tally {
    calls: u32,
    /// Served by the first key that they got.
    first: u32,
    attempts: u32,
    pub(super) failed: u32,
    /// Calls while the preferred key was well, and those of them that it served.
    preferred: (u32, u32),
    /// Cooldowns that began by a report that says nothing against the key.
    pub(super) wrong_cooldowns: u32,
    /// Calls that tried one key out at one replica, at once.
    pub(super) most_probes: usize,
    /// How long it took from a key's recovery to its next good call.
    pub(super) returns: Vec<Duration>,
    pub(super) lies: u32,
    /// Cooldowns that began by a lie.
    pub(super) by_lies: u32,
    pub(super) longest_by_lie: Duration,
    pub(super) counted_twice: u32,
    pub(super) taken_though_made_up: u32,
}

/// A call under way.
struct Attempt {
    tried: Vec<usize>,
    ticket: Ticket,
    reply: Reply,
    /// The key's trouble was what came of it.
    in_trouble: bool,
    mood: Mood,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Plain,
    Aborts,
    Bad,
    Lies,
}

/// A scenario under way.
struct Run<'a> {
    scenario: &'a Scenario,
    provider: &'a mut Provider,
    chooser: &'a mut dyn Chooser,
    random: fastrand::Rng,
    /// Attempts by when they end.
    ends: BinaryHeap<Reverse<(OffsetDateTime, usize)>>,
    attempts: Vec<Option<Attempt>>,
    probes: [[usize; KEYS]; REPLICAS],
    /// Since when the preferred key has been well again without having served a call.
    well_since: Option<OffsetDateTime>,
    was_well: bool,
    /// Since when a replica has passed a key over because of a lie.
    lied: Option<(usize, usize, OffsetDateTime)>,
    tally: Tally,
}

pub(super) fn run(scenario: &Scenario, provider: &mut Provider, chooser: &mut dyn Chooser) -> Tally {
    let mut run = Run {
        scenario,
        provider,
        chooser,
        random: fastrand::Rng::with_seed(7),
        ends: BinaryHeap::new(),
        attempts: Vec::new(),
        probes: Default::default(),
        well_since: None,
        was_well: true,
        lied: None,
        tally: Tally::default(),
    };
    let (mut next, end) = (START, START + scenario.length);
    while next < end {
        run.finish_until(next);
        run.watch(next);
        run.arrive(next);
        next += scenario.gap * (-run.random.f64().max(1e-9).ln());
    }
    run.finish_until(end + Duration::HOUR);
    run.tally
}

impl Run<'_> {
    fn arrive(&mut self, now: OffsetDateTime) {
        let habits = self.scenario.habits;
        let draw = self.random.f64();
        let mood = match draw {
            _ if draw < habits.aborts => Mood::Aborts,
            _ if draw < habits.aborts + habits.bad => Mood::Bad,
            _ if draw < habits.aborts + habits.bad + habits.lies => Mood::Lies,
            _ => Mood::Plain,
        };
        self.tally.calls += 1;
        self.attempt(Vec::new(), mood, now);
    }

    /// Goes on to the next key, at any replica; the report will go to the same one.
    fn attempt(&mut self, tried: Vec<usize>, mood: Mood, now: OffsetDateTime) {
        let replica = self.random.usize(0..REPLICAS);
        let Some(ticket) = self.chooser.choose(replica, &tried, now) else {
            self.tally.failed += 1;
            return;
        };
        self.tally.attempts += 1;
        let in_trouble = !self.provider.is_well(ticket.key, now);
        let reply = self.provider.call(ticket.key, now);
        if tried.is_empty() && self.provider.is_well(0, now) {
            self.tally.preferred.0 += 1;
            self.tally.preferred.1 += u32::from(ticket.key == 0);
        }
        if ticket.is_probe {
            let probes = &mut self.probes[ticket.replica][ticket.key];
            *probes += 1;
            self.tally.most_probes = self.tally.most_probes.max(*probes);
        }
        let millis = if reply.is_ok() { self.random.i64(400..3_000) } else { self.random.i64(50..250) };
        self.ends.push(Reverse((now + Duration::milliseconds(millis), self.attempts.len())));
        self.attempts.push(Some(Attempt { tried, ticket, reply, in_trouble, mood }));
    }

    fn finish_until(&mut self, until: OffsetDateTime) {
        while let Some(Reverse((at, number))) = self.ends.peek().copied().filter(|next| next.0.0 <= until) {
            self.ends.pop();
            self.chooser.pass(self.provider, at);
            if let Some(attempt) = self.attempts[number].take() {
                self.finish(attempt, at);
            }
        }
        self.chooser.pass(self.provider, until);
    }

    fn finish(&mut self, attempt: Attempt, now: OffsetDateTime) {
        let Attempt { mut tried, ticket, reply, in_trouble, mood } = attempt;
        if ticket.is_probe {
            self.probes[ticket.replica][ticket.key] -= 1;
        }
        let say = match mood {
            Mood::Aborts => Say::Outcome(Outcome::ClientAborted),
            Mood::Bad if reply.is_ok() => Say::Reply(Reply { status: 400, ..Reply::default() }),
            Mood::Lies => Say::Outcome(Outcome::InvalidKey),
            _ => Say::Reply(reply.clone()),
        };
        let effect = self.chooser.report(&ticket, &say, now);
        if mood == Mood::Lies {
            self.lie(&ticket, &say, effect.cooled, now);
        } else {
            let against_it = in_trouble && mood != Mood::Aborts;
            self.tally.wrong_cooldowns += u32::from(effect.cooled && !against_it);
        }
        if reply.is_ok() || mood == Mood::Aborts {
            self.tally.first += u32::from(tried.is_empty());
            if ticket.key == 0 && reply.is_ok() {
                self.tally.returns.extend(self.well_since.take().map(|since| now - since));
            }
        } else {
            tried.push(ticket.key);
            self.attempt(tried, mood, now);
        }
    }

    /// A liar says it again, and with an id that it made up.
    fn lie(&mut self, ticket: &Ticket, say: &Say, cooled: bool, now: OffsetDateTime) {
        self.tally.lies += 1;
        self.tally.by_lies += u32::from(cooled);
        if cooled && self.lied.is_none() {
            self.lied = Some((ticket.replica, ticket.key, now));
        }
        self.tally.counted_twice += u32::from(self.chooser.report(ticket, say, now).counted && !ticket.id.is_empty());
        let mut id: Vec<_> = ticket.id.bytes().collect();
        if let Some(byte) = id.get_mut(30) {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
        }
        let made_up = Ticket { id: String::from_utf8(id).unwrap_or_default(), ..ticket.clone() };
        let counted = self.chooser.report(&made_up, say, now).counted;
        self.tally.taken_though_made_up += u32::from(counted && !ticket.id.is_empty());
    }

    /// Notes when the preferred key recovers, and how long lies have their way.
    fn watch(&mut self, now: OffsetDateTime) {
        let is_well = self.provider.is_well(0, now);
        if is_well && !self.was_well {
            self.well_since = Some(now);
        }
        self.was_well = is_well;
        if let Some((.., since)) = self.lied.filter(|(replica, key, _)| !self.chooser.avoids(*replica, *key, now)) {
            self.tally.longest_by_lie = self.tally.longest_by_lie.max(now - since);
            self.lied = None;
        }
    }
}

impl Tally {
    pub(super) const HEAD: &'static str = "scenario                         | chooser    | success | first try | calls to keys that fail | \
                                           preferred when well | wrong cooldowns | most probes | back after (median, worst)";

    /// A line of the table.
    pub(super) fn row(&self, scenario: &str, who: &str) -> String {
        let mut returns = self.returns.clone();
        returns.sort();
        let back = match returns.get(returns.len() / 2) {
            Some(median) => format!("{:.1} s, {:.1} s", median.as_seconds_f64(), self.worst_return().as_seconds_f64()),
            None => "-".to_owned(),
        };
        format!(
            "{scenario:32} | {who:10} | {:6.2}% | {:8.2}% | {:22.2}% | {:18.1}% | {:15} | {:11} | {back}",
            f64::from(self.calls - self.failed) * 100.0 / f64::from(self.calls),
            self.first_try() * 100.0,
            self.wasted() * 100.0,
            self.preferred_when_well() * 100.0,
            self.wrong_cooldowns,
            self.most_probes,
        )
    }

    /// The part of the calls that the first key served.
    pub(super) fn first_try(&self) -> f64 {
        f64::from(self.first) / f64::from(self.calls)
    }

    /// The part of all attempts that came to nothing.
    pub(super) fn wasted(&self) -> f64 {
        f64::from(self.attempts - (self.calls - self.failed)) / f64::from(self.attempts)
    }

    /// The part of the calls that the preferred key served while it was well.
    pub(super) fn preferred_when_well(&self) -> f64 {
        f64::from(self.preferred.1) / f64::from(self.preferred.0.max(1))
    }

    pub(super) fn worst_return(&self) -> Duration {
        self.returns.iter().max().copied().unwrap_or_default()
    }
}
