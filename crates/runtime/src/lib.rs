//! The process shell: configuration, telemetry, TLS, health, signals, server limits. Knows nothing of keys.
//!
//! A service is composed in this order:
//!
//! ```no_run
//! use claviger_runtime::{args, health, layers, listen, metrics, process, server, shutdown, telemetry};
//!
//! # fn map(status: tonic::Status) -> tonic::Status { status }
//! # async fn app(
//! #     common: args::Common,
//! #     grpc: std::net::SocketAddr,
//! #     probes: std::net::SocketAddr,
//! #     routes: tonic::service::Routes,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! process::harden()?; // first thing in main
//! let telemetry = telemetry::init(common.telemetry("claviger-example"))?;
//! let supervisor = shutdown::Supervisor::new();
//! let health = health::Health::new(&["claviger.example.v1.Example"]).await;
//!
//! let calls = layers::Calls {
//!     methods: vec!["claviger.example.v1.Example/Get".into()],
//!     streams: vec![],
//!     uniform: map,
//! };
//! let transport = listen::check("CLAVIGER_EXAMPLE_LISTEN", grpc, common.dev, common.tls.files()?)?;
//! let config = server::Config::new("grpc", grpc, transport).with_grace(common.shutdown_grace);
//! let server = server::Server::bind(config).await?;
//! let service = layers::CallLayer::new(calls).wrap(routes.add_service(health.service(supervisor.servers())));
//! supervisor.spawn_server("grpc", server.serve(service, supervisor.servers()));
//!
//! // Probes and scrapes are answered until the end of the drain: these two listeners are background tasks.
//! listen::check_plain("CLAVIGER_EXAMPLE_HEALTH_LISTEN", probes, common.dev)?;
//! let config = server::Config::new("health", probes, server::Transport::Plaintext);
//! let server = server::Server::bind(config.with_grace(std::time::Duration::from_secs(1))).await?;
//! supervisor.spawn("health", server.serve(health.routes(supervisor.background()), supervisor.background()));
//! let server = metrics::Server::bind("127.0.0.1:0".parse()?, metrics::install()?).await?;
//! supervisor.spawn("metrics", server.serve(supervisor.background()));
//!
//! supervisor.spawn("readiness", health.clone().watch(async || Ok::<(), String>(()), supervisor.servers()));
//! supervisor.run(health, telemetry).await?; // until a signal, or the first failed task
//! # Ok(())
//! # }
//! ```

pub mod args;
pub mod client;
pub mod health;
pub mod layers;
pub mod listen;
pub mod metrics;
pub mod process;
pub mod propagation;
pub mod reflection;
pub mod server;
pub mod shell;
pub mod shutdown;
pub mod telemetry;
pub mod tls;

#[cfg(test)]
mod testing;
