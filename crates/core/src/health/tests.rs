#![expect(clippy::unwrap_used, reason = "tests")]
//! What each outcome does to a key, step by step.

use time::Duration;
use time::macros::datetime;

use super::*;
use crate::key::TestResult;

const START: OffsetDateTime = datetime!(2030-06-15 12:00 UTC);

/// One key under a clock that is turned by hand.
struct Scene {
    health: Health,
    key: RouteKey,
    now: OffsetDateTime,
    is_shared: bool,
}

impl Scene {
    fn new() -> Self {
        Self {
            health: Health::default(),
            key: crate::decide::tests::key(1, "main", "openai"),
            now: START,
            is_shared: false,
        }
    }

    fn pass(&mut self, seconds: i64) -> &mut Self {
        self.now += Duration::seconds(seconds);
        self
    }

    /// A call that got the key just now.
    fn report(&mut self, outcome: Outcome) -> Vec<Change> {
        self.report_of(self.now, outcome, None, None)
    }

    fn report_of(
        &mut self,
        resolved: OffsetDateTime,
        outcome: Outcome,
        model: Option<&str>,
        reset: Option<i64>,
    ) -> Vec<Change> {
        let model = model.map(|model| ModelId::parse(model).unwrap());
        let reset = reset.map(|seconds| self.now + Duration::seconds(seconds));
        let (key, secret_version) = (self.key.id, self.key.secret_version);
        let report =
            Report { key, secret_version, model: model.as_ref(), resolved, outcome, reset, is_shared: self.is_shared };
        self.health.report(&report, self.now, 0.0)
    }

    fn standing(&self, model: Option<&str>) -> Standing {
        self.health.standing(&self.key, model, self.now)
    }

    /// For how many more seconds it cools; none if it does not.
    fn cools(&self, model: Option<&str>) -> Option<i64> {
        match self.standing(model) {
            Standing::Cooling(cooling) => Some((cooling.until - self.now).whole_seconds()),
            Standing::Ready | Standing::HalfOpen => None,
        }
    }

    fn claim(&mut self) -> bool {
        self.health.claim(&self.key, None, self.now)
    }

    fn is_blank(&self) -> bool {
        self.health.keys.values().all(|health| health.is_blank(self.now + Duration::HOUR))
    }
}

/// The seconds of cooldowns that come one after the other, each as soon as the one before has run out.
fn ladder(outcome: Outcome, steps: usize) -> Vec<i64> {
    let mut scene = Scene::new();
    let mut ladder = Vec::new();
    while ladder.len() < steps {
        scene.report(outcome);
        if let Some(seconds) = scene.cools(None) {
            ladder.push(seconds);
            scene.pass(seconds);
        }
    }
    ladder
}

#[test]
fn cooldowns_double_up_to_a_limit() {
    assert_eq!(ladder(Outcome::RateLimited, 8), [5, 10, 20, 40, 80, 160, 300, 300]);
    assert_eq!(ladder(Outcome::QuotaExhausted, 6), [3_600, 7_200, 14_400, 28_800, 57_600, 86_400]);
    assert_eq!(ladder(Outcome::InvalidKey, 8), [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
    assert_eq!(ladder(Outcome::Forbidden, 2), [60, 120]);
    for provider_fails in [Outcome::Overloaded, Outcome::ServerError, Outcome::NetworkError] {
        assert_eq!(ladder(provider_fails, 6), [10, 20, 40, 80, 160, 300], "{provider_fails:?}");
    }
    let longest = ladder(Outcome::RateLimited, 60);
    assert_eq!(longest.last(), Some(&300), "no overflow");
}

#[test]
fn jitter_makes_a_guess_longer_and_never_shorter() {
    for (draw, millis) in [(0.0, 5_000), (0.5, 5_625), (1.0, 6_250), (7.0, 6_250), (-1.0, 5_000)] {
        let mut scene = Scene::new();
        let (key, secret_version) = (scene.key.id, scene.key.secret_version);
        let report = Report {
            key,
            secret_version,
            model: None,
            resolved: START,
            outcome: Outcome::RateLimited,
            reset: None,
            is_shared: false,
        };
        let changes = scene.health.report(&report, START, draw);
        assert_eq!(changes[0].until, Some(START + Duration::milliseconds(millis)), "{draw}");
    }
}

#[test]
fn what_is_no_fault_of_the_key_does_nothing_ever() {
    let mut scene = Scene::new();
    for _ in 0..100 {
        assert!(scene.report(Outcome::BadRequest).is_empty() && scene.report(Outcome::ClientAborted).is_empty());
    }
    assert!(scene.is_blank());
    // nor to a key that cools or is half-open
    scene.report(Outcome::RateLimited);
    scene.report(Outcome::ClientAborted);
    assert_eq!(scene.cools(None), Some(5));
    scene.pass(5).report(Outcome::BadRequest);
    assert_eq!(scene.standing(None), Standing::HalfOpen);
}

#[test]
fn a_limit_is_for_the_model_where_one_is_known() {
    for outcome in [Outcome::RateLimited, Outcome::Forbidden] {
        let mut scene = Scene::new();
        scene.report_of(START, outcome, Some("gpt-4o"), None);
        assert!(scene.cools(Some("gpt-4o")).is_some());
        assert_eq!((scene.standing(Some("gpt-4o-mini")), scene.standing(None)), (Standing::Ready, Standing::Ready));
    }
    for outcome in [Outcome::QuotaExhausted, Outcome::InvalidKey] {
        let mut scene = Scene::new();
        scene.report_of(START, outcome, Some("gpt-4o"), None);
        assert!(scene.cools(Some("gpt-4o-mini")).is_some() && scene.cools(None).is_some(), "{outcome:?}");
    }
}

#[test]
fn the_providers_own_word_goes_before_a_guess() {
    let mut scene = Scene::new();
    scene.report_of(START, Outcome::RateLimited, None, Some(23));
    assert_eq!(scene.cools(None), Some(23));
    let mut scene = Scene::new();
    scene.report_of(START, Outcome::QuotaExhausted, None, Some(10 * 86_400));
    assert_eq!(scene.cools(None), Some(10 * 86_400));
    let mut scene = Scene::new();
    scene.report_of(START, Outcome::RateLimited, None, Some(-5));
    assert_eq!(scene.standing(None), Standing::HalfOpen, "it is over already");
}

#[test]
fn a_burst_of_one_failure_is_one_failure() {
    let mut scene = Scene::new();
    for _ in 0..50 {
        scene.report_of(START, Outcome::RateLimited, None, None);
    }
    assert_eq!(scene.cools(None), Some(5));
    // its stragglers neither
    scene.pass(6).report_of(START, Outcome::RateLimited, None, None);
    assert_eq!(scene.standing(None), Standing::HalfOpen);
    // what one of them says of the end counts
    scene.report_of(START, Outcome::RateLimited, None, Some(30));
    assert_eq!(scene.cools(None), Some(30));
    scene.report_of(START, Outcome::RateLimited, None, Some(20));
    assert_eq!(scene.cools(None), Some(30), "the latest end");
}

#[test]
fn a_graver_failure_takes_the_place_of_a_lighter_one() {
    let mut scene = Scene::new();
    scene.report(Outcome::RateLimited);
    scene.report(Outcome::QuotaExhausted);
    assert_eq!(scene.cools(None), Some(3_600));
    scene.report(Outcome::RateLimited);
    assert_eq!(scene.cools(None), Some(3_600));
}

#[test]
fn only_three_failures_of_the_provider_in_a_row_and_within_a_minute_count() {
    let fails = Outcome::ServerError;
    let mut scene = Scene::new();
    for _ in 0..20 {
        scene.report(fails);
        scene.report(fails);
        scene.report(Outcome::Ok);
    }
    assert!(scene.is_blank(), "not in a row");
    for _ in 0..20 {
        scene.report(fails);
        scene.pass(31);
    }
    assert_eq!(scene.standing(None), Standing::Ready, "not within a minute");
    for answered in [Outcome::RateLimited, Outcome::Forbidden] {
        let mut scene = Scene::new();
        scene.report(fails);
        scene.report(fails);
        scene.report_of(START, answered, Some("other"), None);
        scene.report(fails);
        assert_eq!(scene.standing(None), Standing::Ready, "an answer came between");
    }
    let mut scene = Scene::new();
    scene.report(fails);
    scene.pass(30).report(Outcome::NetworkError);
    scene.pass(30).report(Outcome::Overloaded);
    assert_eq!(scene.cools(None), Some(10), "of whatever kind");
}

#[test]
fn one_call_tries_a_key_out_and_the_others_wait() {
    let mut scene = Scene::new();
    scene.report(Outcome::RateLimited);
    assert!(!scene.claim(), "it cools");
    scene.pass(5);
    assert_eq!(scene.standing(None), Standing::HalfOpen);
    assert!(scene.claim());
    let since = scene.now;
    for _ in 0..10 {
        assert!(!scene.claim());
    }
    let waiting = Cooling { until: since + PROBE_WAIT, cause: Outcome::RateLimited, is_probed: true };
    assert_eq!(scene.standing(None), Standing::Cooling(waiting));
    // another call's report is not the probe's
    scene.pass(1).report_of(START, Outcome::ClientAborted, None, None);
    assert!(!scene.claim());
    scene.report_of(since, Outcome::Ok, None, None);
    assert!(scene.is_blank());
}

#[test]
fn a_probe_that_fails_doubles_and_one_that_shows_nothing_makes_room_for_the_next() {
    let mut scene = Scene::new();
    scene.report(Outcome::RateLimited);
    scene.pass(5).claim();
    scene.report(Outcome::RateLimited);
    assert_eq!(scene.cools(None), Some(10));
    scene.pass(10).claim();
    scene.report(Outcome::ClientAborted);
    assert_eq!(scene.standing(None), Standing::HalfOpen);
    assert!(scene.pass(1).claim());
    scene.pass(29);
    assert!(!scene.claim());
    assert!(scene.pass(1).claim(), "silent for 30 s");
}

#[test]
fn a_probe_that_the_provider_fails_needs_no_three() {
    let mut scene = Scene::new();
    scene.report(Outcome::QuotaExhausted);
    scene.pass(3_600).claim();
    scene.report(Outcome::ServerError);
    assert_eq!(scene.cools(None), Some(20), "a second cooldown, of its own kind");
}

#[test]
fn success_ends_a_cooldown_that_it_came_after() {
    let mut scene = Scene::new();
    scene.pass(10).report(Outcome::RateLimited);
    // a long call from before
    scene.pass(1).report_of(START, Outcome::Ok, None, None);
    assert_eq!(scene.cools(None), Some(4));
    // a pinned call from after
    let changes = scene.report(Outcome::Ok);
    assert_eq!(changes.iter().map(|change| (change.cause, change.until)).collect::<Vec<_>>(), [(Outcome::Ok, None)]);
    assert!(scene.is_blank());
    scene.report(Outcome::RateLimited);
    assert_eq!(scene.cools(None), Some(5), "and counts from the start again");
}

#[test]
fn success_with_one_model_leaves_the_others() {
    let mut scene = Scene::new();
    for model in ["gpt-4o", "o5"] {
        scene.report_of(START, Outcome::RateLimited, Some(model), None);
    }
    scene.pass(5).report_of(START + Duration::seconds(5), Outcome::Ok, Some("o5"), None);
    assert_eq!(scene.standing(Some("gpt-4o")), Standing::HalfOpen);
    assert_eq!(scene.standing(Some("o5")), Standing::Ready);
}

#[test]
fn failures_of_the_provider_are_one_whatever_they_look_like_and_cancel_no_probe() {
    let mut scene = Scene::new();
    for outcome in [Outcome::ServerError, Outcome::NetworkError, Outcome::Overloaded] {
        scene.report(outcome);
    }
    assert_eq!(scene.cools(None), Some(10));
    scene.pass(9).report_of(START, Outcome::NetworkError, None, None);
    assert_eq!(scene.cools(None), Some(1), "a straggler of another kind");
    scene.pass(2).claim();
    let probe = scene.now;
    scene.pass(1).report_of(START, Outcome::Overloaded, None, None);
    assert!(!scene.claim(), "the probe is still out");
    scene.report_of(probe, Outcome::Ok, None, None);
    assert_eq!(scene.standing(None), Standing::Ready);
}

#[test]
fn one_failure_of_the_provider_adds_nothing_to_another_cooldown() {
    let mut scene = Scene::new();
    scene.report(Outcome::RateLimited);
    scene.report(Outcome::ServerError);
    assert_eq!(scene.cools(None), Some(5));
    scene.report(Outcome::ServerError);
    scene.report(Outcome::ServerError);
    assert_eq!(scene.cools(None), Some(10), "three are a failure of their own");
}

#[test]
fn what_went_out_before_a_recovery_begins_nothing_after_it() {
    for outcome in [Outcome::RateLimited, Outcome::ServerError, Outcome::QuotaExhausted] {
        let mut scene = Scene::new();
        scene.pass(1).report(Outcome::QuotaExhausted);
        scene.pass(3_600).claim();
        scene.report(Outcome::Ok);
        for _ in 0..5 {
            scene.pass(1).report_of(START, outcome, None, None);
        }
        assert_eq!(scene.standing(None), Standing::Ready, "{outcome:?}");
        scene.report(Outcome::QuotaExhausted);
        assert_eq!(scene.cools(None), Some(3_600), "what went out after it does");
    }
}

#[test]
fn a_key_that_a_test_spoke_for_is_struck_out_again_when_it_is_rejected_later() {
    let mut scene = Scene::new();
    scene.report(Outcome::InvalidKey);
    scene.key.last_test = Some((TestResult::Valid, START + Duration::seconds(2)));
    assert_eq!(scene.pass(3).standing(None), Standing::Ready);
    scene.report(Outcome::InvalidKey);
    assert_eq!(scene.standing(None), Standing::Ready, "the test is as good as new");
    scene.pass(40).report(Outcome::InvalidKey);
    assert_eq!(scene.cools(None), Some(60));
}

#[test]
fn a_cooldown_of_long_ago_is_forgotten() {
    let mut scene = Scene::new();
    for _ in 0..7 {
        scene.report(Outcome::RateLimited);
        let left = scene.cools(None).unwrap();
        scene.pass(left);
    }
    scene.pass(86_401);
    assert_eq!(scene.standing(None), Standing::Ready);
    scene.report(Outcome::ServerError);
    assert_eq!(scene.standing(None), Standing::Ready);
    scene.report(Outcome::RateLimited);
    assert_eq!(scene.cools(None), Some(5));
}

#[test]
fn a_key_that_others_depend_on_rests_for_minutes_at_most() {
    for outcome in [Outcome::QuotaExhausted, Outcome::InvalidKey, Outcome::Forbidden, Outcome::RateLimited] {
        let mut scene = Scene { is_shared: true, ..Scene::new() };
        for _ in 0..10 {
            scene.report_of(scene.now, outcome, None, Some(86_400));
            assert_eq!(scene.cools(None), Some(300), "{outcome:?}");
            scene.pass(300);
        }
    }
}

#[test]
fn a_claim_that_came_to_nothing_is_given_back() {
    let mut scene = Scene::new();
    scene.report(Outcome::RateLimited);
    assert!(scene.pass(5).claim() && !scene.claim());
    let claimed = scene.now;
    let key = scene.key.id;
    scene.pass(1).health.release(key, claimed);
    assert!(scene.claim());
}

#[test]
fn a_later_live_test_lifts_suspicion_and_lets_anything_else_be_tried_out() {
    let mut scene = Scene::new();
    scene.report(Outcome::InvalidKey);
    for (result, after, standing) in [
        (TestResult::Valid, -31, None),
        (TestResult::Inconclusive, 1, None),
        (TestResult::Skipped, 1, None),
        (TestResult::Valid, 1, Some(Standing::Ready)),
        (TestResult::Restricted, 1, Some(Standing::Ready)),
        (TestResult::RateLimited, 1, Some(Standing::Ready)),
    ] {
        scene.key.last_test = Some((result, START + Duration::seconds(after)));
        scene.now = START + Duration::seconds(2);
        assert_eq!(Some(scene.standing(None)).filter(|s| !s.is_cooling()), standing, "{result:?} {after}");
    }
    let mut scene = Scene::new();
    scene.report(Outcome::QuotaExhausted);
    scene.key.last_test = Some((TestResult::QuotaExhausted, START + Duration::SECOND));
    assert!(scene.pass(2).standing(None).is_cooling());
    scene.key.last_test = Some((TestResult::Valid, START + Duration::SECOND));
    assert_eq!(scene.standing(None), Standing::HalfOpen);
    assert!(scene.claim() && !scene.claim());
    scene.report(Outcome::QuotaExhausted);
    assert_eq!(scene.cools(None), Some(7_200));
}

#[test]
fn a_new_secret_starts_well_and_reports_of_the_old_one_are_nothing_to_it() {
    let mut scene = Scene::new();
    scene.report(Outcome::InvalidKey);
    scene.key.secret_version += 1;
    assert_eq!(scene.standing(None), Standing::Ready);
    scene.report(Outcome::Ok);
    scene.report(Outcome::RateLimited);
    scene.key.secret_version -= 1;
    assert!(scene.report(Outcome::QuotaExhausted).is_empty());
    scene.key.secret_version += 1;
    assert_eq!(scene.cools(None), Some(5));
}

#[test]
fn what_callers_make_up_takes_no_more_room_than_there_is() {
    let mut scene = Scene::new();
    scene.report_of(START, Outcome::RateLimited, Some("real"), Some(1_000));
    for number in 0..2_000 {
        scene.report_of(START, Outcome::RateLimited, Some(&format!("made-up-{number}")), Some(10));
    }
    assert_eq!(scene.health.keys[&scene.key.id].models.len(), MOST_MODELS);
    assert!(scene.cools(Some("real")).is_some(), "what lasts longest stays");
    for number in 0..=MANY_KEYS {
        scene.key.id = KeyId::new(uuid::Uuid::from_u128(number as u128 + 100));
        scene.report(Outcome::RateLimited);
    }
    scene.pass(2 * 86_400);
    for number in 0..=2 * MANY_KEYS {
        scene.key.id = KeyId::new(uuid::Uuid::from_u128(number as u128 + 100_000));
        scene.report(Outcome::RateLimited);
    }
    assert!(scene.health.keys.len() <= 2 * MANY_KEYS + 1, "{}: the old ones are gone", scene.health.keys.len());
}
