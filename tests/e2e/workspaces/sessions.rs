//! What pins sessions to keys.

use std::time::Duration;

use claviger_proto::Timestamp;
use claviger_proto::keyvault_v1 as kv;
use claviger_tests::fleet::create_request;
use claviger_tests::{Fleet, database, key, key_for, reason};
use futures::future::join_all;
use time::OffsetDateTime;

use super::*;

fn seconds_away(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: OffsetDateTime::now_utc().unix_timestamp() + seconds, nanos: 0 })
}

const DAY: i64 = 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_bound_bound_anew_and_unbound() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    fleet.create("workspaces/acme", "openai", &key_for("sk-proj-", "good")).await.unwrap();
    let wanted = kv::SessionBinding { provider: "claude".into(), ..binding("acme", "s1", "anthropic") };
    let first = bind(&fleet, wanted).await.unwrap();
    assert_eq!((first.key_slug.as_str(), first.provider.as_str()), ("anthropic", "anthropic"));
    assert_eq!(first.creator, "development");
    let life = first.expire_time.unwrap().seconds - first.create_time.unwrap().seconds;
    assert_eq!(life, DAY);
    assert_eq!(bound(&fleet, "acme", "s1").await.unwrap(), first);

    let wanted = kv::SessionBinding {
        expire_time: seconds_away(30 * DAY - 60),
        model: "gpt-x".into(),
        ..binding("acme", "s1", "openai")
    };
    let second = bind(&fleet, wanted.clone()).await.unwrap();
    assert_eq!((second.key_slug.as_str(), second.provider.as_str(), second.model.as_str()), ("openai", "", "gpt-x"));
    assert_eq!(second.expire_time, wanted.expire_time);
    assert_eq!(bound(&fleet, "acme", "s1").await.unwrap(), second);

    unbind(&fleet, "acme", "s1").await.unwrap();
    for refused in [bound(&fleet, "acme", "s1").await.unwrap_err(), unbind(&fleet, "acme", "s1").await.unwrap_err()] {
        assert_eq!(reason(&refused), "BINDING_NOT_FOUND");
    }
    let actions: Vec<_> = history(&fleet, &first.name).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["session.bound", "session.bound", "session.unbound"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_names_a_key_of_its_user_or_of_the_workspace() {
    let fleet = Fleet::start().await.unwrap();
    let mut shared = create_request("workspaces/acme", "anthropic", &key("good"));
    crate::flow::edit(&mut shared).key_slug = "main".into();
    fleet.store(shared).await.unwrap();
    let mut personal = create_request("workspaces/acme/users/ann", "openai", &key_for("sk-proj-", "good"));
    crate::flow::edit(&mut personal).key_slug = "main".into();
    let personal = fleet.store(personal).await.unwrap();
    fleet.create("workspaces/acme/users/ann", "mistral", &key_for("", "good")).await.unwrap();
    let wanted = |slug: &str, user: &str, provider: &str| kv::SessionBinding {
        user: user.into(),
        provider: provider.into(),
        ..binding("acme", "s", slug)
    };
    for (slug, user, provider) in [
        ("main", "", "anthropic"),
        ("main", "bob", "anthropic"),
        ("main", "ann", "openai"), // the user's own comes first
        ("mistral", "ann", "mistral"),
    ] {
        let made = bind(&fleet, wanted(slug, user, provider)).await.unwrap();
        assert_eq!((made.user.as_str(), made.provider.as_str()), (user, provider));
    }
    for (slug, user, provider, refusal) in [
        ("main", "ann", "anthropic", "PROVIDER_MISMATCH"),
        ("main", "", "openai", "PROVIDER_MISMATCH"),
        ("mistral", "", "", "KEY_NOT_FOUND"), // another's personal key
        ("mistral", "bob", "", "KEY_NOT_FOUND"),
        ("none", "ann", "", "KEY_NOT_FOUND"),
        ("main", "", "nobody", "INVALID_FIELD"),
        ("", "", "", "INVALID_FIELD"),
    ] {
        let refused = bind(&fleet, wanted(slug, user, provider)).await.unwrap_err();
        assert_eq!(reason(&refused), refusal, "{slug} {user} {provider}");
    }
    let alter = format!("UPDATE provider_keys SET label = 'x' WHERE id = '{}'", personal.uid);
    database::alter(&fleet.database(), &alter).await.unwrap();
    assert_eq!(reason(&bind(&fleet, wanted("main", "ann", "openai")).await.unwrap_err()), "KEY_ALTERED");
    fleet.revoke(&personal.name).await.unwrap();
    bind(&fleet, wanted("main", "ann", "anthropic")).await.unwrap(); // the workspace's is left
    let nowhere = bind(&fleet, binding("nowhere", "s", "main")).await.unwrap_err();
    assert_eq!(reason(&nowhere), "WORKSPACE_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_ends_by_itself() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    for away in [-1, 30 * DAY + 60] {
        let wanted = kv::SessionBinding { expire_time: seconds_away(away), ..binding("acme", "s", "anthropic") };
        assert_eq!(reason(&bind(&fleet, wanted).await.unwrap_err()), "INVALID_FIELD", "{away}");
    }
    let wanted = kv::SessionBinding { expire_time: seconds_away(2), ..binding("acme", "s", "anthropic") };
    bind(&fleet, wanted).await.unwrap();
    bound(&fleet, "acme", "s").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    for refused in [bound(&fleet, "acme", "s").await.unwrap_err(), unbind(&fleet, "acme", "s").await.unwrap_err()] {
        assert_eq!(reason(&refused), "BINDING_NOT_FOUND");
    }
}

/// Rows of bindings that nobody ends leave with those that come, a few at a time, and no others with them.
#[tokio::test(flavor = "multi_thread")]
async fn expired_bindings_do_not_pile_up() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    for (session, ended) in (0..6).map(|n| (format!("old-{n}"), 2 * DAY)).chain([("recent".to_owned(), 60)]) {
        bind(&fleet, binding("acme", &session, "anthropic")).await.unwrap();
        let sql =
            format!("UPDATE session_bindings SET expire_time = {}000000 WHERE session = '{session}'", now - ended);
        database::alter(&fleet.database(), &sql).await.unwrap();
        // what expired long ago would go with the next one
        let sql = "CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM session_bindings WHERE false; \
                   INSERT INTO kept SELECT * FROM session_bindings; DELETE FROM session_bindings";
        database::alter(&fleet.database(), sql).await.unwrap();
    }
    database::alter(&fleet.database(), "INSERT INTO session_bindings SELECT * FROM kept").await.unwrap();
    let mut left = Vec::new();
    for session in ["new-1", "new-2"] {
        bind(&fleet, binding("acme", session, "anthropic")).await.unwrap();
        left.push(database::number(&fleet.database(), "SELECT count(*) FROM session_bindings").await.unwrap());
    }
    assert_eq!(left, [7 - 4 + 1, 7 - 6 + 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_workspace_binds_no_session_but_lets_go() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    bind(&fleet, binding("acme", "s", "anthropic")).await.unwrap();
    set_read_only(&fleet, "acme", true).await;
    let refused = bind(&fleet, binding("acme", "s", "anthropic")).await.unwrap_err();
    assert_eq!(reason(&refused), "WORKSPACE_READ_ONLY");
    unbind(&fleet, "acme", "s").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_bind_one_session_the_last_one_stands() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let wanted = |n: usize| kv::SessionBinding { model: format!("model-{n}"), ..binding("acme", "s", "anthropic") };
    let done = join_all((0..16).map(|n| bind(&fleet, wanted(n)))).await;
    let seq = |binding: &kv::SessionBinding| {
        let (_, seq) = binding.consistency_token.split_once('.').unwrap();
        u64::from_str_radix(seq, 16).unwrap()
    };
    let last = done.into_iter().map(Result::unwrap).max_by_key(seq).unwrap();
    assert_eq!(bound(&fleet, "acme", "s").await.unwrap(), last);
    assert_eq!(history(&fleet, &last.name).await.len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_binding_is_none_until_it_is_bound_anew() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    for session in ["s", "t"] {
        bind(&fleet, binding("acme", session, "anthropic")).await.unwrap();
    }
    database::alter(&fleet.database(), "UPDATE session_bindings SET owner_user = 'ann'").await.unwrap();
    for session in ["s", "t"] {
        assert_eq!(reason(&bound(&fleet, "acme", session).await.unwrap_err()), "WORKSPACE_ALTERED");
    }
    bind(&fleet, binding("acme", "s", "anthropic")).await.unwrap();
    assert_eq!(bound(&fleet, "acme", "s").await.unwrap().user, "");
    unbind(&fleet, "acme", "t").await.unwrap();
}
