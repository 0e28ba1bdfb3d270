//! End-to-end tests: one binary, both services as processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod catalog;
mod flow;
mod hostile;
mod lifecycle;
mod mtls;
mod reasons;
mod telemetry;
