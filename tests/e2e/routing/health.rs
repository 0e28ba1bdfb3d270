//! Reports of outcomes, over real sockets.

use claviger_proto::routing_v1::{ResolveKeyRequest, candidate::Verdict};
use claviger_tests::{key, reason};
use tonic_types::StatusExt;

use super::*;

fn ask() -> ResolveKeyRequest {
    ResolveKeyRequest { provider: "anthropic".into(), ..resolve_request("workspaces/acme") }
}

async fn slug(fleet: &Fleet) -> String {
    fleet.resolve(ask()).await.unwrap().key.unwrap().key_slug
}

/// A provider's answer.
fn answer(id: &str, facts: rt::HttpFacts) -> rt::ReportOutcomeRequest {
    let result = Some(rt::report_outcome_request::Result::Http(facts));
    rt::ReportOutcomeRequest { resolution_id: id.into(), result, usage: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_key_gives_way_until_the_provider_s_own_time() {
    let fleet = Fleet::start().await.unwrap();
    for name in ["one", "two"] {
        store(&fleet, "workspaces/acme", "anthropic", name, &key("good")).await;
    }
    let resolution = fleet.resolve(ask()).await.unwrap();
    let facts = rt::HttpFacts {
        status: 429,
        error_type: "rate_limit_error".into(),
        retry_after: "3".into(),
        ..Default::default()
    };
    let report = answer(&resolution.resolution_id, facts);
    let taken = fleet.routing().report_outcome(report.clone()).await.unwrap().into_inner();
    assert_eq!((taken.outcome(), taken.retryable, taken.repeated), (kv::Outcome::RateLimited, true, false));
    assert!(taken.cooldown_end_time.is_some());
    assert_eq!(slug(&fleet).await, "two");
    let explanation = explain(&fleet, ask()).await;
    let cools = &explanation.candidates[0];
    assert_eq!((cools.verdict(), cools.cause()), (Verdict::Cooling, kv::Outcome::RateLimited));
    assert_eq!(cools.until, taken.cooldown_end_time);
    assert_eq!(explanation.changes[0].until, taken.cooldown_end_time);
    // told again, it is known
    let again = fleet.routing().report_outcome(report).await.unwrap().into_inner();
    assert!(again.repeated && again.cooldown_end_time == taken.cooldown_end_time);
    // another model is another matter
    let other = ResolveKeyRequest { model: "claude-haiku-5".into(), ..ask() };
    assert_eq!(fleet.resolve(other).await.unwrap().key.unwrap().key_slug, "one");

    tokio::time::sleep(std::time::Duration::from_millis(3_100)).await;
    let probe = fleet.resolve(ask()).await.unwrap();
    assert_eq!(probe.key.unwrap().key_slug, "one", "tried out in its old place");
    assert_eq!(slug(&fleet).await, "two", "by one call alone");
    report_ok(&fleet, &probe.resolution_id).await;
    assert_eq!(slug(&fleet).await, "one");
}

async fn report_ok(fleet: &Fleet, id: &str) {
    assert!(report(fleet, id, kv::Outcome::Ok).await.unwrap().cooldown_end_time.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_keys_cool_the_answer_says_when_to_come_again() {
    let fleet = Fleet::start().await.unwrap();
    store(&fleet, "workspaces/acme", "anthropic", "one", &key("good")).await;
    let resolution = fleet.resolve(ask()).await.unwrap();
    let facts = rt::HttpFacts { status: 429, retry_after: "40".into(), ..Default::default() };
    fleet.routing().report_outcome(answer(&resolution.resolution_id, facts)).await.unwrap();
    let refused = fleet.resolve(ask()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (tonic::Code::Unavailable, "ALL_KEYS_COOLING"));
    let delay = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!((30..=40).contains(&delay.as_secs()), "{delay:?}");
    // a pin is the caller's choice
    let pinned = ResolveKeyRequest { key_slug: "one".into(), ..ask() };
    let pinned = fleet.resolve(pinned).await.unwrap();
    // and its success, after the limit, shows that the key is well
    report_ok(&fleet, &pinned.resolution_id).await;
    assert_eq!(slug(&fleet).await, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_resolution_of_this_vault_is_refused() {
    let (fleet, other) = tokio::join!(Fleet::start(), Fleet::start());
    let (fleet, other) = (fleet.unwrap(), other.unwrap());
    for fleet in [&fleet, &other] {
        store(fleet, "workspaces/acme", "anthropic", "one", &key("good")).await;
    }
    let own = fleet.resolve(ask()).await.unwrap().resolution_id;
    let foreign = other.resolve(ask()).await.unwrap().resolution_id;
    let mut altered = own.clone().into_bytes();
    altered[40] = if altered[40] == b'A' { b'B' } else { b'A' };
    let made_up = uuid::Uuid::now_v7().to_string();
    let tomorrow = resolved_earlier(&fleet, time::Duration::DAY * -1).await;
    for id in [foreign, tomorrow, String::from_utf8(altered).unwrap(), made_up, own[..own.len() - 4].to_owned()] {
        let refused = report(&fleet, &id, kv::Outcome::InvalidKey).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (tonic::Code::InvalidArgument, "RESOLUTION_INVALID"));
        assert!(!refused.message().contains(&id));
    }
    let untouched = explain(&fleet, ask()).await;
    assert_eq!(untouched.candidates[0].verdict(), Verdict::Chosen);
    assert!(report(&fleet, &own, kv::Outcome::Ok).await.is_ok());
    let late = report(&fleet, &resolved_earlier(&fleet, time::Duration::minutes(61)).await, kv::Outcome::Ok).await;
    assert_eq!(reason(&late.unwrap_err()), "RESOLUTION_EXPIRED");
    let in_time = resolved_earlier(&fleet, time::Duration::minutes(59)).await;
    assert!(report(&fleet, &in_time, kv::Outcome::Ok).await.is_ok(), "another replica's, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_reports_is_summed_up_and_one_bad_report_does_not_stop_it() {
    let fleet = Fleet::start().await.unwrap();
    store(&fleet, "workspaces/acme", "anthropic", "one", &key("good")).await;
    let mut reports = Vec::new();
    for _ in 0..3 {
        let id = fleet.resolve(ask()).await.unwrap().resolution_id;
        let result = Some(rt::report_outcome_request::Result::Outcome(kv::Outcome::Ok.into()));
        reports.push(rt::ReportOutcomeRequest { resolution_id: id, result, usage: None });
    }
    reports.push(reports[0].clone());
    reports.insert(1, rt::ReportOutcomeRequest { resolution_id: "nonsense".into(), ..reports[0].clone() });
    let sum = fleet.routing().report_outcomes(tokio_stream::iter(reports)).await.unwrap().into_inner();
    assert_eq!((sum.counted, sum.repeated, sum.refused_count), (3, 1, 1));
    let refused = &sum.refused[0];
    assert_eq!((refused.index, refused.refusal.as_ref().unwrap().reason.as_str()), (1, "RESOLUTION_INVALID"));
}
