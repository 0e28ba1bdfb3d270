//! The task that ships the journal to the vault. It has a subscription of its own: whatever is the matter with journals, the
//! loads of tenants go on.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use claviger_core::reason::Reason;
use claviger_proto::keyvault_v1::key_feed_client::KeyFeedClient;
use claviger_proto::keyvault_v1::{SubscribeRequest, SubscribeResponse, subscribe_request, subscribe_response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Channel;
use uuid::Uuid;

use super::handshake::{hello, welcome};
use super::link::LinkError;
use crate::journal::Journal;

/// How often the journal is shipped.
const SHIP_EVERY: Duration = Duration::from_millis(200);
/// How long a handshake, and then each batch, may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a shutdown waits for the journal to be taken; shorter than the supervisor's patience with background tasks.
const LAST_SHIPMENT: Duration = Duration::from_secs(4);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Ships the journal.
#[derive(Debug)]
pub struct Shipper {
    channel: Channel,
    journal: Arc<Journal>,
}

/// One subscription that batches go over.
struct Line {
    outgoing: mpsc::Sender<SubscribeRequest>,
    incoming: Streaming<SubscribeResponse>,
}

impl Shipper {
    /// To a vault.
    #[must_use]
    pub fn new(channel: Channel, journal: Arc<Journal>) -> Self {
        Self { channel, journal }
    }

    /// Ships until shutdown, and then until the vault has all of the journal or it is too late.
    ///
    /// # Errors
    /// Never; it is a supervised task.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut shipped = pin!(self.shipped(&shutdown));
        let mut name = Uuid::now_v7();
        let mut wait = FIRST_WAIT;
        loop {
            let before = self.journal.shipped_count();
            let ended = tokio::select! {
                () = &mut shipped => return Ok(()),
                ended = self.ship(name) => ended,
            };
            if is_gap(&ended) {
                tracing::error!(
                    "the vault has forgotten how far it took this journal, as after a restore; it goes on under a new name"
                );
                name = Uuid::now_v7();
                self.journal.begin_anew();
            }
            if self.journal.shipped_count() > before {
                wait = FIRST_WAIT;
                tracing::info!(reason = %ended, "the journal's line to the vault ended; another one is made");
            } else {
                let waiting = self.journal.len();
                tracing::warn!(reason = %ended, retry_in = ?wait, waiting, "the vault takes no journal now");
            }
            tokio::select! {
                () = &mut shipped => return Ok(()),
                () = tokio::time::sleep(if shutdown.is_cancelled() { FIRST_WAIT } else { wait }) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Waits for the shutdown, and then until the vault has all of the journal, or it is too late.
    async fn shipped(&self, shutdown: &CancellationToken) {
        shutdown.cancelled().await;
        let shipped = async {
            while !self.journal.is_empty() {
                tokio::time::sleep(SHIP_EVERY / 10).await;
            }
        };
        if tokio::time::timeout(LAST_SHIPMENT, shipped).await.is_err() {
            tracing::error!(lost = self.journal.len(), "the vault has not taken the last of the journal; it is lost");
        }
    }

    /// Ships batch after batch, under this name, until something is the matter. It waits for something to ship first: a
    /// process that hands out nothing needs no line.
    async fn ship(&self, name: Uuid) -> LinkError {
        let mut line = None;
        loop {
            let Some(batch) = self.journal.batch() else {
                tokio::time::sleep(SHIP_EVERY).await;
                continue;
            };
            let line = match &mut line {
                Some(line) => line,
                none => match within(self.line(name)).await {
                    Ok(opened) => none.insert(opened),
                    Err(error) => return error,
                },
            };
            let request = SubscribeRequest { message: Some(subscribe_request::Message::Journal(batch)) };
            match within(line.taken(request)).await {
                Ok(offset) => self.journal.taken(offset),
                Err(error) => return error,
            }
            if !self.journal.has_a_batch() {
                tokio::time::sleep(SHIP_EVERY).await;
            }
        }
    }

    async fn line(&self, name: Uuid) -> Result<Line, LinkError> {
        let (outgoing, requests) = mpsc::channel(1);
        let (first, handshake) = hello(name)?;
        outgoing.send(first).await.map_err(|_| LinkError::Closed)?;
        let mut client = KeyFeedClient::new(self.channel.clone());
        let mut incoming = client.subscribe(ReceiverStream::new(requests)).await?.into_inner();
        welcome(incoming.message().await?, handshake)?;
        Ok(Line { outgoing, incoming })
    }
}

impl Line {
    /// Sends a batch, and waits until it is taken.
    async fn taken(&mut self, request: SubscribeRequest) -> Result<u64, LinkError> {
        // where the vault has closed the stream, what it says tells why
        let _ = self.outgoing.send(request).await;
        loop {
            let answer = self.incoming.message().await?.ok_or(LinkError::Closed)?;
            if let Some(subscribe_response::Message::JournalAck(ack)) = answer.message {
                return Ok(ack.offset); // we wait for nothing else
            }
        }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(LinkError::Silent))
}

fn is_gap(error: &LinkError) -> bool {
    matches!(error, LinkError::Refused(_, reason) if reason == Reason::JournalGap.as_str())
}
