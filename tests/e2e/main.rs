//! End-to-end tests: one binary, both services as processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod main_flow;
