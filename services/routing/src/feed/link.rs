//! The task that keeps a subscription to the vault, and makes a new one when it ends.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use claviger_core::fault::Fault;
use claviger_core::position::Position;
use claviger_core::reason::Reason;
use claviger_proto::keyvault::tenant_part;
use claviger_proto::keyvault_v1::key_feed_client::KeyFeedClient;
use claviger_proto::keyvault_v1::{
    LoadTenant, SubscribeRequest, SubscribeResponse, TenantSnapshot, subscribe_request, subscribe_response,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Channel;
use uuid::Uuid;

use super::handshake::{Session, hello, welcome};
use super::{Asks, Load, TenantView, unavailable};

const OUTGOING: usize = 256;
/// Asks without an answer at most; more wait, and those whose deadline passes meanwhile are never sent.
const MOST_PENDING: usize = 256;
const LARGEST_PART: usize = 4 * 1024 * 1024;
/// Asks wait while a handshake is under way, so it must end well before their deadlines do.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// A subscription that lasted this long is worth replacing at once.
const SOUND: Duration = Duration::from_secs(1);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection: the texts of its causes, none of which holds a secret.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The vault refused or broke off: the code, and its reason if it gives one.
    #[error("the vault ended the subscription ({0} {1})")]
    Refused(tonic::Code, String),
    /// The vault takes connections and stays silent.
    #[error("the vault did not answer within 5 s")]
    Silent,
    /// The handshake did not come to a cipher.
    #[error("the feed's handshake failed")]
    Handshake,
    /// The vault closed it.
    #[error("the vault closed the subscription")]
    Closed,
}

impl From<tonic::Status> for LinkError {
    fn from(status: tonic::Status) -> Self {
        // only a status that this side made has a cause
        let causes = std::iter::successors(std::error::Error::source(&status), |error| error.source());
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        if causes.is_empty() {
            Self::Refused(status.code(), claviger_proto::status::reason(&status).unwrap_or_default())
        } else {
            Self::Connect(causes.join(": "))
        }
    }
}

/// Keeps the link.
#[derive(Debug)]
pub struct Link {
    vault: String,
    channel: Channel,
    replica: Uuid,
    catalog_digest: String,
}

/// Asks under way: each with what has come of its answer so far.
type Pending = HashMap<u64, (Load, TenantView)>;

impl Link {
    /// From the process of this name to a vault, whose address is for the log. `catalog_digest` is of our own catalog.
    #[must_use]
    pub fn new(vault: String, channel: Channel, replica: Uuid, catalog_digest: String) -> Self {
        Self { vault, channel, replica, catalog_digest }
    }

    /// Subscribes, and subscribes again when that ends, until shutdown. A subscription that ended after it was up (the
    /// vault retires connections, and restarts) is replaced at once, and the asks under way are asked again; only when
    /// that fails are they refused.
    ///
    /// # Errors
    /// Never; it is a supervised task.
    pub async fn run(self, mut asks: Asks, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut wait = FIRST_WAIT;
        let mut backlog = VecDeque::new();
        loop {
            let start = Instant::now();
            let ended = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                ended = self.subscribe(&mut asks, &mut backlog) => ended,
            };
            if asks.up.send_replace(false) && start.elapsed() > SOUND {
                tracing::info!(reason = %ended, "the subscription ended; subscribing again");
                wait = FIRST_WAIT;
                continue;
            }
            tracing::warn!(vault = self.vault, reason = %ended, retry_in = ?wait, "no link to the vault");
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = refuse_for(wait, &mut backlog, &mut asks.queue) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn subscribe(&self, asks: &mut Asks, backlog: &mut VecDeque<Load>) -> LinkError {
        match tokio::time::timeout(HANDSHAKE, self.handshake()).await {
            Err(_) => LinkError::Silent,
            Ok(Err(error)) => error,
            Ok(Ok(mut subscription)) => {
                asks.key.send_replace(Some(subscription.session.resolution_key.clone())); // first: whoever sees the link up has it
                asks.up.send_replace(true);
                let ended = subscription.exchange(backlog, &mut asks.queue).await;
                backlog.extend(subscription.unanswered());
                ended
            }
        }
    }

    async fn handshake(&self) -> Result<Subscription, LinkError> {
        let (outgoing, requests) = mpsc::channel(OUTGOING);
        let (first, handshake) = hello(self.replica)?;
        outgoing.send(first).await.map_err(|_| LinkError::Closed)?;
        let mut client = KeyFeedClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_PART);
        let mut incoming = client.subscribe(ReceiverStream::new(requests)).await?.into_inner();
        let session = welcome(incoming.message().await?, handshake)?;
        if session.catalog_digest != self.catalog_digest {
            tracing::warn!("the vault's catalog differs from routing's; give both the same CLAVIGER_CATALOG_FILE");
        }
        tracing::info!(epoch = %session.epoch, "linked to the vault");
        Ok(Subscription { session, outgoing, incoming, pending: Pending::new(), last_id: 0 })
    }
}

/// One subscription, from its welcome to its end.
struct Subscription {
    session: Session,
    outgoing: mpsc::Sender<SubscribeRequest>,
    incoming: Streaming<SubscribeResponse>,
    pending: Pending,
    last_id: u64,
}

impl Subscription {
    /// Sends asks and hands out answers until either side ends.
    async fn exchange(&mut self, backlog: &mut VecDeque<Load>, queue: &mut mpsc::Receiver<Load>) -> LinkError {
        let outgoing = self.outgoing.clone();
        loop {
            tokio::select! {
                next = next(&outgoing, backlog, queue), if self.has_room() => match next {
                    Some((slot, load)) => self.ask(slot, load),
                    None => return LinkError::Closed,
                },
                answer = self.incoming.message() => match answer {
                    Ok(Some(answer)) => self.answered(answer),
                    Ok(None) => return LinkError::Closed,
                    Err(status) => return status.into(),
                },
            }
        }
    }

    /// Whether another ask may be sent. Those whose asker has gone make room.
    fn has_room(&mut self) -> bool {
        if self.pending.len() >= MOST_PENDING {
            self.pending.retain(|_, (load, _)| !load.reply.is_closed());
        }
        self.pending.len() < MOST_PENDING
    }

    /// Asks to be asked again, in their order. Once is enough: an ask that ended two subscriptions may be why they ended.
    fn unanswered(self) -> impl Iterator<Item = Load> {
        let mut left: Vec<_> = self.pending.into_iter().collect();
        left.sort_unstable_by_key(|(load_id, _)| *load_id);
        left.into_iter().filter_map(|(_, (mut load, _))| {
            if load.asked_again {
                load.answer(Err(unavailable()));
                return None;
            }
            load.asked_again = true;
            Some(load)
        })
    }

    fn ask(&mut self, slot: mpsc::Permit<'_, SubscribeRequest>, load: Load) {
        self.last_id += 1;
        let at = Position { epoch: self.session.epoch, seq: 0 };
        let empty = TenantView::empty(load.wanted.tenant.clone(), at, self.session.opener.clone());
        let request = LoadTenant {
            load_id: self.last_id,
            tenant: load.wanted.tenant.to_string(),
            traceparent: load.traceparent.clone(),
            agent: load.wanted.agent.as_ref().map(ToString::to_string).unwrap_or_default(),
            session: load.wanted.session.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        self.pending.insert(self.last_id, (load, empty));
        let message = Some(subscribe_request::Message::LoadTenant(request));
        slot.send(SubscribeRequest { message });
    }

    fn answered(&mut self, response: SubscribeResponse) {
        match response.message {
            Some(subscribe_response::Message::Snapshot(part)) => self.add_part(part),
            Some(subscribe_response::Message::LoadFailed(failed)) => {
                if let Some((load, _)) = self.pending.remove(&failed.load_id) {
                    tracing::warn!(reason = failed.reason, "the vault could not load a tenant");
                    load.answer(Err(failed_load(&failed.reason)));
                }
            }
            Some(subscribe_response::Message::Welcome(_) | subscribe_response::Message::JournalAck(_)) | None => {} // nothing that we wait for
        }
    }

    fn add_part(&mut self, message: TenantSnapshot) {
        let load_id = message.load_id;
        let Some((load, mut view)) = self.pending.remove(&load_id) else { return };
        match tenant_part(message) {
            Ok(part) if part.more => {
                view.add(part);
                self.pending.insert(load_id, (load, view));
            }
            Ok(part) => {
                view.add(part);
                load.answer(Ok(view));
            }
            Err(fault) => {
                tracing::error!(%fault, "the vault speaks of something that this version does not know");
                load.answer(Err(Fault::internal()));
            }
        }
    }
}

/// The next ask, and a slot to send it in; `None` when the stream has ended. Answers are read while the slot is waited for:
/// with both directions full, the vault takes nothing before we take what it has.
async fn next<'a>(
    outgoing: &'a mpsc::Sender<SubscribeRequest>,
    backlog: &mut VecDeque<Load>,
    queue: &mut mpsc::Receiver<Load>,
) -> Option<(mpsc::Permit<'a, SubscribeRequest>, Load)> {
    let slot = outgoing.reserve().await.ok()?;
    loop {
        let load = match backlog.pop_front() {
            Some(load) => load,
            None => match queue.recv().await {
                Some(load) => load,
                None => std::future::pending().await, // nobody is left who could ask: the end is near
            },
        };
        if !load.reply.is_closed() {
            return Some((slot, load));
        }
    }
}

/// Waits, and tells those who asked and who ask meanwhile that there is no link.
async fn refuse_for(wait: Duration, backlog: &mut VecDeque<Load>, queue: &mut mpsc::Receiver<Load>) {
    backlog.drain(..).for_each(|load| load.answer(Err(unavailable())));
    let refuse = async {
        while let Some(load) = queue.recv().await {
            load.answer(Err(unavailable()));
        }
        std::future::pending::<()>().await; // nobody is left who could ask; the wait is a wait all the same
    };
    let _ = tokio::time::timeout(wait, refuse).await; // it ends only when the time does
}

/// What the vault refused for good is passed on; anything else is worth another try.
fn failed_load(reason: &str) -> Fault {
    let lasting = [
        (Reason::WorkspaceNotFound, "the workspace is deleted"),
        (Reason::WorkspaceAltered, "the workspace's record or standing order is not as its newest audit event left it"),
    ];
    let known = lasting.into_iter().find(|(known, _)| known.as_str() == reason);
    known.map_or_else(unavailable, |(reason, message)| Fault::new(reason, message))
}
