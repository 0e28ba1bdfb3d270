//! What routing knows of the vault: tenants as they are now, each secret sealed for this process alone.

mod handshake;
mod link;
mod view;

use claviger_core::fault::Fault;
use claviger_core::ids::Tenant;
use claviger_core::reason::Reason;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

pub use link::{Link, LinkError};
pub use view::TenantView;

/// Asks that wait for the link, at most.
const QUEUE: usize = 1_024;

/// Asks the vault for tenants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed {
    asks: mpsc::Sender<Load>,
    connected: watch::Receiver<bool>,
}

/// One ask.
#[derive(Debug)]
pub(crate) struct Load {
    tenant: Tenant,
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
    (Feed { asks, connected }, Asks { queue, up })
}

/// The link's end of a feed.
#[derive(Debug)]
pub struct Asks {
    queue: mpsc::Receiver<Load>,
    up: watch::Sender<bool>,
}

impl Feed {
    /// One tenant, as it is now.
    ///
    /// # Errors
    /// `VAULT_UNAVAILABLE`.
    pub async fn load(&self, tenant: &Tenant) -> Result<TenantView, Fault> {
        let (reply, answer) = oneshot::channel();
        let traceparent = claviger_runtime::propagation::traceparent().unwrap_or_default();
        let load = Load { tenant: tenant.clone(), traceparent, reply, asked_again: false };
        self.asks.send(load).await.map_err(|_| unavailable())?;
        answer.await.map_err(|_| unavailable())?
    }

    /// Whether the link to the vault is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }
}

fn unavailable() -> Fault {
    Fault::new(Reason::VaultUnavailable, "routing has no link to the vault now; try again")
        .retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests;
