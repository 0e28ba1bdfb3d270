//! What routing knows of the vault: tenants as they are now, each secret sealed for this process alone.

mod handshake;
mod link;
mod shipping;
mod view;

use std::sync::Arc;
use std::time::Duration;

use claviger_core::fault::Fault;
use claviger_core::reason::Reason;
use claviger_core::route::Wanted;
use claviger_crypto::ResolutionKey;
use tokio::sync::{mpsc, oneshot, watch};

pub use link::{Link, LinkError};
pub use shipping::Shipper;
pub use view::TenantView;

/// Asks that wait for the link, at most.
const QUEUE: usize = 1_024;

/// Asks the vault for tenants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed {
    asks: mpsc::Sender<Load>,
    connected: watch::Receiver<bool>,
    resolution_key: watch::Receiver<Option<Arc<ResolutionKey>>>,
}

/// One ask.
#[derive(Debug)]
pub(crate) struct Load {
    wanted: Wanted,
    traceparent: String,
    reply: oneshot::Sender<Result<TenantView, Fault>>,
    asked_again: bool,
}

impl Load {
    fn answer(self, answer: Result<TenantView, Fault>) {
        let _ = self.reply.send(answer); // whoever asked may have gone
    }
}

/// The two ends of a feed: one for those who ask, one for the task that keeps the link.
#[must_use]
pub fn feed() -> (Feed, Asks) {
    let (asks, queue) = mpsc::channel(QUEUE);
    let (up, connected) = watch::channel(false);
    let (key, resolution_key) = watch::channel(None);
    (Feed { asks, connected, resolution_key }, Asks { queue, up, key })
}

/// The link's end of a feed.
#[derive(Debug)]
pub struct Asks {
    queue: mpsc::Receiver<Load>,
    up: watch::Sender<bool>,
    key: watch::Sender<Option<Arc<ResolutionKey>>>,
}

impl Feed {
    /// One tenant, as it is now, with those of its standing orders that are asked for.
    ///
    /// # Errors
    /// `VAULT_UNAVAILABLE`, `WORKSPACE_NOT_FOUND`, `WORKSPACE_ALTERED`.
    pub async fn load(&self, wanted: Wanted) -> Result<TenantView, Fault> {
        let (reply, answer) = oneshot::channel();
        let traceparent = claviger_runtime::propagation::traceparent().unwrap_or_default();
        let load = Load { wanted, traceparent, reply, asked_again: false };
        self.asks.send(load).await.map_err(|_| unavailable())?;
        answer.await.map_err(|_| unavailable())?
    }

    /// Whether the link to the vault is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// What resolution ids are sealed with: as the vault said at the last handshake, however the link is now; none before the
    /// first.
    #[must_use]
    pub fn resolution_key(&self) -> Option<Arc<ResolutionKey>> {
        self.resolution_key.borrow().clone()
    }
}

#[cfg(test)]
impl Feed {
    /// Of no vault.
    pub(crate) fn with_key(key: Arc<ResolutionKey>) -> Self {
        let (feed, asks) = feed();
        asks.key.send_replace(Some(key));
        feed
    }
}

pub(crate) fn unavailable() -> Fault {
    Fault::new(Reason::VaultUnavailable, "routing has no link to the vault now; try again")
        .retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests;
