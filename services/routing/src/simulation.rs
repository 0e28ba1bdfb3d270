//! A fleet of callers, replicas and a provider under a clock that is turned by hand: how well calls go, beside what callers
//! would get from no health tracking and from a fixed cooldown. docs/routing.md has the figures; to see them:
//!
//!     cargo test -p claviger-routing --lib simulation -- --nocapture

mod callers;
mod choosers;
mod provider;
pub(crate) mod stage;

use time::{Duration, OffsetDateTime};

use callers::{Habits, Tally, run};
use choosers::{Claviger, FixedCooldown, NoHealth};
use provider::{Provider, Trouble};

const START: OffsetDateTime = time::macros::datetime!(2030-06-15 12:00 UTC);
const KEYS: usize = 4;
const REPLICAS: usize = 3;

struct Scenario {
    name: &'static str,
    /// What befalls the keys, the preferred one first.
    troubles: [Trouble; KEYS],
    habits: Habits,
    length: Duration,
    /// Between two calls, on average.
    gap: Duration,
}

impl Scenario {
    fn of(name: &'static str, troubles: [Trouble; KEYS]) -> Self {
        let habits = Habits::default();
        Self { name, troubles, habits, length: Duration::minutes(20), gap: Duration::milliseconds(150) }
    }

    fn provider(&self) -> Provider {
        Provider::new(self.troubles.clone())
    }

    fn claviger(&self) -> Tally {
        let (mut provider, mut chooser) = (self.provider(), Claviger::new(KEYS, REPLICAS));
        run(self, &mut provider, &mut chooser)
    }

    fn without_health(&self) -> Tally {
        run(self, &mut self.provider(), &mut NoHealth::new(KEYS))
    }

    fn fixed(&self) -> Tally {
        run(self, &mut self.provider(), &mut FixedCooldown::new(KEYS, REPLICAS))
    }
}

/// The scenarios of the list, with nothing else going on in each.
fn scenarios() -> [Scenario; 8] {
    use Trouble::{Flapping, Limit, MonthlyQuota, None as Well, Revoked};
    let often = |told| Limit { calls: 60, window: Duration::minutes(1), told };
    let quota = |told| MonthlyQuota { calls: 2_000, told };
    let slowly = |name, troubles| Scenario {
        length: Duration::days(70),
        gap: Duration::minutes(10),
        ..Scenario::of(name, troubles)
    };
    let flapping = Flapping { up: Duration::seconds(90), down: Duration::seconds(45) };
    let aborting = Habits { aborts: 0.1, bad: 0.05, ..Habits::default() };
    let lying = Habits { lies: 0.02, ..Habits::default() };
    [
        Scenario::of("429 in bursts, with retry-after", [often(true), Well, Well, Well]),
        Scenario::of("429 in bursts, without", [often(false), Well, Well, Well]),
        slowly("monthly quota, its end named", [quota(true), Well, Well, Well]),
        slowly("monthly quota, its end not named", [quota(false), Well, Well, Well]),
        Scenario::of("5xx, flapping", [flapping, Well, Well, Well]),
        Scenario::of("key revoked at the provider", [Revoked { after: Duration::minutes(5) }, Well, Well, Well]),
        Scenario { habits: aborting, ..Scenario::of("aborting callers, bad requests", [Well, Well, Well, Well]) },
        Scenario { habits: lying, ..Scenario::of("lying reporters", [Well, Well, Well, Well]) },
    ]
}

#[test]
fn calls_go_better_than_without_health_and_than_with_a_fixed_cooldown() {
    println!("{}", Tally::HEAD);
    for scenario in scenarios() {
        let (ours, none, fixed) = (scenario.claviger(), scenario.without_health(), scenario.fixed());
        for (who, tally) in [("claviger", &ours), ("no health", &none), ("fixed 60 s", &fixed)] {
            println!("{}", tally.row(scenario.name, who));
        }
        let name = scenario.name;
        assert_eq!(ours.wrong_cooldowns, 0, "{name}: wrong cooldowns");
        assert_eq!(ours.most_probes, u32::from(!ours.returns.is_empty()) as usize, "{name}: probes at once");
        assert_eq!(ours.failed, 0, "{name}: a healthy key was there each time");
        assert_eq!(ours.counted_twice, 0, "{name}");
        assert!(ours.wasted() <= none.wasted(), "{name}: fewer calls to keys that fail");
        assert!(ours.first_try() >= none.first_try(), "{name}: first try");
        // calls that go well at once, and the preferred key's use while it is well: one is easily bought with the other
        let gain = ours.first_try() - fixed.first_try() + ours.preferred_when_well() - fixed.preferred_when_well();
        assert!(gain >= 0.0, "{name}: {gain}");
    }
}

#[test]
fn a_key_is_back_sooner_than_it_was_away_and_than_the_longest_cooldown() {
    let [told, untold, month_told, month, flapping, ..] = scenarios();
    for (scenario, longest) in [
        (told, Duration::seconds(5)),          // of its own word, and a call's length
        (untold, Duration::seconds(65)),       // away for 51 s
        (month_told, Duration::minutes(11)),   // the next call
        (month, Duration::hours(30)),          // a day, and a quarter more by jitter
        (flapping, Duration::seconds(56 + 3)), // away for 45 s
    ] {
        let tally = scenario.claviger();
        let (count, worst) = (tally.returns.len(), tally.worst_return());
        assert!(count > 0 && worst <= longest, "{}: {count} returns, worst {worst}", scenario.name);
    }
}

#[test]
fn a_lie_costs_a_key_no_longer_than_the_vault_s_own_test_takes() {
    let [.., lying] = scenarios();
    let tally = lying.claviger();
    assert!(tally.lies > 50 && tally.by_lies > 20, "{tally:?}");
    assert!(tally.longest_by_lie <= choosers::RETEST + Duration::SECOND, "{}", tally.longest_by_lie);
    assert_eq!(tally.taken_though_made_up, 0);
}
