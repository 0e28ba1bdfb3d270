//! `claviger.keyvault.v1.KeyFeed`: one stream per subscription, whose asks are answered as they come.

mod journal;

use std::pin::Pin;
use std::sync::Arc;

use claviger_core::fault::Fault;
use claviger_core::position::Position;
use claviger_core::reason::Reason;
use claviger_proto::keyvault::{
    SnapshotHead, agent_route_message, sealed_key_message, session_binding_message, snapshot_messages, wanted,
};
use claviger_proto::keyvault_v1 as kv;
use claviger_proto::keyvault_v1::key_feed_server::KeyFeed;
use claviger_proto::keyvault_v1::{subscribe_request, subscribe_response};
use claviger_proto::status;
use claviger_runtime::propagation;
use futures::{Stream, StreamExt, future, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;
use uuid::Uuid;

use crate::usecase::feed::{Feed, Subscription, Tenanted};
use crate::usecase::journal::Journals;
use journal::{Asked, Turns, take};

/// Loads under way in one subscription; more wait in the stream.
const LOADS_AT_ONCE: usize = 64;

/// The service.
#[derive(Debug, Clone)]
pub struct KeyFeedService {
    feed: Feed,
    journals: Journals,
    catalog_digest: String,
    shutdown: CancellationToken,
}

/// One stream: a routing process and its subscription.
#[derive(Debug)]
struct Link {
    replica: Uuid,
    subscription: Subscription,
    journals: Journals,
}

impl KeyFeedService {
    /// Over the use-cases; subscriptions end at shutdown.
    #[must_use]
    pub fn new(feed: Feed, journals: Journals, catalog_digest: String, shutdown: CancellationToken) -> Self {
        Self { feed, journals, catalog_digest, shutdown }
    }

    fn welcome(&self, hello: &kv::Hello) -> Result<(Link, kv::SubscribeResponse), Fault> {
        let replica = Uuid::try_parse(&hello.replica)
            .map_err(|_| Fault::new(Reason::HandshakeFailed, "hello.replica must be a UUID"))?;
        let subscription = self.feed.subscribe(&hello.public_key)?;
        tracing::info!(%replica, session = %subscription.session, "routing subscribed");
        let welcome = kv::Welcome {
            session: subscription.session.to_string(),
            epoch: subscription.epoch.to_string(),
            encapsulated_key: subscription.encapsulated_key.clone(),
            catalog_digest: self.catalog_digest.clone(),
            resolution_key: subscription.resolution_key.clone(),
        };
        let link = Link { replica, subscription, journals: self.journals.clone() };
        Ok((link, response(subscribe_response::Message::Welcome(welcome))))
    }
}

#[tonic::async_trait]
impl KeyFeed for KeyFeedService {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<kv::SubscribeResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<kv::SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let mut incoming = request.into_inner();
        let Some(subscribe_request::Message::Hello(hello)) = incoming.message().await?.and_then(|m| m.message) else {
            return Err(out_of_order());
        };
        let (link, welcome) = self.welcome(&hello).map_err(|fault| status::of(&fault))?;
        let (link, mut turns) = (Arc::new(link), Turns::default());
        let answers = incoming
            .take_until(self.shutdown.clone().cancelled_owned())
            .map(move |request| answer(link.clone(), turns.asked(request)))
            .buffer_unordered(LOADS_AT_ONCE)
            .flat_map(stream::iter);
        let responses = stream::once(future::ready(Ok(welcome))).chain(answers);
        Ok(Response::new(Box::pin(responses)))
    }
}

/// Answers one ask, under the trace of the call that needs it.
async fn answer(link: Arc<Link>, asked: Asked) -> Vec<Result<kv::SubscribeResponse, Status>> {
    let load = match asked {
        Asked::Load(load) => load,
        Asked::Journal(batch, turn) => return vec![take(&link, turn, batch).await],
        Asked::Nothing(status) => return vec![Err(status)],
    };
    let span = tracing::info_span!(
        parent: None,
        "load_tenant",
        otel.name = "claviger.keyvault.v1.KeyFeed/LoadTenant",
        otel.kind = "server"
    );
    propagation::set_parent(&span, &load.traceparent);
    load_tenant(&link.subscription, load).instrument(span).await.into_iter().map(Ok).collect()
}

async fn load_tenant(subscription: &Subscription, load: kv::LoadTenant) -> Vec<kv::SubscribeResponse> {
    let loaded = match wanted(&load) {
        Ok(wanted) => subscription.load(&wanted).await,
        Err(fault) => Err(fault),
    };
    match loaded {
        Ok(tenant) => parts(load.load_id, subscription.epoch, tenant),
        Err(fault) => {
            let failed = kv::LoadFailed { load_id: load.load_id, reason: fault.reason.as_str().to_owned() };
            vec![response(subscribe_response::Message::LoadFailed(failed))]
        }
    }
}

fn parts(load_id: u64, epoch: Uuid, tenant: Tenanted) -> Vec<kv::SubscribeResponse> {
    let at = Position { epoch, seq: tenant.seq };
    let head = SnapshotHead {
        load_id,
        seq: tenant.seq,
        exists: tenant.exists,
        policy: &tenant.policy,
        byok: tenant.byok,
        route: tenant.route.map(|kept| agent_route_message(&kept.value, kept.seq, at)),
        binding: tenant.binding.map(|kept| session_binding_message(&kept.value, at)),
    };
    let keys =
        tenant.keys.into_iter().map(|key| sealed_key_message(&key.key, key.secret, key.expire_time, key.unreadable));
    let parts = snapshot_messages(&head, keys);
    parts.into_iter().map(|part| response(subscribe_response::Message::Snapshot(part))).collect()
}

fn response(message: subscribe_response::Message) -> kv::SubscribeResponse {
    kv::SubscribeResponse { message: Some(message) }
}

fn out_of_order() -> Status {
    let message = "the feed starts with one hello; load_tenant and journal follow";
    status::of(&Fault::new(Reason::HandshakeFailed, message))
}
