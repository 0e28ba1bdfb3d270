//! A gRPC (HTTP/2) server that drains: bounded, kept alive, plaintext or mTLS.
//!
//! The accept loop never waits for a peer: handshakes run in tasks of their own, in bounded number and time. On
//! shutdown the listener closes at once, each connection gets GOAWAY, calls in flight finish within the grace time,
//! and what is left then is cut. Streams that never end by themselves should end on the same token.

mod connection;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower::Service;

use crate::tls::{self, Certificates, Files};
use connection::Connections;

/// How a server talks.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Without TLS: development mode, health.
    Plaintext,
    /// TLS with a client certificate required.
    Mtls(Files),
}

/// What bounds a server. The defaults suit both services.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Calls at a time on one connection (`SETTINGS_MAX_CONCURRENT_STREAMS`): 1,024.
    pub max_concurrent_streams: u32,
    /// Bytes of one call's headers (`SETTINGS_MAX_HEADER_LIST_SIZE`): 8 KiB; more is answered 431 by HTTP/2 itself.
    pub max_header_list: u32,
    /// Connections at a time: 10,000; the next is closed at once.
    pub max_connections: usize,
    /// TLS handshakes at a time: 512; the next is closed at once.
    pub max_handshakes: usize,
    /// Time for the TLS handshake, and then for the HTTP/2 preface: 10 s each.
    pub handshake_timeout: Duration,
    /// Silence before an HTTP/2 PING is sent: 30 s.
    pub keepalive_interval: Duration,
    /// Time for the PING's answer, before the connection is cut: 20 s.
    pub keepalive_timeout: Duration,
    /// Age (give or take 10 %) at which a connection gets GOAWAY, so that load spreads over new replicas and
    /// certificates are checked anew: 30 min.
    pub max_connection_age: Option<Duration>,
    /// Time that calls have to finish after that: 5 min. Streams that last longer are cut, and must be able to resume.
    pub max_connection_age_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 1024,
            max_header_list: 8 * 1024,
            max_connections: 10_000,
            max_handshakes: 512,
            handshake_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            max_connection_age: Some(Duration::from_secs(30 * 60)),
            max_connection_age_grace: Duration::from_secs(5 * 60),
        }
    }
}

/// What a [`Server`] is built from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names the server in logs and metrics: `grpc`, `health`.
    pub name: &'static str,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Plaintext or mTLS.
    pub transport: Transport,
    /// Time that calls in flight have to finish on shutdown: 20 s.
    pub grace: Duration,
    /// How often the TLS files are looked at: 10 s.
    pub tls_reload: Duration,
    /// What bounds it.
    pub limits: Limits,
}

impl Config {
    /// A server with default limits and grace.
    pub fn new(name: &'static str, listen: SocketAddr, transport: Transport) -> Self {
        let grace = Duration::from_secs(20);
        Self { name, listen, transport, grace, tls_reload: tls::RELOAD_INTERVAL, limits: Limits::default() }
    }

    /// The same with another grace time.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (the {server} server; its --…listen flag moves it)")]
    Bind {
        /// The server's name.
        server: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The TLS files cannot be used.
    #[error("cannot serve TLS")]
    Tls(#[from] tls::Error),
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// All calls in flight finished.
    Finished,
    /// The grace time passed first: this many connections were cut.
    Cut(usize),
}

/// A server that listens and does not serve yet.
pub struct Server {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    certificates: Option<Certificates>,
}

impl Server {
    /// Reads the TLS files, binds, and logs `listening` with the fields `server` and `address`.
    ///
    /// # Errors
    /// If the TLS files are bad or the address cannot be bound.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let certificates = match &config.transport {
            Transport::Plaintext => None,
            Transport::Mtls(files) => Some(Certificates::load(files.clone())?),
        };
        let (listener, address) = bind(config.name, config.listen).await?;
        Ok(Self { config, listener, address, certificates })
    }

    /// The address in use, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then drains.
    pub async fn serve<S>(self, service: S, shutdown: CancellationToken) -> Result<Drain, Error>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let reload = self.certificates.clone().map(|all| tokio::spawn(all.watch(self.config.tls_reload)));
        let drained = self.accept_and_drain(service, shutdown).await;
        if let Some(reload) = reload {
            reload.abort();
        }
        Ok(drained)
    }

    async fn accept_and_drain<S>(self, service: S, shutdown: CancellationToken) -> Drain
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let (name, grace) = (self.config.name, self.config.grace);
        let room = Arc::new(Semaphore::new(self.config.limits.max_connections));
        let connections = Connections::new(self.config.limits, self.certificates, shutdown.clone());
        let (tracker, cut) = (TaskTracker::new(), CancellationToken::new());
        loop {
            let (tcp, permit) = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = accept(&self.listener, &room) => accepted,
            };
            let serving = connections.clone().serve(tcp, service.clone());
            let cut = cut.clone();
            tracker.spawn(async move {
                let _permit = permit;
                cut.run_until_cancelled(serving).await;
            });
        }
        drop(self.listener); // new connections are refused from here on, not left waiting
        drain(name, &tracker, &cut, grace).await
    }
}

/// Binds and says so.
pub(crate) async fn bind(server: &'static str, listen: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Bind { server, address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(server, %address, "listening");
    Ok((listener, address))
}

/// The next connection that there is room for.
pub(crate) async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                // Out of file descriptors, mostly: the connection stays in the backlog, so asking again at once spins.
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            metrics::counter!("server_connections_refused_total", "reason" => "connections").increment(1);
            continue;
        };
        // Without it, small frames wait 40 ms for the peer's acknowledgement.
        let _ = tcp.set_nodelay(true);
        return (tcp, permit);
    }
}

/// Waits for the connections' ends, up to `grace`; then cuts them.
pub(crate) async fn drain(
    server: &'static str,
    tracker: &TaskTracker,
    cut: &CancellationToken,
    grace: Duration,
) -> Drain {
    tracker.close();
    if tokio::time::timeout(grace, tracker.wait()).await.is_ok() {
        tracing::info!(server, "drained");
        return Drain::Finished;
    }
    let left = tracker.len();
    tracing::warn!(server, connections = left, "grace time passed: connections cut");
    cut.cancel();
    tracker.wait().await;
    Drain::Cut(left)
}

#[cfg(test)]
mod tests;
