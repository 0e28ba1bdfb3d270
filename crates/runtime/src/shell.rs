//! The composition that every service has: telemetry, three listeners, readiness, and an orderly end.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use crate::args::Common;
use crate::health::Health;
use crate::layers::{CallLayer, Calls};
use crate::metrics::{self, Metrics};
use crate::server::{self, Server, Transport};
use crate::shutdown::{self, Signals, Supervisor};
use crate::{listen, reflection, telemetry};

/// An address to listen on, and the environment variable that gave it.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// Such as `CLAVIGER_KEYVAULT_LISTEN`.
    pub setting: &'static str,
    /// Port 0 takes a free one.
    pub address: SocketAddr,
}

/// Where a service listens.
#[derive(Clone, Copy, Debug)]
pub struct Listeners {
    /// Its RPCs: mTLS, or plaintext on loopback with `--dev`.
    pub grpc: Listen,
    /// Health alone, in plaintext, for kubelet.
    pub health: Listen,
    /// Prometheus metrics.
    pub metrics: Listen,
}

/// Why a service cannot start, or how it broke.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Telemetry.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// Metrics.
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    /// A setting.
    #[error(transparent)]
    Listen(#[from] listen::Error),
    /// What the service says of itself.
    #[error(transparent)]
    Reflection(#[from] reflection::Error),
    /// A listener.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The end.
    #[error(transparent)]
    Ended(#[from] shutdown::Error),
}

/// A process that has telemetry and serves nothing yet.
pub struct Shell {
    /// Owns the process's tasks.
    pub supervisor: Supervisor,
    signals: Signals,
    common: Common,
    services: Vec<String>,
    listeners: Listeners,
    transport: Transport,
    health: Health,
    telemetry: telemetry::Guard,
    metrics: Metrics,
}

impl Shell {
    /// Checks where to listen, and starts telemetry. `services` are the full names of those that it serves:
    /// health and reflection tell of them.
    ///
    /// # Errors
    /// Names the setting that stops the start.
    pub async fn start(
        common: Common,
        name: &'static str,
        services: &[&str],
        listeners: Listeners,
    ) -> Result<Self, Error> {
        let Listen { setting, address } = listeners.grpc;
        let transport = listen::check(setting, address, common.dev, common.tls.files()?)?;
        for plain in [listeners.health, listeners.metrics] {
            listen::check_plain(plain.setting, plain.address, common.dev)?;
        }
        let telemetry = telemetry::init(common.telemetry(name))?;
        if common.dev {
            tracing::warn!("INSECURE development mode: plaintext, callers are not identified, loopback alone");
        }
        // as process 1 of a container nobody else would listen, and opening the database may take its time
        let signals = Signals::new()?;
        let (metrics, health) = (metrics::install()?, Health::new(services).await);
        let services = services.iter().copied().map(str::to_owned).collect();
        Ok(Self {
            supervisor: Supervisor::new(),
            signals,
            common,
            services,
            listeners,
            transport,
            health,
            telemetry,
            metrics,
        })
    }

    /// Health and reflection, to add services to. `descriptors` are encoded `FileDescriptorSet`s of all that they speak.
    ///
    /// # Errors
    /// When the descriptors are none.
    pub fn routes(&self, descriptors: &[&'static [u8]]) -> Result<Routes, Error> {
        Ok(reflection::add(Routes::new(self.health.service(self.supervisor.servers())), &self.services, descriptors)?)
    }

    /// Serves until a signal, or the first broken task. `ready` is asked each second.
    ///
    /// # Errors
    /// Why a listener cannot start, or which part broke.
    pub async fn run<S, C, F, E>(self, service: S, calls: Calls, ready: C) -> Result<(), Error>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let Self { supervisor, signals, common, listeners, transport, health, telemetry, metrics, services: _ } = self;
        let grace = common.shutdown_grace;
        let grpc = server::Config::new("grpc", listeners.grpc.address, transport).with_grace(grace);
        let grpc = Server::bind(grpc).await?;
        let probes = probes(listeners.health.address);
        let probes = Server::bind(probes).await?;
        let metrics = metrics::Server::bind(listeners.metrics.address, metrics).await?;
        let shutdown = supervisor.servers();
        supervisor.spawn_server("grpc", grpc.serve(CallLayer::new(calls).wrap(service), shutdown.clone()));
        // probes and scrapes are answered until the calls have drained
        supervisor.spawn("health", probes.serve(health.routes(supervisor.background()), supervisor.background()));
        supervisor.spawn("metrics", metrics.serve(supervisor.background()));
        supervisor.spawn("readiness", health.clone().watch(ready, shutdown));
        Ok(supervisor.run_until(signals, health, telemetry).await?)
    }
}

/// Probes are few and short, and this listener knows no caller: its limits are small.
fn probes(listen: SocketAddr) -> server::Config {
    let mut config = server::Config::new("health", listen, Transport::Plaintext).with_grace(Duration::from_secs(1));
    config.limits.max_connections = 64;
    config.limits.max_concurrent_streams = 16;
    config
}
