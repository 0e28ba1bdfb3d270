//! The data plane: which key does this call use? No database, no plaintext kept.

pub mod app;
pub mod config;
pub mod counted;
pub mod feed;
pub mod grpc;
pub mod health;
pub mod journal;
pub mod report;
pub mod resolve;
pub mod ticket;

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]
mod simulation;
