//! Sums, prices and callers.

use std::time::{Duration, SystemTime};

use claviger_proto::keyvault_v1::{
    ListCallersRequest, Outcome, Payer, QueryUsageRequest, ResolvedUse, UsageDimension, UsageInterval,
};
use claviger_tests::{Fleet, key, reason};
use uuid::Uuid;

use super::feed::{FakeRouting, reported, resolved, use_of};
use super::{sum, usage};

const WORKSPACE: &str = "workspaces/acme";
const PRICES: &str = r#"
[fees]
per_call = "0.5"
per_second = "0.25"

[[provider]]
id = "openai"
price = [{ models = ["gpt-4o*"], input_per_1000 = "1", output_per_1000 = "2.5" }]
"#;

/// A fleet whose operator has prices.
async fn priced() -> Fleet {
    let mut fleet = Fleet::start().await.unwrap();
    let file = fleet.folder.path().join("catalog.toml");
    let catalog = std::fs::read_to_string(&file).unwrap();
    let (before, after) = catalog.split_once("id = \"openai\"\n").unwrap();
    let (fees, price) = PRICES.split_once("[[provider]]\nid = \"openai\"\n").unwrap();
    std::fs::write(&file, format!("{fees}\n{before}id = \"openai\"\n{price}{after}")).unwrap();
    fleet.restart().await.unwrap();
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_charges_for_its_own_keys_and_its_fees_whoever_pays() {
    let fleet = priced().await;
    let own = fleet.create(WORKSPACE, "openai", &claviger_tests::key_for("sk-proj-", "good")).await.unwrap();
    let platform = fleet.create("platform", "openai", &claviger_tests::key_for("sk-proj-", "good")).await.unwrap();
    let replica = Uuid::now_v7();
    let mut routing = FakeRouting::subscribe(&fleet.vault, replica).await;
    let of = ResolvedUse { model: "gpt-4o-mini".into(), ..use_of(&own) };
    let metered = ResolvedUse { payer: Payer::PlatformKey.into(), key_uid: platform.uid.clone(), ..of.clone() };
    let unpriced = ResolvedUse { model: "o9".into(), ..metered.clone() };
    let mut entries: Vec<_> = [&of, &metered, &unpriced].into_iter().map(resolved).collect();
    for (number, of) in [&of, &metered, &unpriced].into_iter().enumerate() {
        entries.push(reported(of, replica, number as u64 + 1, Outcome::Ok));
    }
    routing.tell(1, entries).await.unwrap();

    let request = QueryUsageRequest {
        parent: WORKSPACE.into(),
        group_by: vec![UsageDimension::Payer.into(), UsageDimension::Model.into(), UsageDimension::Day.into()],
        ..Default::default()
    };
    let rows = usage(&fleet).query_usage(request).await.unwrap().into_inner().rows;
    let found: Vec<_> =
        rows.iter().map(|row| (row.payer(), row.model.as_str(), row.credits.as_str(), row.unpriced_calls)).collect();
    // a call is 0.5, two seconds are 0.5, 2,000 tokens in and 1,000 out are 4.5
    let expected = [
        (Payer::PlatformKey, "gpt-4o-mini", "5.5", 0),
        (Payer::PlatformKey, "o9", "1", 1),
        (Payer::WorkspaceKey, "gpt-4o-mini", "1", 0),
    ];
    assert_eq!(found, expected);
    assert!(rows.iter().all(|row| row.start_time.as_ref().unwrap().seconds % 86_400 == 0), "{rows:?}");
    let all = sum(&fleet, "platform").await;
    assert_eq!((all.calls, all.credits.as_str(), all.input_tokens), (3, "7.5", 6_000));
    assert_eq!(all.duration.unwrap().seconds, 6);
    assert_eq!(sum(&fleet, "workspaces/acme/users/ann").await.calls, 3);
    assert_eq!(sum(&fleet, "workspaces/acme/users/bob").await.calls, 0);
    assert_eq!(sum(&fleet, "workspaces/other").await.calls, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_page_by_page_and_a_token_serves_its_own_query_alone() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(WORKSPACE, "anthropic", &key("good")).await.unwrap();
    let mut routing = FakeRouting::subscribe(&fleet.vault, Uuid::now_v7()).await;
    let users: Vec<_> = (0..7).map(|n| format!("u{n}")).collect();
    let entries = users.iter().map(|user| resolved(&ResolvedUse { user: user.clone(), ..use_of(&stored) }));
    routing.tell(1, entries.collect()).await.unwrap();

    let mut request = QueryUsageRequest {
        parent: WORKSPACE.into(),
        group_by: vec![UsageDimension::User.into(), UsageDimension::Hour.into()],
        filter: "user != u3".into(),
        page_size: 4,
        ..Default::default()
    };
    let first = usage(&fleet).query_usage(request.clone()).await.unwrap().into_inner();
    request.page_token = first.next_page_token;
    let second = usage(&fleet).query_usage(request.clone()).await.unwrap().into_inner();
    let found: Vec<_> = first.rows.iter().chain(&second.rows).map(|row| row.user.as_str()).collect();
    assert_eq!((found, second.next_page_token.as_str()), (vec!["u0", "u1", "u2", "u4", "u5", "u6"], ""));
    for other in [
        QueryUsageRequest { parent: "platform".into(), ..request.clone() },
        QueryUsageRequest { filter: String::new(), ..request.clone() },
        QueryUsageRequest { group_by: vec![UsageDimension::User.into()], ..request.clone() },
        QueryUsageRequest {
            interval: Some(UsageInterval { start_time: Some(SystemTime::now().into()), end_time: None }),
            ..request.clone()
        },
    ] {
        assert_eq!(reason(&usage(&fleet).query_usage(other).await.unwrap_err()), "INVALID_FIELD");
    }
    let ago = |hours: u64| Some((SystemTime::now() - Duration::from_secs(hours * 3_600)).into());
    for (start_time, end_time, rows) in [(ago(3), None, 6), (ago(5), ago(2), 0)] {
        let interval = Some(UsageInterval { start_time, end_time });
        let request = QueryUsageRequest { interval, page_token: String::new(), page_size: 0, ..request.clone() };
        assert_eq!(usage(&fleet).query_usage(request).await.unwrap().into_inner().rows.len(), rows);
    }
    let backwards = Some(UsageInterval { start_time: ago(1), end_time: ago(3) });
    let request = QueryUsageRequest { interval: backwards, page_token: String::new(), ..request };
    assert_eq!(reason(&usage(&fleet).query_usage(request).await.unwrap_err()), "INVALID_FIELD");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_key_are_listed_also_when_it_is_revoked_and_purged() {
    let fleet = Fleet::start().await.unwrap();
    let stored = fleet.create(WORKSPACE, "anthropic", &key("good")).await.unwrap();
    let mut routing = FakeRouting::subscribe(&fleet.vault, Uuid::now_v7()).await;
    let now = SystemTime::now();
    let at = |user: &str, ago: u64| ResolvedUse {
        user: user.into(),
        agent: "bot".into(),
        resolve_time: Some((now - Duration::from_secs(ago)).into()),
        ..use_of(&stored)
    };
    let entries = [at("ann", 30), at("bob", 10), at("eve", 20), at("ann", 25)];
    routing.tell(1, entries.iter().map(resolved).collect()).await.unwrap();
    fleet.revoke(&stored.name).await.unwrap();
    let purge =
        claviger_proto::keyvault_v1::PurgeProviderKeyRequest { name: stored.name.clone(), ..Default::default() };
    fleet.key_vault().purge_provider_key(purge).await.unwrap();

    let mut request = ListCallersRequest { key: stored.name.clone(), page_size: 2, ..Default::default() };
    let first = usage(&fleet).list_callers(request.clone()).await.unwrap().into_inner();
    request.page_token = first.next_page_token;
    let second = usage(&fleet).list_callers(request.clone()).await.unwrap().into_inner();
    let found: Vec<_> = first.callers.iter().chain(&second.callers).map(|c| (c.user.as_str(), c.calls)).collect();
    assert_eq!((found, second.next_page_token.as_str()), (vec![("bob", 1), ("eve", 1), ("ann", 2)], ""));
    let ann = &second.callers[0];
    assert_eq!((ann.workspace.as_str(), ann.agent.as_str()), (WORKSPACE, "bot"));
    assert!(ann.first_use_time.as_ref().unwrap().seconds < ann.last_use_time.as_ref().unwrap().seconds);

    request.key = format!("workspaces/other/keys/{}", stored.uid);
    assert_eq!(reason(&usage(&fleet).list_callers(request.clone()).await.unwrap_err()), "INVALID_FIELD", "its token");
    request.page_token.clear();
    assert_eq!(reason(&usage(&fleet).list_callers(request).await.unwrap_err()), "KEY_NOT_FOUND");
}
