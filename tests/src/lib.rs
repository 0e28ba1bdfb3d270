//! Both services as processes, over real sockets, against a real HTTP server in the providers' place.

pub mod audit;
pub mod calls;
pub mod database;
pub mod fleet;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod raw;
pub mod wire;

pub use fleet::{Fleet, Options};
pub use process::{Process, Signal};
pub use provider::{key, key_for, refuse};

/// The reason that an error carries.
#[must_use]
pub fn reason(status: &tonic::Status) -> String {
    claviger_proto::status::reason(status).unwrap_or_else(|| format!("no ErrorInfo: {status:?}"))
}
