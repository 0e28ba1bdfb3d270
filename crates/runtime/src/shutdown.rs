//! How a process ends: on SIGTERM or SIGINT in good order, on a broken part at once, and never half alive.
//!
//! The order: NOT_SERVING is reported; the servers drain, each within its own grace time; the background tasks are
//! cancelled; the last traces are exported. A second signal skips the waiting.

use std::{fmt, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{health::Health, telemetry::Guard};

/// Time that background tasks have to end by themselves.
const BACKGROUND_GRACE: Duration = Duration::from_secs(5);

/// Why a process ended other than by a signal. `main` returns it, so that the exit code is not zero.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part that must live as long as the process ended.
    #[error("{0} stopped")]
    Stopped(&'static str),
    /// Signals cannot be received.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

/// Owns all tasks of a process. Clones share them.
#[derive(Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
    ends: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<&'static str>>>,
}

struct Inner {
    servers: CancellationToken,
    background: CancellationToken,
    server_tasks: TaskTracker,
    background_tasks: TaskTracker,
    cut: CancellationToken,
    stop: CancellationToken,
    failed: mpsc::UnboundedSender<&'static str>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// Without tasks yet.
    pub fn new() -> Self {
        let (failed, ends) = mpsc::unbounded_channel();
        let inner = Inner {
            servers: CancellationToken::new(),
            background: CancellationToken::new(),
            server_tasks: TaskTracker::new(),
            background_tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
            stop: CancellationToken::new(),
            failed,
        };
        Self { inner: Arc::new(inner), ends: Arc::new(tokio::sync::Mutex::new(ends)) }
    }

    /// Cancelled when the servers shall drain. Streams that would never end by themselves end on it too.
    pub fn servers(&self) -> CancellationToken {
        self.inner.servers.clone()
    }

    /// Cancelled when the servers have drained and background tasks shall end.
    pub fn background(&self) -> CancellationToken {
        self.inner.background.clone()
    }

    /// Starts the same shutdown as a signal does.
    pub fn stop(&self) {
        self.inner.stop.cancel();
    }

    /// Runs a server. Its end, however, before the shutdown stops the process.
    pub fn spawn_server<T, E>(&self, name: &'static str, task: impl Future<Output = Result<T, E>> + Send + 'static)
    where
        E: fmt::Display,
    {
        let failed = self.inner.failed.clone();
        let (shutdown, cut) = (self.inner.servers.clone(), self.inner.cut.clone());
        self.inner.server_tasks.spawn(async move {
            let ended = cut.run_until_cancelled(outcome(name, task)).await;
            if ended.is_some() && !shutdown.is_cancelled() {
                tracing::error!(task = name, "server ended");
                let _ = failed.send(name);
            }
        });
    }

    /// Runs a background task. An error or a panic before the shutdown stops the process; a good end does not.
    pub fn spawn<T, E>(&self, name: &'static str, task: impl Future<Output = Result<T, E>> + Send + 'static)
    where
        E: fmt::Display,
    {
        let (failed, cut) = (self.inner.failed.clone(), self.inner.cut.clone());
        self.inner.background_tasks.spawn(async move {
            if cut.run_until_cancelled(outcome(name, task)).await == Some(Ended::Badly) {
                let _ = failed.send(name);
            }
        });
    }

    /// Waits for a signal, [`Supervisor::stop`] or the first broken task, and then ends the process in good order.
    ///
    /// # Errors
    /// [`Error::Stopped`] names the task that broke, before the shutdown or during it.
    pub async fn run(self, health: Health, telemetry: Guard) -> Result<(), Error> {
        self.run_until(Signals::new()?, health, telemetry).await
    }

    /// The same with signals that were listened for earlier, so that none of the time before is lost.
    ///
    /// # Errors
    /// [`Error::Stopped`], as [`Supervisor::run`].
    pub async fn run_until(self, mut signals: Signals, health: Health, telemetry: Guard) -> Result<(), Error> {
        let broken = self.until_end(&mut signals).await;
        tokio::select! {
            () = self.drain(&health) => {}
            name = signals.next() => {
                tracing::warn!(signal = name, "second signal: not waiting any longer");
                self.inner.cut.cancel();
            }
        }
        let broken = match broken {
            None => self.ends.lock().await.try_recv().ok(),
            some => some,
        };
        tracing::info!("stopped");
        telemetry.shutdown().await;
        broken.map_or(Ok(()), |name| Err(Error::Stopped(name)))
    }

    /// The name of the task that broke, if that is the reason.
    async fn until_end(&self, signals: &mut Signals) -> Option<&'static str> {
        let mut ends = self.ends.lock().await;
        tokio::select! {
            name = signals.next() => tracing::info!(signal = name, "shutting down"),
            () = self.inner.stop.cancelled() => tracing::info!("shutting down"),
            Some(name) = ends.recv() => {
                tracing::error!(task = name, "shutting down: a part that the process needs has stopped");
                return Some(name);
            }
        }
        None
    }

    async fn drain(&self, health: &Health) {
        health.drain().await;
        self.inner.servers.cancel();
        self.inner.server_tasks.close();
        self.inner.server_tasks.wait().await;
        self.inner.background.cancel();
        self.inner.background_tasks.close();
        if tokio::time::timeout(BACKGROUND_GRACE, self.inner.background_tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.inner.background_tasks.len(), "background tasks cut");
            self.inner.cut.cancel();
            self.inner.background_tasks.wait().await;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    Badly,
}

/// Runs a task to its end and logs a bad one.
async fn outcome<T, E: fmt::Display>(name: &'static str, task: impl Future<Output = Result<T, E>>) -> Ended {
    match AssertUnwindSafe(task).catch_unwind().await {
        Ok(Ok(_)) => Ended::Well,
        Ok(Err(error)) => {
            tracing::error!(task = name, %error, "task failed");
            Ended::Badly
        }
        Err(_) => {
            tracing::error!(task = name, "task panicked");
            Ended::Badly
        }
    }
}

/// SIGTERM and SIGINT. From when it is made on, they end the process through [`Supervisor::run_until`] alone.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on. Within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Signals`].
    pub fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signals);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests;
