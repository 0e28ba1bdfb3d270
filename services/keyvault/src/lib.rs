//! The control plane: keys, policy, audit and the feed to routing.

pub mod app;
pub mod cli;
pub mod config;
pub mod grpc;
pub mod master_key;
pub mod store;
pub mod usecase;
pub mod verify;
