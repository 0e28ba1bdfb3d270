//! The feed against a vault that misbehaves, over a real socket.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use claviger_core::catalog::Outcome;
use claviger_core::ids::{KeyId, Tenant};
use claviger_core::journal::{Entry, HealthChange};
use claviger_core::position::session_binding;
use claviger_crypto::{ResolutionSealer, ServiceKey, SessionSealer};
use claviger_proto::keyvault_v1::key_feed_server::{KeyFeed, KeyFeedServer};
use claviger_proto::keyvault_v1::{
    JournalAck, SubscribeRequest, SubscribeResponse, TenantSnapshot, Welcome, subscribe_request, subscribe_response,
};
use claviger_proto::status;
use futures::{Stream, StreamExt, stream};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::*;
use crate::journal::Journal;

/// How a vault answers the n-th subscription.
type Script = fn(usize) -> Behaviour;

#[derive(Clone, Copy, PartialEq)]
enum Behaviour {
    /// As it should.
    Good,
    /// Closes the stream at the first ask.
    ClosesAtTheFirstAsk,
    /// Its welcome is bound to another session than it says.
    LiesInTheWelcome,
    /// Closes the stream at the first batch of the journal, which it has taken.
    ClosesAtTheFirstBatch,
    /// Refuses batches that do not begin with the journal: it has forgotten the rest.
    HasForgotten,
    /// Its welcome names no history.
    HasNoEpoch,
    /// As one of an earlier release.
    HasNoResolutionKey,
    /// Its key of resolution ids is another subscription's.
    RepeatsAResolutionKey,
}

struct FakeVault {
    script: Script,
    subscriptions: Arc<AtomicUsize>,
    /// Of resolution ids: at the first subscription, and from then on.
    keys: Arc<[ResolutionKey; 2]>,
    /// Batches of the journal that came: first offset and length.
    batches: Batches,
}

type Batches = Arc<Mutex<Vec<(u64, usize)>>>;

#[tonic::async_trait]
impl KeyFeed for FakeVault {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let number = self.subscriptions.fetch_add(1, Ordering::SeqCst);
        let (behaviour, key) = ((self.script)(number), &self.keys[number.min(1)]);
        let mut asks = request.into_inner();
        let hello = asks.message().await?.unwrap().message.unwrap();
        let subscribe_request::Message::Hello(hello) = hello else { return Err(Status::internal("no hello")) };
        let welcome = stream::iter([Ok(welcome(&hello.public_key, behaviour, key))]);
        let batches = self.batches.clone();
        let answers = asks
            .take_while(move |_| std::future::ready(behaviour != Behaviour::ClosesAtTheFirstAsk))
            .map(move |ask| answer(ask.unwrap(), &batches))
            .take_while(move |(_, offset)| {
                std::future::ready(offset.is_none() || behaviour != Behaviour::ClosesAtTheFirstBatch)
            })
            .map(move |(answer, offset)| match offset {
                Some(first) if behaviour == Behaviour::HasForgotten && first > 1 => {
                    Err(status::of(&Fault::new(Reason::JournalGap, "a gap")))
                }
                _ => Ok(answer),
            });
        Ok(Response::new(Box::pin(welcome.chain(answers))))
    }
}

fn welcome(public_key: &[u8], behaviour: Behaviour, key: &ResolutionKey) -> SubscribeResponse {
    let (session, epoch) = (Uuid::now_v7(), Uuid::now_v7());
    let lies = behaviour == Behaviour::LiesInTheWelcome;
    let bound = session_binding(if lies { Uuid::now_v7() } else { session }, epoch);
    let (encapsulated_key, sealer) = SessionSealer::establish(public_key, &bound).unwrap();
    let resolution_key = match behaviour {
        Behaviour::HasNoResolutionKey => Vec::new(),
        Behaviour::RepeatsAResolutionKey => {
            SessionSealer::establish(public_key, &bound).unwrap().1.seal_resolution_key(key).unwrap()
        }
        _ => sealer.seal_resolution_key(key).unwrap(),
    };
    let epoch = if behaviour == Behaviour::HasNoEpoch { String::new() } else { epoch.to_string() };
    let session = session.to_string();
    let welcome = Welcome { session, epoch, encapsulated_key, catalog_digest: String::new(), resolution_key };
    SubscribeResponse { message: Some(subscribe_response::Message::Welcome(welcome)) }
}

/// An answer, and the first offset of the batch that it is to.
fn answer(ask: SubscribeRequest, batches: &Batches) -> (SubscribeResponse, Option<u64>) {
    let Some(subscribe_request::Message::Journal(batch)) = &ask.message else { return (snapshot(ask), None) };
    batches.lock().unwrap().push((batch.first_offset, batch.entries.len()));
    let ack = JournalAck { offset: batch.first_offset + batch.entries.len() as u64 - 1 };
    (SubscribeResponse { message: Some(subscribe_response::Message::JournalAck(ack)) }, Some(batch.first_offset))
}

fn snapshot(ask: SubscribeRequest) -> SubscribeResponse {
    let Some(subscribe_request::Message::LoadTenant(load)) = ask.message else { return SubscribeResponse::default() };
    let snapshot = TenantSnapshot { load_id: load.load_id, seq: 7, exists: true, ..Default::default() };
    SubscribeResponse { message: Some(subscribe_response::Message::Snapshot(snapshot)) }
}

/// A feed linked to a vault that follows a script, and how often it was subscribed to.
async fn linked(script: Script) -> (Feed, Arc<AtomicUsize>) {
    linked_with(script, fresh_keys()).await
}

fn fresh_keys() -> Arc<[ResolutionKey; 2]> {
    Arc::new([(); 2].map(|()| ResolutionKey::of(&ServiceKey::generate().unwrap()).unwrap()))
}

async fn linked_with(script: Script, keys: Arc<[ResolutionKey; 2]>) -> (Feed, Arc<AtomicUsize>) {
    let vault = FakeVault { script, subscriptions: Arc::default(), keys, batches: Arc::default() };
    let subscriptions = vault.subscriptions.clone();
    let (address, channel) = serve(vault).await;
    let (feed, asks) = feed();
    let link = Link::new(address, channel, Uuid::now_v7(), String::new());
    tokio::spawn(link.run(asks, CancellationToken::new()));
    (feed, subscriptions)
}

async fn serve(vault: FakeVault) -> (String, Channel) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_service(KeyFeedServer::new(vault));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (address.to_string(), Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy())
}

/// A journal that is shipped, the batches that its vault gets, and what ends it.
async fn shipping(script: Script) -> (Arc<Journal>, Batches, CancellationToken, tokio::task::JoinHandle<()>) {
    let (journal, shutdown) = (Arc::<Journal>::default(), CancellationToken::new());
    let vault = FakeVault { script, subscriptions: Arc::default(), keys: fresh_keys(), batches: Arc::default() };
    let batches = vault.batches.clone();
    let (shipper, until) = (Shipper::new(serve(vault).await.1, journal.clone()), shutdown.clone());
    let task = tokio::spawn(async move {
        let Ok(()) = shipper.run(until).await;
    });
    (journal, batches, shutdown, task)
}

fn entry() -> Entry {
    Entry::Health(HealthChange {
        tenant: Tenant::Platform,
        key: KeyId::new(Uuid::nil()),
        secret_version: 1,
        model: None,
        cause: Outcome::Ok,
        since: time::OffsetDateTime::UNIX_EPOCH,
        until: None,
        failures: 0,
    })
}

async fn until_shipped(journal: &Journal) {
    let shipped = async {
        while !journal.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), shipped).await.unwrap();
}

#[tokio::test]
async fn the_journal_is_shipped_by_itself_and_again_where_its_taking_was_not_heard_of() {
    let (journal, batches, _shutdown, _task) =
        shipping(|n| if n == 0 { Behaviour::ClosesAtTheFirstBatch } else { Behaviour::Good }).await;
    journal.note([entry(), entry()]);
    until_shipped(&journal).await;
    journal.note([entry()]);
    until_shipped(&journal).await;
    assert_eq!(*batches.lock().unwrap(), [(1, 2), (1, 2), (3, 1)]);
}

#[tokio::test]
async fn a_vault_that_has_forgotten_the_journal_gets_the_rest_under_another_name() {
    let (journal, batches, _shutdown, _task) = shipping(|_| Behaviour::HasForgotten).await;
    journal.note([entry(), entry()]);
    until_shipped(&journal).await;
    journal.note([entry()]);
    until_shipped(&journal).await;
    assert_eq!(*batches.lock().unwrap(), [(1, 2), (3, 1), (1, 1)]);
}

#[tokio::test]
async fn a_shutdown_waits_for_the_journal_and_not_for_ever() {
    let (journal, batches, shutdown, task) = shipping(|_| Behaviour::Good).await;
    journal.note([entry(), entry(), entry()]);
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(2), task).await.unwrap().unwrap();
    assert_eq!(*batches.lock().unwrap(), [(1, 3)]);

    let (journal, _batches, shutdown, task) = shipping(|_| Behaviour::ClosesAtTheFirstBatch).await;
    journal.note([entry()]);
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(6), task).await.unwrap().unwrap();
    assert!(!journal.is_empty());
}

async fn until_connected(feed: &Feed) {
    feed.connected.clone().wait_for(|up| *up).await.unwrap();
}

#[tokio::test]
async fn an_ask_under_way_survives_the_end_of_its_subscription() {
    let (feed, subscriptions) = linked(|n| if n == 0 { Behaviour::ClosesAtTheFirstAsk } else { Behaviour::Good }).await;
    until_connected(&feed).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await; // long enough to be worth replacing at once
    let view = feed.load(Tenant::Platform.into()).await.unwrap();
    assert_eq!((view.at.seq, subscriptions.load(Ordering::SeqCst)), (7, 2));
}

#[tokio::test]
async fn without_a_sound_handshake_asks_are_refused() {
    for script in [|_| Behaviour::LiesInTheWelcome, |_| Behaviour::HasNoEpoch] as [Script; 2] {
        let (feed, subscriptions) = linked(script).await;
        let refused = feed.load(Tenant::Platform.into()).await.unwrap_err();
        assert_eq!(refused.reason, Reason::VaultUnavailable);
        assert!(refused.retry_after.is_some() && !feed.is_connected());
        assert!(subscriptions.load(Ordering::SeqCst) >= 1);
    }
}

#[tokio::test]
async fn ids_are_sealed_with_the_key_of_the_last_handshake() {
    let script: Script = |n| match n {
        0 => Behaviour::ClosesAtTheFirstAsk,
        1 => Behaviour::HasNoResolutionKey,
        _ => Behaviour::Good,
    };
    let keys = fresh_keys();
    let (feed, subscriptions) = linked_with(script, keys.clone()).await;
    assert!(feed.resolution_key().is_none());
    until_connected(&feed).await;
    let opened_by = || {
        let key = feed.resolution_key().unwrap();
        let (id, _) = ResolutionSealer::new(0).unwrap().seal(&key, b"").unwrap();
        keys.iter().position(|key| key.open(&id).is_ok()).unwrap()
    };
    assert_eq!(opened_by(), 0);
    assert!(feed.load(Tenant::Platform.into()).await.is_err(), "the link ends");
    while subscriptions.load(Ordering::SeqCst) < 2 {
        assert_eq!(opened_by(), 0, "kept while the link is down");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    until_connected(&feed).await;
    assert_eq!((opened_by(), subscriptions.load(Ordering::SeqCst)), (1, 3));
}

#[tokio::test]
async fn without_a_resolution_key_of_its_own_a_handshake_fails() {
    for script in [|_| Behaviour::HasNoResolutionKey, |_| Behaviour::RepeatsAResolutionKey] as [Script; 2] {
        let (feed, _) = linked(script).await;
        let refused = feed.load(Tenant::Platform.into()).await.unwrap_err();
        assert_eq!(refused.reason, Reason::VaultUnavailable);
        assert!(!feed.is_connected() && feed.resolution_key().is_none());
    }
}

#[tokio::test]
async fn a_vault_that_keeps_breaking_off_is_not_hammered() {
    let (feed, subscriptions) = linked(|_| Behaviour::ClosesAtTheFirstAsk).await;
    until_connected(&feed).await;
    for _ in 0..3 {
        assert!(feed.load(Tenant::Platform.into()).await.is_err());
    }
    assert!(subscriptions.load(Ordering::SeqCst) < 8, "{subscriptions:?}");
}
