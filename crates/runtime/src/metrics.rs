//! Prometheus metrics, and the listener that serves them.

use std::{convert::Infallible, net::SocketAddr, sync::OnceLock, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::server::{self, Drain};

/// Seconds that calls took; labels `rpc_system_name`, `rpc_method`, `rpc_response_status_code`.
pub const CALL_DURATION: &str = "rpc_server_call_duration_seconds";

/// From half a millisecond, which most calls stay under, to the default deadline.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const MAX_CONNECTIONS: usize = 64;
const GRACE: Duration = Duration::from_secs(2);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder cannot be installed: a bug, since [`install`] does it once.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the metrics recorder")]
pub struct Error(#[source] BuildError);

/// The process's metrics.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

/// Installs the process's one recorder, or gives the one that stands. Call it before the first metric is made.
///
/// # Errors
/// If another recorder is installed already.
pub fn install() -> Result<Metrics, Error> {
    static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = INSTALLED.get() {
        return Ok(Metrics(handle.clone()));
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(CALL_DURATION.to_owned()), &BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(Error)?;
    metrics::describe_histogram!(CALL_DURATION, metrics::Unit::Seconds, "How long calls took");
    Ok(Metrics(INSTALLED.get_or_init(|| handle).clone()))
}

impl Metrics {
    /// All metrics in Prometheus's text format.
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// Serves `/metrics` over plain HTTP/1.1, and nothing else.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    metrics: Metrics,
}

impl Server {
    /// Binds, and logs `listening` with the fields `server` = `metrics` and `address`.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(listen: SocketAddr, metrics: Metrics) -> Result<Self, server::Error> {
        let (listener, address) = server::bind("metrics", listen).await?;
        Ok(Self { listener, address, metrics })
    }

    /// The address in use, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; a scrape under way gets two more seconds.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<Drain, server::Error> {
        let room = std::sync::Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let (tracker, cut) = (TaskTracker::new(), CancellationToken::new());
        let mut upkeep = tokio::time::interval(UPKEEP);
        loop {
            let (tcp, permit) = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = upkeep.tick() => {
                    self.metrics.0.run_upkeep(); // else samples pile up where nobody scrapes
                    continue;
                }
                accepted = server::accept(&self.listener, &room) => accepted,
            };
            let connection = connection(TokioIo::new(tcp), self.metrics.clone(), shutdown.clone());
            let cut = cut.clone();
            tracker.spawn(async move {
                let _permit = permit;
                cut.run_until_cancelled(connection).await;
            });
        }
        drop(self.listener);
        Ok(server::drain("metrics", &tracker, &cut, GRACE).await)
    }
}

async fn connection(io: TokioIo<tokio::net::TcpStream>, metrics: Metrics, shutdown: CancellationToken) {
    let answer = hyper::service::service_fn(move |request| {
        let response = answer(&request, &metrics);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).serve_connection(io, answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" || request.method() != Method::GET {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let mut response = Response::new(Full::from(metrics.render()));
    let text = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

#[cfg(test)]
mod tests;
