//! The control plane: keys, policy, audit and the feed to routing.

pub mod app;
pub mod audit_file;
pub mod cli;
pub mod config;
pub mod grpc;
pub mod master_key;
pub mod refusals;
pub mod store;
pub mod usecase;
pub mod verify;
