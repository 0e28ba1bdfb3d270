//! Filters of listings, by each operator, and where a column holds nothing.

use claviger_core::filter::{Condition, Filter, Operand, Operator};
use claviger_core::ids::PlanId;
use time::Duration;

use super::*;
use Operator::{AtLeast, AtMost, Equal, Greater, Less, NotEqual};

both! {
    keys_are_filtered_by_each_operator,
    workspaces_are_filtered_by_texts_and_flags,
    an_unknown_field_is_an_error_and_no_guess,
}

fn filter(conditions: &[(&'static str, Operator, Operand)]) -> Filter {
    let condition = |(field, operator, operand): &(&'static str, Operator, Operand)| Condition {
        field,
        operator: *operator,
        operand: operand.clone(),
    };
    Filter { conditions: conditions.iter().map(condition).collect() }
}

fn text(text: &str) -> Operand {
    Operand::Text(text.to_owned())
}

/// Keys k0 to k3, each a second younger; k1 and k2 expire at those times, the others never.
async fn keys_are_filtered_by_each_operator(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let at = |seconds: i64| Operand::Time(time() + Duration::seconds(seconds));
    for n in 0..4 {
        let mut stored = key("workspaces/acme", &format!("k{n}"));
        stored.key.create_time = time() + Duration::seconds(n);
        stored.key.expire_time = (1..=2).contains(&n).then(|| time() + Duration::seconds(n));
        put(store, &stored).await.unwrap();
    }
    for (conditions, expected) in [
        (vec![], "0123"),
        (vec![("key_slug", Equal, text("k1"))], "1"),
        (vec![("key_slug", NotEqual, text("k1"))], "023"),
        (vec![("key_slug", Equal, text("K1"))], ""),
        (vec![("key_slug", Equal, text("k%"))], ""),
        (vec![("key_slug", Equal, text("' OR 1=1 --"))], ""),
        (vec![("provider", Equal, text("anthropic"))], "0123"),
        (vec![("state", NotEqual, text("ACTIVE"))], ""),
        (vec![("auth_type", Equal, text("api_key"))], "0123"),
        (vec![("create_time", Less, at(1))], "0"),
        (vec![("create_time", AtMost, at(1))], "01"),
        (vec![("create_time", Greater, at(1))], "23"),
        (vec![("create_time", AtLeast, at(1))], "123"),
        (vec![("create_time", AtLeast, at(1)), ("create_time", Less, at(3))], "12"),
        (vec![("expire_time", Less, at(2))], "1"),
        (vec![("expire_time", AtMost, at(2))], "12"),
        (vec![("expire_time", Greater, at(1))], "2"),
        (vec![("expire_time", AtLeast, at(-1))], "12"),
    ] {
        let filter = filter(&conditions);
        let found = store.keys(&owner("workspaces/acme"), true, &filter, None, 100).await.unwrap();
        let found: String = found.iter().map(|stored| stored.key.slug.as_str().trim_start_matches('k')).collect();
        assert_eq!(found, expected, "{conditions:?}");
    }
}

/// a has no plan, b is on one and read-only, c on another.
async fn workspaces_are_filtered_by_texts_and_flags(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    for (id, plan, read_only) in [("a", None, false), ("b", Some("pro"), true), ("c", Some("team"), false)] {
        let mut workspace = workspace(id);
        workspace.policy.plan = plan.map(|plan| PlanId::parse(plan).unwrap());
        workspace.policy.read_only = read_only;
        put_workspace(store, &workspace).await.unwrap();
    }
    for (condition, expected) in [
        (("plan", Equal, text("pro")), "b"),
        (("plan", NotEqual, text("pro")), "ac"),
        (("plan", Equal, text("")), ""),
        (("plan", NotEqual, text("")), "abc"),
        (("read_only", Equal, Operand::Flag(true)), "b"),
        (("read_only", NotEqual, Operand::Flag(true)), "ac"),
        (("read_only", Equal, Operand::Flag(false)), "ac"),
    ] {
        let found = store.workspaces(&filter(std::slice::from_ref(&condition)), None, 100).await.unwrap();
        let found: String = found.iter().map(|workspace| workspace.value.id.as_str()).collect();
        assert_eq!(found, expected, "{condition:?}");
    }
}

async fn an_unknown_field_is_an_error_and_no_guess(place: Place) {
    let Opened { store, place: _place, .. } = &place.open().await;
    let sealed = filter(&[("sealed", Equal, text("x"))]);
    assert!(store.keys(&owner("workspaces/acme"), true, &sealed, None, 100).await.is_err());
    assert!(store.workspaces(&sealed, None, 100).await.is_err());
}
