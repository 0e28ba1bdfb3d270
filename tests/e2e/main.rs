//! End-to-end tests: one binary, both services as processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod audit;
mod canary;
mod catalog;
mod crash;
mod database;
mod flow;
mod hostile;
mod keys;
mod lifecycle;
mod mtls;
mod postgres;
mod reasons;
mod rotation;
mod routing;
mod startup;
mod tamper;
mod telemetry;
mod usage;
mod workspaces;
