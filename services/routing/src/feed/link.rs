//! The task that keeps a subscription to the vault, and makes a new one when it ends.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use claviger_core::fault::Fault;
use claviger_core::position::Position;
use claviger_proto::keyvault::tenant_part;
use claviger_proto::keyvault_v1::key_feed_client::KeyFeedClient;
use claviger_proto::keyvault_v1::{
    LoadTenant, SubscribeRequest, SubscribeResponse, TenantSnapshot, subscribe_request, subscribe_response,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Channel;
use uuid::Uuid;

use super::handshake::{Session, hello, welcome};
use super::{Asks, Load, TenantView, unavailable};

const OUTGOING: usize = 256;
const LARGEST_PART: usize = 4 * 1024 * 1024;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The vault refused or broke off.
    #[error("the vault ended the subscription ({0})")]
    Refused(tonic::Code),
    /// The handshake did not come to a cipher.
    #[error("the feed's handshake failed")]
    Handshake,
    /// The vault closed it.
    #[error("the vault closed the subscription")]
    Closed,
}

impl From<tonic::Status> for LinkError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(status.code())
    }
}

/// Keeps the link.
#[derive(Debug)]
pub struct Link {
    channel: Channel,
    replica: Uuid,
    catalog_digest: String,
}

type Pending = HashMap<u64, (TenantView, oneshot::Sender<Result<TenantView, Fault>>)>;

impl Link {
    /// To a vault. `catalog_digest` is of our own catalog.
    #[must_use]
    pub fn new(channel: Channel, catalog_digest: String) -> Self {
        Self { channel, replica: Uuid::now_v7(), catalog_digest }
    }

    /// Subscribes, and subscribes again when that ends, until shutdown.
    ///
    /// # Errors
    /// Never; it is a supervised task.
    pub async fn run(self, mut asks: Asks, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut wait = FIRST_WAIT;
        loop {
            let ended = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                ended = self.subscribe(&mut asks) => ended,
            };
            let was_up = asks.up.send_replace(false);
            wait = if was_up { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
            if let Err(error) = ended {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, source, retry_in = ?wait, "no link to the vault");
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = refuse_for(wait, &mut asks.queue) => {}
            }
        }
    }

    async fn subscribe(&self, asks: &mut Asks) -> Result<(), LinkError> {
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
        asks.up.send_replace(true);
        exchange(&session, &outgoing, &mut incoming, &mut asks.queue).await
    }
}

/// Sends asks and hands out answers until either side ends. Asks without an answer are dropped, which their askers see.
async fn exchange(
    session: &Session,
    outgoing: &mpsc::Sender<SubscribeRequest>,
    incoming: &mut Streaming<SubscribeResponse>,
    queue: &mut mpsc::Receiver<Load>,
) -> Result<(), LinkError> {
    let mut pending = Pending::new();
    let mut last_id = 0;
    loop {
        tokio::select! {
            ask = queue.recv() => {
                let Some(ask) = ask else { return Ok(()) };
                last_id += 1;
                pending.retain(|_, (_, reply)| !reply.is_closed());
                let empty = TenantView::empty(ask.tenant.clone(), position(session), session.opener.clone());
                pending.insert(last_id, (empty, ask.reply));
                let load = LoadTenant {
                    load_id: last_id,
                    tenant: ask.tenant.to_string(),
                    traceparent: ask.traceparent,
                };
                let message = Some(subscribe_request::Message::LoadTenant(load));
                outgoing.send(SubscribeRequest { message }).await.map_err(|_| LinkError::Closed)?;
            }
            answer = incoming.message() => answered(answer?.ok_or(LinkError::Closed)?, &mut pending),
        }
    }
}

fn position(session: &Session) -> Position {
    Position { epoch: session.epoch, seq: 0 }
}

fn answered(response: SubscribeResponse, pending: &mut Pending) {
    match response.message {
        Some(subscribe_response::Message::Snapshot(part)) => add_part(part, pending),
        Some(subscribe_response::Message::LoadFailed(failed)) => {
            if let Some((_, reply)) = pending.remove(&failed.load_id) {
                tracing::warn!(reason = failed.reason, "the vault could not load a tenant");
                let _ = reply.send(Err(unavailable())); // whoever asked may have gone
            }
        }
        Some(subscribe_response::Message::Welcome(_)) | None => {} // nothing that we wait for
    }
}

fn add_part(message: TenantSnapshot, pending: &mut Pending) {
    let load_id = message.load_id;
    let Some((mut view, reply)) = pending.remove(&load_id) else { return };
    match tenant_part(message) {
        Ok(part) => {
            let more = part.more;
            view.add(part);
            if more {
                pending.insert(load_id, (view, reply));
            } else {
                let _ = reply.send(Ok(view)); // whoever asked may have gone
            }
        }
        Err(fault) => {
            tracing::error!(%fault, "the vault speaks of something that this version does not know");
            let _ = reply.send(Err(Fault::internal()));
        }
    }
}

/// Waits, and tells those who ask meanwhile that there is no link.
async fn refuse_for(wait: Duration, queue: &mut mpsc::Receiver<Load>) {
    let refuse = async {
        while let Some(ask) = queue.recv().await {
            let _ = ask.reply.send(Err(unavailable())); // whoever asked may have gone
        }
    };
    let _ = tokio::time::timeout(wait, refuse).await;
}
