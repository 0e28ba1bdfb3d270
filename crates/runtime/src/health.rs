//! `grpc.health.v1`: what load balancers and probes are told.

mod service;

use std::{convert::Infallible, fmt::Display, future::Future, sync::Arc, time::Duration};

use http::Request;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, service::Routes};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, health_check_response,
        health_client::HealthClient,
        health_server::{self, HealthServer},
    },
    server::{HealthReporter, HealthService},
};

use service::Ending;

/// Always SERVING while the process lives: for liveness probes, which must depend on nothing else.
pub const LIVENESS: &str = "liveness";

/// How long [`ask`] waits for an answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// Asks a plaintext port whether a service serves; `""` asks for the process as a whole.
///
/// # Errors
/// When there is no answer within three seconds.
pub async fn ask(address: std::net::SocketAddr, service: &str) -> Result<bool, tonic::Status> {
    let no_answer = |_| tonic::Status::unavailable("no connection");
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).map_err(no_answer)?;
    let channel = endpoint.connect_timeout(ASK_TIMEOUT).timeout(ASK_TIMEOUT).connect().await.map_err(no_answer)?;
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(request).await?.into_inner();
    Ok(answer.status() == health_check_response::ServingStatus::Serving)
}

const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// While not ready: a start or a recovery is noticed soon.
const IMPATIENT_INTERVAL: Duration = Duration::from_millis(200);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The status of a process, shared by all its listeners.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    services: Arc<[String]>,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    NotReady,
    Ready,
    /// Never ready again.
    Draining,
}

impl Health {
    /// NOT_SERVING for these services and for `""`, the process as a whole, until it is ready; [`LIVENESS`] serves.
    pub async fn new(services: &[&str]) -> Self {
        let services = services.iter().copied().chain([""]).map(str::to_owned).collect();
        let state = Arc::new(Mutex::new(State::Starting));
        let this = Self { reporter: HealthReporter::new(), services, state };
        this.reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
        this.report(ServingStatus::NotServing).await;
        this
    }

    /// The service, to be served beside others. Watches end at `shutdown`: else each would hold up the drain to its end.
    pub fn service(&self, shutdown: CancellationToken) -> HealthServer<impl health_server::Health> {
        let service = HealthService::from_health_reporter(self.reporter.clone());
        HealthServer::new(Ending { service, shutdown })
    }

    /// The service alone, for a plaintext listener that kubelet can probe.
    pub fn routes(
        &self,
        shutdown: CancellationToken,
    ) -> impl tower::Service<Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static {
        Routes::new(self.service(shutdown)).prepare()
    }

    /// Asks `check` each second (five times as often while its answer is no) until `shutdown`, and tells the world when its answer changes. A check that takes
    /// longer than two seconds has failed. The error's text is logged.
    pub async fn watch<C, F, E>(self, check: C, shutdown: CancellationToken) -> Result<(), Infallible>
    where
        C: Fn() -> F,
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        let watching = async {
            loop {
                let answer = match tokio::time::timeout(CHECK_TIMEOUT, check()).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("the readiness check timed out".to_owned()),
                };
                let pause = if answer.is_ok() { POLL_INTERVAL } else { IMPATIENT_INTERVAL };
                self.set(answer).await;
                tokio::time::sleep(pause).await;
            }
        };
        shutdown.run_until_cancelled(watching).await.unwrap_or(Ok(()))
    }

    /// NOT_SERVING for good: the first step of shutting down.
    pub async fn drain(&self) {
        *self.state.lock().await = State::Draining;
        self.report(ServingStatus::NotServing).await;
        tracing::info!("not serving: shutting down");
    }

    async fn set(&self, answer: Result<(), String>) {
        let mut state = self.state.lock().await; // held to the end: a late answer cannot undo `drain`
        let next = if answer.is_ok() { State::Ready } else { State::NotReady };
        if *state == State::Draining || *state == next {
            return;
        }
        *state = next;
        match answer {
            Ok(()) => {
                self.report(ServingStatus::Serving).await;
                tracing::info!("ready");
            }
            Err(reason) => {
                self.report(ServingStatus::NotServing).await;
                tracing::warn!(reason, "not ready");
            }
        }
    }

    async fn report(&self, status: ServingStatus) {
        for service in &*self.services {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

#[cfg(test)]
mod tests;
