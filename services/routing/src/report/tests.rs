#![expect(clippy::unwrap_used, reason = "tests")]
//! Reports over the code that callers reach, with no vault behind it.

use std::sync::Barrier;

use claviger_crypto::{ResolutionKey, ResolutionSealer, ServiceKey};
use time::Duration;
use time::macros::datetime;

use super::*;
use crate::resolve::{Resolver, Scene};
use crate::simulation::stage::{ask, scene};

const NOW: OffsetDateTime = datetime!(2030-06-15 12:00 UTC);

struct Replica {
    scene: Scene,
    resolver: Resolver,
    reports: Reports,
    journal: Arc<Journal>,
}

impl Replica {
    fn new() -> Self {
        let catalog = Arc::new(Catalog::builtin().unwrap());
        let key = Arc::new(ResolutionKey::of(&ServiceKey::generate().unwrap()).unwrap());
        let (feed, health, journal) = (Feed::with_key(key), Arc::<HealthBook>::default(), Arc::<Journal>::default());
        let sealer = Arc::new(ResolutionSealer::new(0).unwrap());
        let reports = Reports::new(feed.clone(), catalog.clone(), health.clone(), journal.clone());
        let resolver = Resolver::new(feed, catalog, health, journal.clone(), sealer, true);
        Self { scene: scene(2), resolver, reports, journal }
    }

    /// The slug and the id of a call's key.
    fn resolve(&self, now: OffsetDateTime) -> (String, String) {
        let resolved = self.resolver.resolve(&self.scene, &ask(&[]), now).unwrap();
        (resolved.choice.key.slug.to_string(), resolved.id)
    }

    fn report(&self, id: &str, result: CallResult, now: OffsetDateTime) -> Taken {
        let resolution_id = id.to_owned();
        let (input_tokens, output_tokens, duration) = (1, 2, std::time::Duration::ZERO);
        self.reports.take(&Report { resolution_id, result, input_tokens, output_tokens, duration }, now).unwrap()
    }
}

fn answer(status: u16, texts: &[&str], headers: &[(&str, &str)]) -> CallResult {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    CallResult::Answer(Answer { status, texts, retry_after: None, headers })
}

#[test]
fn the_provider_s_headers_say_how_long_a_key_cools() {
    for (headers, seconds) in [
        (&[("Retry-After", "17")][..], 17),
        (&[("x-ratelimit-remaining-tokens", "0"), ("X-RateLimit-Reset-Tokens", "1m5s")], 65),
        (&[("x-ratelimit-remaining-tokens", "900"), ("x-ratelimit-reset-tokens", "1m5s"), ("retry-after", "3")], 3),
    ] {
        let replica = Replica::new();
        let (_, id) = replica.resolve(NOW);
        let limited = answer(429, &["tokens", "rate_limit_exceeded"], headers);
        let taken = replica.report(&id, limited, NOW + Duration::SECOND);
        assert_eq!(taken.outcome, Outcome::RateLimited);
        assert_eq!(taken.cools_until, Some(NOW + Duration::seconds(seconds + 1)), "{headers:?}");
    }
}

#[test]
fn an_error_inside_an_answer_that_began_well_is_no_success() {
    let replica = Replica::new();
    let (_, id) = replica.resolve(NOW);
    assert_eq!(replica.report(&id, answer(200, &["server_error"], &[]), NOW).outcome, Outcome::ServerError);
    let (_, id) = replica.resolve(NOW);
    assert_eq!(replica.report(&id, answer(200, &[], &[]), NOW).outcome, Outcome::Ok);
}

#[test]
fn of_many_calls_at_once_one_tries_a_key_out() {
    let replica = Replica::new();
    let (first, id) = replica.resolve(NOW);
    replica.report(&id, CallResult::Outcome(Outcome::RateLimited), NOW);
    let (now, start) = (NOW + Duration::MINUTE, Barrier::new(16));
    let slugs: Vec<String> = std::thread::scope(|scope| {
        let call = || {
            start.wait();
            replica.resolve(now).0
        };
        let calls: Vec<_> = (0..16).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(slugs.iter().filter(|slug| **slug == first).count(), 1, "{slugs:?}");
}

#[test]
fn a_report_counts_once_and_is_on_record_with_what_follows_from_it() {
    let replica = Replica::new();
    let (_, id) = replica.resolve(NOW);
    let limited = || CallResult::Outcome(Outcome::RateLimited);
    assert!(!replica.report(&id, limited(), NOW).is_repeated);
    let again = replica.report(&id, limited(), NOW + Duration::SECOND);
    assert!(again.is_repeated && again.cools_until.is_some());
    let entries = replica.journal.batch().unwrap().entries;
    assert_eq!(entries.len(), 3, "the use, the report, the cooldown");
}

#[test]
fn explaining_is_deciding_without_effect() {
    let replica = Replica::new();
    for step in 0..40 {
        let now = NOW + Duration::seconds(step * 3);
        let (explained, _) = replica.resolver.explain(&replica.scene, &ask(&[]), now);
        let explained = explained.outcome.map(|choice| (choice.key.slug.to_string(), choice.remaining));
        let resolved = replica.resolver.resolve(&replica.scene, &ask(&[]), now);
        let (id, resolved) = match resolved {
            Ok(resolved) => (resolved.id, Ok((resolved.choice.key.slug.to_string(), resolved.choice.remaining))),
            Err(fault) => (String::new(), Err(fault)),
        };
        assert_eq!(explained.clone().map_err(|refusal| refusal.fault(now)), resolved, "{step}");
        let outcome = [Outcome::RateLimited, Outcome::Ok, Outcome::QuotaExhausted][usize::try_from(step).unwrap() % 3];
        if !id.is_empty() {
            replica.report(&id, CallResult::Outcome(outcome), now);
        }
    }
}

#[test]
fn a_call_that_could_not_be_put_on_record_leaves_the_trying_out_to_the_next() {
    let replica = Replica::new();
    let (first, id) = replica.resolve(NOW);
    replica.report(&id, CallResult::Outcome(Outcome::RateLimited), NOW);
    let taken = replica.journal.batch().unwrap().entries.len() as u64;
    let ticket = ticket::open(&replica.reports.feed.resolution_key().unwrap(), &id).unwrap();
    replica.journal.note((0..200_000).map(|_| Entry::Resolved(ticket.of.clone())));
    let now = NOW + Duration::MINUTE;
    let refused = replica.resolver.resolve(&replica.scene, &ask(&[]), now).unwrap_err();
    assert_eq!(refused.reason, Reason::VaultUnavailable);
    replica.journal.taken(200_000 + taken);
    assert_eq!(replica.resolve(now + Duration::SECOND).0, first);
}
