#![expect(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Barrier;

use claviger_auth::{IdentityLayer, Mode, TrustDomain};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, ServiceExt};

use super::*;

const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

fn at(seconds: i64) -> OffsetDateTime {
    START + Duration::seconds(seconds)
}

fn address(number: u32) -> Option<IpAddr> {
    Some(Ipv4Addr::from_bits(number).into())
}

fn total(drained: &[Refused]) -> u64 {
    drained.iter().map(|refused| refused.count).sum()
}

#[test]
fn calls_count_by_peer_reason_and_minute() {
    let refusals = Refusals::default();
    let peer = Some("10.0.0.7".parse().unwrap());
    for (now, peer, reason) in [
        (at(0), peer, Reason::CallerUnknown),
        (at(59), Some("::ffff:10.0.0.7".parse().unwrap()), Reason::CallerUnknown),
        (at(60), peer, Reason::CallerUnknown),
        (at(61), peer, Reason::NotAllowed),
        (at(61), None, Reason::NotAllowed),
        (at(61), Some("fd00::7".parse().unwrap()), Reason::NotAllowed),
    ] {
        refusals.count(now, peer, reason);
    }
    let mut drained = refusals.drain(at(120));
    drained.sort_by(|a, b| (a.minute, &a.peer, a.reason.as_str()).cmp(&(b.minute, &b.peer, b.reason.as_str())));
    let refused =
        |seconds, peer: &str, reason, count| Refused { minute: at(seconds), peer: peer.into(), reason, count };
    let expected = [
        refused(0, "10.0.0.7", Reason::CallerUnknown, 2),
        refused(60, "10.0.0.7", Reason::CallerUnknown, 1),
        refused(60, "10.0.0.7", Reason::NotAllowed, 1),
        refused(60, "fd00::7", Reason::NotAllowed, 1),
        refused(60, "unknown", Reason::NotAllowed, 1),
    ];
    assert_eq!(drained, expected);
}

#[test]
fn a_minute_is_drained_once_it_has_ended_and_only_once() {
    let refusals = Refusals::default();
    refusals.count(at(59), address(1), Reason::CallerUnknown);
    refusals.count(at(60), address(1), Reason::CallerUnknown);
    assert_eq!(refusals.drain(at(59)), []);
    let first = refusals.drain(at(60));
    assert_eq!((first.len(), first[0].minute), (1, at(0)));
    assert_eq!(refusals.drain(at(119)), []);
    refusals.count(at(30), address(1), Reason::CallerUnknown);
    assert_eq!(refusals.drain(at(60))[0].minute, at(0), "counted late: comes again");
    assert_eq!(refusals.drain_all()[0].minute, at(60));
    assert_eq!(refusals.drain_all(), []);
}

#[test]
fn beyond_the_most_pairs_a_peer_is_any_other() {
    let refusals = Refusals::default();
    let most = u32::try_from(MOST_PAIRS).unwrap();
    for number in 0..most + 500 {
        refusals.count(at(0), address(number), Reason::CallerUnknown);
    }
    refusals.count(at(0), address(0), Reason::CallerUnknown);
    refusals.count(at(0), address(most), Reason::NotAllowed);
    refusals.count(at(60), address(most), Reason::CallerUnknown);
    let drained = refusals.drain(at(60));
    let count_of = |peer: &str, reason| drained.iter().find(|r| r.peer == peer && r.reason == reason).unwrap().count;
    assert_eq!(drained.len(), MOST_PAIRS + 2);
    assert_eq!(count_of("other", Reason::CallerUnknown), 500);
    assert_eq!(count_of("other", Reason::NotAllowed), 1);
    assert_eq!(count_of("0.0.0.0", Reason::CallerUnknown), 2, "one that is known counts on");
    assert_eq!(total(&drained), u64::from(most) + 502);
    assert_ne!(refusals.drain_all()[0].peer, "other", "the next minute has room again");
}

#[test]
fn minutes_that_nobody_drains_take_no_more_room_and_lose_nothing() {
    let refusals = Refusals::default();
    let (most, later) = (i64::try_from(MOST_MINUTES).unwrap(), 100);
    for minute in 0..most + later {
        refusals.count(at(minute * 60), address(1), Reason::CallerUnknown);
    }
    let drained = refusals.drain_all();
    assert_eq!(drained.len(), MOST_MINUTES);
    let last = drained.last().unwrap();
    assert_eq!((last.minute, last.count), (at((most - 1) * 60), 1 + later.unsigned_abs()));
}

#[test]
fn nothing_is_lost_or_doubled_between_counting_and_draining() {
    const THREADS: u32 = 4;
    const CALLS: u32 = 20_000;
    let (refusals, start) = (Refusals::default(), Barrier::new(THREADS as usize + 1));
    let mut drained = std::thread::scope(|scope| {
        let count = |thread: u32| {
            start.wait();
            for call in 0..CALLS {
                refusals.count(at(i64::from(call) / 10), address((thread * CALLS + call) % 1_500), Reason::NotAllowed);
            }
        };
        let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || count(thread)));
        start.wait();
        let mut drained = Vec::new();
        let mut rounds = 0;
        while !threads.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            drained.extend(refusals.drain(at(rounds * 7 % 2_000)));
            rounds += 1;
        }
        drained
    });
    drained.extend(refusals.drain_all());
    assert_eq!(total(&drained), u64::from(THREADS * CALLS));
}

#[tokio::test]
async fn a_layer_with_the_hook_counts_by_address_without_port() {
    let refusals = Arc::new(Refusals::default());
    let mode = Mode::Mtls(TrustDomain::new("example.org").unwrap());
    let refuse = |_| Status::unauthenticated("no");
    let layer = IdentityLayer::new(mode, tls::peer_certificates, refuse).on_refusal(refusals.clone().hook());
    let service = layer.layer(tower::service_fn(async |_| Ok::<_, Infallible>(Response::new(Body::empty()))));
    for port in [1, 2] {
        let mut request = Request::new(Body::empty());
        let address = Some((Ipv4Addr::LOCALHOST, port).into());
        request.extensions_mut().insert(tls::PeerInfo { address, certificates: None });
        service.clone().oneshot(request).await.unwrap();
    }
    let drained = refusals.drain_all();
    assert_eq!(
        drained.iter().map(|r| (&*r.peer, r.reason)).collect::<Vec<_>>(),
        [("127.0.0.1", Reason::CallerUnknown)]
    );
    assert_eq!(total(&drained), 2);
}
