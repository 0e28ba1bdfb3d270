//! One connection's life: handshake, HTTP/2, age, end.

use std::{
    convert::Infallible,
    hash::{BuildHasher, Hasher, RandomState},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, transport::server::Connected};
use tower::{Service, ServiceExt};

use super::Limits;
use crate::tls::{Certificates, Stream};

/// Length of the HTTP/2 client preface (RFC 9113, 3.4).
const PREFACE: usize = 24;

/// What all connections of a server share.
#[derive(Clone)]
pub(super) struct Connections {
    limits: Limits,
    http2: http2::Builder<TokioExecutor>,
    certificates: Option<Certificates>,
    handshakes: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Connections {
    pub(super) fn new(limits: Limits, certificates: Option<Certificates>, shutdown: CancellationToken) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.max_concurrent_streams)
            .max_header_list_size(limits.max_header_list)
            .keep_alive_interval(limits.keepalive_interval)
            .keep_alive_timeout(limits.keepalive_timeout);
        let handshakes = Arc::new(Semaphore::new(limits.max_handshakes));
        Self { limits, http2, certificates, handshakes, shutdown }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve<S>(self, tcp: TcpStream, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        // A peer that has not even shaken hands has no call to finish.
        let Some(Some(stream)) = self.shutdown.run_until_cancelled(self.handshake(tcp)).await else {
            return;
        };
        let peer = stream.connect_info();
        let received = stream.received();
        let serve = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            service.clone().oneshot(request)
        });
        let connection = self.http2.serve_connection(TokioIo::new(stream), serve);
        let silent = async {
            // hyper would wait for the preface on shutdown too: such a peer has no call to finish either.
            self.shutdown.run_until_cancelled(tokio::time::sleep(self.limits.handshake_timeout)).await;
            if received.load(Ordering::Relaxed) >= PREFACE {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.until_closed(connection) => {}
            () = silent => refused("preface"),
        }
    }

    /// `None`: refused, which is logged here.
    async fn handshake(&self, tcp: TcpStream) -> Option<Stream> {
        let Some(certificates) = &self.certificates else {
            return Some(Stream::plain(tcp));
        };
        let Ok(_slot) = self.handshakes.try_acquire() else {
            refused("handshakes");
            return None;
        };
        let address = tcp.peer_addr().ok();
        match tokio::time::timeout(self.limits.handshake_timeout, certificates.accept(tcp)).await {
            Ok(Ok(tls)) => return Some(Stream::tls(tls)),
            Ok(Err(error)) => {
                refused("handshake");
                tracing::info!(
                    peer = address.map(tracing::field::display),
                    error = &error as &dyn std::error::Error,
                    "TLS handshake refused"
                );
            }
            Err(_) => {
                refused("handshake_timeout");
                tracing::info!(peer = address.map(tracing::field::display), "TLS handshake timed out");
            }
        }
        None
    }

    /// Drives the connection; asks it to finish on shutdown and at its age; cuts it when it overstays the latter.
    async fn until_closed<H>(&self, connection: http2::Connection<TokioIo<Stream>, H, TokioExecutor>)
    where
        H: hyper::service::Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
        H::Future: Send + 'static,
    {
        let mut connection = pin!(connection);
        let aged = async {
            match self.limits.max_connection_age {
                Some(age) => tokio::time::sleep(jittered(age)).await,
                None => std::future::pending().await,
            }
        };
        // A connection's error is its peer's leaving: the calls on it report their own end.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await; // the server's grace time bounds it
                return;
            }
            () = aged => connection.as_mut().graceful_shutdown(),
        }
        if tokio::time::timeout(self.limits.max_connection_age_grace, connection).await.is_err() {
            tracing::debug!("connection cut at its age");
        }
    }
}

fn refused(reason: &'static str) {
    metrics::counter!("server_connections_refused_total", "reason" => reason).increment(1);
}

/// Give or take 10 %: connections that were opened together must not all reconnect together.
fn jittered(age: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 200;
    age.mul_f64(0.9 + random as f64 / 1000.0)
}
