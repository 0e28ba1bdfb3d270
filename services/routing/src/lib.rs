//! The data plane: which key does this call use? No database, no plaintext kept.

pub mod app;
pub mod config;
pub mod feed;
pub mod grpc;
pub mod resolve;
