//! The feed against a vault that misbehaves, over a real socket.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use claviger_core::position::session_binding;
use claviger_crypto::SessionSealer;
use claviger_proto::keyvault_v1::key_feed_server::{KeyFeed, KeyFeedServer};
use claviger_proto::keyvault_v1::{
    SubscribeRequest, SubscribeResponse, TenantSnapshot, Welcome, subscribe_request, subscribe_response,
};
use futures::{Stream, StreamExt, stream};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::*;

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
}

struct FakeVault {
    script: Script,
    subscriptions: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl KeyFeed for FakeVault {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let behaviour = (self.script)(self.subscriptions.fetch_add(1, Ordering::SeqCst));
        let mut asks = request.into_inner();
        let hello = asks.message().await?.unwrap().message.unwrap();
        let subscribe_request::Message::Hello(hello) = hello else { return Err(Status::internal("no hello")) };
        let welcome = stream::iter([Ok(welcome(&hello.public_key, behaviour))]);
        let answers = asks
            .take_while(move |_| std::future::ready(behaviour != Behaviour::ClosesAtTheFirstAsk))
            .map(|ask| Ok(snapshot(ask?)));
        Ok(Response::new(Box::pin(welcome.chain(answers))))
    }
}

fn welcome(public_key: &[u8], behaviour: Behaviour) -> SubscribeResponse {
    let (session, epoch) = (Uuid::now_v7(), Uuid::now_v7());
    let bound = if behaviour == Behaviour::LiesInTheWelcome { Uuid::now_v7() } else { session };
    let (encapsulated_key, _) = SessionSealer::establish(public_key, &session_binding(bound, epoch)).unwrap();
    let epoch = if behaviour == Behaviour::LiesInTheWelcome { "no uuid".into() } else { epoch.to_string() };
    let welcome = Welcome { session: session.to_string(), epoch, encapsulated_key, catalog_digest: String::new() };
    SubscribeResponse { message: Some(subscribe_response::Message::Welcome(welcome)) }
}

fn snapshot(ask: SubscribeRequest) -> SubscribeResponse {
    let Some(subscribe_request::Message::LoadTenant(load)) = ask.message else { return SubscribeResponse::default() };
    let snapshot = TenantSnapshot { load_id: load.load_id, seq: 7, exists: true, ..Default::default() };
    SubscribeResponse { message: Some(subscribe_response::Message::Snapshot(snapshot)) }
}

/// A feed linked to a vault that follows a script, and how often it was subscribed to.
async fn linked(script: Script) -> (Feed, Arc<AtomicUsize>) {
    let subscriptions = Arc::new(AtomicUsize::new(0));
    let vault = FakeVault { script, subscriptions: subscriptions.clone() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_service(KeyFeedServer::new(vault));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let (feed, asks) = feed();
    tokio::spawn(Link::new(address.to_string(), channel, String::new()).run(asks, CancellationToken::new()));
    (feed, subscriptions)
}

async fn until_connected(feed: &Feed) {
    feed.connected.clone().wait_for(|up| *up).await.unwrap();
}

#[tokio::test]
async fn an_ask_under_way_survives_the_end_of_its_subscription() {
    let (feed, subscriptions) = linked(|n| if n == 0 { Behaviour::ClosesAtTheFirstAsk } else { Behaviour::Good }).await;
    until_connected(&feed).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await; // long enough to be worth replacing at once
    let view = feed.load(&Tenant::Platform).await.unwrap();
    assert_eq!((view.at.seq, subscriptions.load(Ordering::SeqCst)), (7, 2));
}

#[tokio::test]
async fn without_a_sound_handshake_asks_are_refused() {
    let (feed, subscriptions) = linked(|_| Behaviour::LiesInTheWelcome).await;
    let refused = feed.load(&Tenant::Platform).await.unwrap_err();
    assert_eq!(refused.reason, Reason::VaultUnavailable);
    assert!(refused.retry_after.is_some() && !feed.is_connected());
    assert!(subscriptions.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn a_vault_that_keeps_breaking_off_is_not_hammered() {
    let (feed, subscriptions) = linked(|_| Behaviour::ClosesAtTheFirstAsk).await;
    until_connected(&feed).await;
    for _ in 0..3 {
        assert!(feed.load(&Tenant::Platform).await.is_err());
    }
    assert!(subscriptions.load(Ordering::SeqCst) < 8, "{subscriptions:?}");
}
