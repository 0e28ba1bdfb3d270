//! End-to-end tests: one binary, both services as processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod canary;
mod catalog;
mod crash;
mod database;
mod flow;
mod hostile;
mod lifecycle;
mod mtls;
mod reasons;
mod startup;
mod tamper;
mod telemetry;
