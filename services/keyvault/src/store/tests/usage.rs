//! Sums of what was called.

use std::time::Duration;

use claviger_core::catalog::{Charge, Credits, Outcome};
use claviger_core::command::{Dimension, QueryUsage, UsageScope};
use claviger_core::filter::Filter;
use claviger_core::ids::{AgentId, KeyId, ModelId, SessionId, UserId};
use claviger_core::journal::{Reported, Use};
use claviger_core::route::Source;
use claviger_core::usage::{Grouped, Mark};

use super::journal::a_use;
use super::*;
use crate::store::{Batch, CallersAfter, Priced, UsageQuery};

both! {
    usage_is_told_apart_by_every_dimension,
    a_scope_an_interval_and_a_filter_narrow_it,
    groups_come_in_order_and_page_by_page,
    what_is_too_much_to_count_stays_the_most_and_fails_nothing,
    callers_are_listed_the_last_one_first,
    nothing_was_used,
}

const HOUR: Duration = Duration::from_secs(3_600);

async fn call(store: &Store, of: &Use) {
    tell(store, Priced::Resolved(of.clone(), Credits::of_micros(1))).await;
}

async fn tell(store: &Store, entry: Priced) {
    let batch = Batch { replica: Uuid::now_v7(), first_offset: 1, entries: vec![Some(entry)], now: time() + HOUR * 90 };
    store.take(batch).await.unwrap();
}

fn query<'q>(scope: &'q UsageScope, group_by: &'q [Dimension], filter: &'q Filter) -> UsageQuery<'q> {
    let (from, until) = (time() - HOUR * 10, time() + HOUR * 100);
    UsageQuery { scope, from, until, group_by, filter, after: None, limit: 1_000 }
}

async fn grouped(store: &Store, group_by: &[Dimension], filter: &str) -> Vec<(Vec<Mark>, u64)> {
    let filter = Filter::parse(filter, &QueryUsage::FIELDS).unwrap();
    let found = store.usage(&query(&UsageScope::All, group_by, &filter)).await.unwrap();
    found.into_iter().map(|Grouped { marks, counts }| (marks, counts.calls)).collect()
}

fn text(text: &str) -> Mark {
    Mark::Text(text.to_owned())
}

/// 2027-01-15T08:00:00Z, where [`time`] is.
fn hour(hours: i64) -> Mark {
    Mark::Time((1_800_000_000 + hours * 3_600) * 1_000_000)
}

async fn usage_is_told_apart_by_every_dimension(place: Place) {
    use Dimension::{Agent, Day, Hour, Key, Model, Payer, Provider, Session, User, Workspace};
    let Opened { store, place: _place, .. } = &place.open().await;
    let one = a_use();
    let other = Use {
        workspace: WorkspaceId::parse("other").unwrap(),
        user: None,
        agent: AgentId::parse("a").ok(),
        session: SessionId::parse("s").ok(),
        key: KeyId::new(Uuid::from_u128(8)),
        provider: ProviderId::parse("openai").unwrap(),
        model: ModelId::parse("m").ok(),
        payer: Source::Platform,
        time: time() + HOUR * 20,
        ..one.clone()
    };
    for of in [&one, &other, &one] {
        call(store, of).await;
    }
    let id = |number| text(&KeyId::new(Uuid::from_u128(number)).to_string());
    for (dimension, marks) in [
        (Workspace, [(text("acme"), 2), (text("other"), 1)]),
        (User, [(text(""), 1), (text("ann"), 2)]),
        (Agent, [(text(""), 2), (text("a"), 1)]),
        (Session, [(text(""), 2), (text("s"), 1)]),
        (Key, [(id(7), 2), (id(8), 1)]),
        (Provider, [(text("anthropic"), 2), (text("openai"), 1)]),
        (Model, [(text(""), 2), (text("m"), 1)]),
        (Payer, [(text("PLATFORM_KEY"), 1), (text("WORKSPACE_KEY"), 2)]),
        (Hour, [(hour(0), 2), (hour(20), 1)]),
        (Day, [(hour(-8), 2), (hour(16), 1)]),
    ] {
        let expected = marks.map(|(mark, calls)| (vec![mark], calls));
        assert_eq!(grouped(store, &[dimension], "").await, expected, "{dimension:?}");
    }
    let all = [Workspace, User, Agent, Session, Key, Provider, Model, Payer, Hour];
    assert_eq!(grouped(store, &all, "").await.len(), 2);
    assert_eq!(grouped(store, &[], "").await, [(vec![], 3)]);
}

async fn a_scope_an_interval_and_a_filter_narrow_it(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let one = a_use();
    let bob = Use { user: UserId::parse("bob").ok(), time: time() + HOUR, ..one.clone() };
    let other = Use { workspace: WorkspaceId::parse("other").unwrap(), ..one.clone() };
    for of in [&one, &bob, &bob, &other] {
        call(store, of).await;
    }
    let calls = async |scope: &UsageScope, from: Duration, until: Duration| {
        let filter = Filter::default();
        let query = UsageQuery { from: time() + from, until: time() + until, ..query(scope, &[], &filter) };
        store.usage(&query).await.unwrap()[0].counts.calls
    };
    let acme = UsageScope::Workspace(one.workspace.clone());
    let of_bob = UsageScope::User(one.workspace.clone(), UserId::parse("bob").unwrap());
    assert_eq!(calls(&UsageScope::All, Duration::ZERO, HOUR * 2).await, 4);
    assert_eq!([calls(&acme, Duration::ZERO, HOUR).await, calls(&acme, HOUR, HOUR * 2).await], [1, 2]);
    assert_eq!([calls(&of_bob, Duration::ZERO, HOUR * 2).await, calls(&of_bob, HOUR * 2, HOUR * 3).await], [2, 0]);
    for (filter, expected) in [
        ("user = bob", 2),
        ("user != bob", 2),
        ("user != bob AND workspace = acme", 1),
        ("payer = WORKSPACE_KEY", 4),
        ("payer = PLATFORM_KEY", 0),
        ("agent = \"\"", 4),
        (
            "key = \"00000000-0000-0000-0000-000000000007\" AND provider = anthropic AND model = \"\" AND session = \"\"",
            4,
        ),
    ] {
        assert_eq!(grouped(store, &[], filter).await, [(vec![], expected)], "{filter}");
    }
}

/// Upper case before lower case, whatever the server's language is.
async fn groups_come_in_order_and_page_by_page(place: Place) {
    use Dimension::{Day, User};
    let Opened { store, place: _place, .. } = &place.open().await;
    let users = ["", "B", "a", "a-b", "ab", "b", "c.d"];
    for user in users {
        for day in [0, 1] {
            call(store, &Use { user: UserId::parse(user).ok(), time: time() + HOUR * 24 * day, ..a_use() }).await;
        }
    }
    let (filter, group_by) = (Filter::default(), [Day, User]);
    let mut pages = Vec::new();
    let mut after: Option<Vec<Mark>> = None;
    loop {
        let query = UsageQuery { after: after.as_deref(), limit: 3, ..query(&UsageScope::All, &group_by, &filter) };
        let page = store.usage(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.marks.clone());
        pages.extend(page.into_iter().map(|group| group.marks));
    }
    let days = [-8, 16];
    let expected: Vec<_> = days.into_iter().flat_map(|day| users.map(|user| vec![hour(day), text(user)])).collect();
    assert_eq!(pages, expected);
    let short = UsageQuery { after: Some(&[]), ..query(&UsageScope::All, &group_by, &filter) };
    assert!(store.usage(&short).await.is_err(), "of another listing");
}

/// A caller may report anything.
async fn what_is_too_much_to_count_stays_the_most_and_fails_nothing(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    for (number, session) in [(1, "a"), (2, "a"), (3, "b")] {
        let reported = Reported {
            of: Use { session: SessionId::parse(session).ok(), ..a_use() },
            replica: Uuid::from_u128(1),
            number,
            outcome: Outcome::Ok,
            input_tokens: u64::MAX,
            output_tokens: i64::MAX as u64 / 4,
            duration: Duration::MAX,
            time: time(),
        };
        let charge = Charge { credits: Credits::of_micros(u64::MAX), is_unpriced: false };
        tell(store, Priced::Reported(reported, charge)).await;
    }
    let filter = Filter::default();
    let sums = store.usage(&query(&UsageScope::All, &[], &filter)).await.unwrap();
    let most = i64::MAX as u64;
    let counts = &sums[0].counts;
    assert_eq!((counts.input_tokens, counts.output_tokens, counts.credits.micros()), (most, most / 4 * 3, most));
    assert_eq!((counts.duration, counts.outcomes[0]), (Duration::from_micros(most), 3));
    let one = UsageQuery { after: None, ..query(&UsageScope::All, &[Dimension::Session], &filter) };
    let one = store.usage(&one).await.unwrap();
    assert_eq!(one.iter().map(|group| group.counts.output_tokens).collect::<Vec<_>>(), [most / 4 * 2, most / 4]);
}

async fn callers_are_listed_the_last_one_first(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let at = |user: &str, hours: u32| Use { user: UserId::parse(user).ok(), time: time() + HOUR * hours, ..a_use() };
    for of in [at("ann", 0), at("bob", 5), at("ann", 3), at("", 3), at("Zoe", 3), at("zoe", 1)] {
        call(store, &of).await;
    }
    call(store, &Use { key: KeyId::new(Uuid::from_u128(8)), ..at("eve", 9) }).await;
    let expected = [("bob", 5, 5, 1), ("", 3, 3, 1), ("Zoe", 3, 3, 1), ("ann", 0, 3, 2), ("zoe", 1, 1, 1)];
    let mut found = Vec::new();
    let mut after: Option<CallersAfter> = None;
    loop {
        let page = store.callers(a_use().key, after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(CallersAfter::behind(last));
        found.extend(page);
    }
    let found: Vec<_> = found.iter().map(|row| (row.caller.clone(), row.first_use, row.last_use, row.calls)).collect();
    let expected = expected.map(|(user, first, last, calls)| {
        let caller = ["acme", user, "", ""].map(str::to_owned);
        (caller, time() + HOUR * first, time() + HOUR * last, calls)
    });
    assert_eq!(found, expected);
}

async fn nothing_was_used(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    assert_eq!(grouped(store, &[], "").await, [(vec![], 0)]);
    assert_eq!(grouped(store, &[Dimension::User], "").await, []);
    assert_eq!(store.callers(a_use().key, None, 10).await.unwrap(), []);
}
