//! Each resolution counts once, and no memory is held for long.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;

/// A minute before the hour.
const NOW: OffsetDateTime = time::macros::datetime!(2030-06-15 11:59 UTC);
const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);
const MICRO: Duration = Duration::MICROSECOND;

#[test]
fn a_resolution_counts_once() {
    let counted = Counted::default();
    assert_eq!(counted.first(A, 1, NOW, NOW), Counting::First);
    assert_eq!(counted.first(A, 1, NOW, NOW), Counting::Repeated);
    assert_eq!(counted.first(A, 2, NOW, NOW), Counting::First, "another number");
    assert_eq!(counted.first(B, 1, NOW, NOW), Counting::First, "another process");
    assert_eq!(counted.first(A, 1 + (1 << 32), NOW, NOW), Counting::First, "64 bits count");
    assert_eq!(counted.first(A, u64::MAX, NOW, NOW), Counting::First);
    assert_eq!(counted.first(A, 1, NOW, NOW + Duration::HOUR), Counting::Repeated);
}

#[test]
fn a_report_is_taken_for_an_hour() {
    let counted = Counted::default();
    assert_eq!(counted.first(A, 1, NOW - Duration::HOUR, NOW), Counting::First);
    assert_eq!(counted.first(A, 1, NOW - Duration::HOUR, NOW + MICRO), Counting::TooOld);
    assert_eq!(counted.first(A, 2, NOW - Duration::HOUR - MICRO, NOW), Counting::TooOld);
    assert_eq!(counted.first(A, 3, OffsetDateTime::UNIX_EPOCH, NOW), Counting::TooOld);
    assert_eq!(counted.held(), 1);
}

#[test]
fn another_clock_may_be_a_minute_ahead() {
    let counted = Counted::default();
    assert_eq!(counted.first(A, 1, NOW + Duration::MINUTE, NOW), Counting::First, "in the next hour");
    assert_eq!(counted.first(A, 1, NOW + Duration::MINUTE, NOW + Duration::HOUR), Counting::Repeated);
    assert_eq!(counted.first(A, 2, NOW + Duration::MINUTE + MICRO, NOW), Counting::TooNew);
    assert_eq!(counted.first(A, 2, time::macros::datetime!(9999-12-31 23:59 UTC), NOW), Counting::TooNew);
    assert_eq!(counted.held(), 1);
}

#[test]
fn a_report_that_could_not_be_taken_is_the_first_again() {
    let counted = Counted::default();
    counted.forget(A, 1, NOW);
    assert_eq!(counted.first(A, 1, NOW, NOW), Counting::First);
    assert_eq!(counted.first(A, 2, NOW, NOW), Counting::First);
    counted.forget(A, 1, NOW);
    assert_eq!(counted.first(A, 1, NOW, NOW), Counting::First);
    assert_eq!(counted.first(A, 1, NOW, NOW), Counting::Repeated);
    assert_eq!(counted.first(A, 2, NOW, NOW), Counting::Repeated, "the others stay");
}

#[test]
fn four_hours_are_held_at_most() {
    let counted = Counted::default();
    let mut most = 0;
    for minute in 0..24 * 60 {
        let now = NOW + Duration::minutes(minute);
        for at in [now, now - Duration::HOUR, now + Duration::MINUTE] {
            counted.first(Uuid::now_v7(), 1, at, now);
        }
        most = most.max(counted.lock().len());
    }
    assert_eq!(most, 4);
    assert!(counted.held() <= 4 * 60 * 3, "{}", counted.held());
}

#[test]
fn a_clock_that_is_set_back_lets_nothing_count_twice() {
    let counted = Counted::default();
    assert_eq!(counted.first(A, 1, NOW - Duration::HOUR, NOW), Counting::First);
    let ahead = NOW + Duration::HOUR;
    assert_eq!(counted.first(A, 2, ahead, ahead), Counting::First);
    assert_eq!(counted.first(A, 1, NOW - Duration::HOUR, NOW), Counting::Repeated);
}

#[test]
fn of_reports_at_once_one_is_the_first() {
    let (counted, first) = (Counted::default(), AtomicUsize::new(0));
    let report = || {
        for number in 0..1_000 {
            let is_first = counted.first(A, number, NOW, NOW) == Counting::First;
            first.fetch_add(usize::from(is_first), Ordering::Relaxed);
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(report))));
    assert_eq!(first.into_inner(), 1_000);
}

impl Counted {
    /// How many resolutions are known.
    fn held(&self) -> u64 {
        self.lock().values().flat_map(HashMap::values).map(RoaringTreemap::len).sum()
    }
}

/// A report or its taking back, of one of a few resolutions, so many seconds after the last.
fn op() -> impl Strategy<Value = (usize, bool, i64)> {
    (0..24_usize, proptest::bool::weighted(0.2), prop_oneof![5 => 0..120_i64, 2 => 0..5_000_i64, 1 => -3_599..0_i64])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Against a set that forgets nothing.
    #[test]
    fn it_counts_as_a_set_would(times in proptest::collection::vec(-4_000..20_000_i64, 24), ops in proptest::collection::vec(op(), 1..200)) {
        let (counted, mut model) = (Counted::default(), HashSet::new());
        let (mut now, mut latest) = (NOW, NOW);
        for (which, taken_back, seconds) in ops {
            // The clock goes on, and is set back by less than an hour.
            now = (now + Duration::seconds(seconds)).max(latest - Duration::seconds(HOUR - 1));
            latest = latest.max(now);
            let (origin, number) = ([A, B][which % 2], which as u64 / 2);
            let time = NOW + Duration::seconds(times[which]);
            let expected = match (now - time).whole_seconds() {
                ..-60 => Counting::TooNew,
                3_601.. => Counting::TooOld,
                _ if model.insert(which) => Counting::First,
                _ => Counting::Repeated,
            };
            let found = counted.first(origin, number, time, now);
            prop_assert_eq!(found, expected, "{} at {} of {}", which, now, time);
            if taken_back && found == Counting::First {
                counted.forget(origin, number, time);
                model.remove(&which);
            }
        }
    }
}

/// `cargo test --release -p claviger-routing -- --ignored --nocapture counted`
#[test]
#[ignore = "measures: an hour at 10,000 resolutions a second"]
#[expect(clippy::print_stdout, reason = "a measurement")]
fn what_an_hour_takes() {
    const ALL: u64 = 36_000_000;
    for (what, is_reported) in [
        ("all", (|_| true) as fn(u64) -> bool),
        ("every other one", |number| number % 2 == 0),
        ("one of 20, by chance", |number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 < u64::from(u32::MAX) / 20),
    ] {
        let counted = Counted::default();
        let before = memory();
        let start = std::time::Instant::now();
        let mut reports = 0_u32;
        for number in (1..=ALL).filter(|number| is_reported(*number)) {
            let now = NOW + Duration::microseconds(i64::try_from(number).unwrap_or(0) * 100);
            assert_eq!(counted.first(A, number, now, now), Counting::First);
            reports += 1;
        }
        let each = start.elapsed() / reports;
        println!("{what}: {reports} reports, {} KiB, {each:?} each", (memory() - before) / 1_024);
        assert_eq!(counted.held(), u64::from(reports));
        assert!(memory() - before < 16 * 1_024 * 1_024);
    }
}

/// Of this process, in bytes.
#[expect(clippy::unwrap_used, reason = "tests")]
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1_024
}
