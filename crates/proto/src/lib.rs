//! The wire: generated code, conversions between wire and domain, and every error's gRPC status.
//! The only crate that names prost.

pub mod keyvault;
pub mod methods;
pub mod routing;
pub mod status;

mod convert;
mod redacted;

pub use convert::{outcome, timestamp};
pub use prost_types::{FieldMask, Timestamp};

/// As generated: the modules are nested as the packages are, since generated code refers to itself that way.
mod generated {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]
    pub mod keyvault {
        pub mod v1 {
            tonic::include_proto!("claviger.keyvault.v1");
        }
    }
    pub mod routing {
        pub mod v1 {
            tonic::include_proto!("claviger.routing.v1");
        }
    }
}

pub use generated::keyvault::v1 as keyvault_v1;
pub use generated::routing::v1 as routing_v1;

/// The encoded descriptors of all services, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The encoded descriptors of google.rpc's error details: with them, grpcurl shows an error's reason in clear.
pub const ERROR_DETAILS: &[u8] = tonic_types::pb::FILE_DESCRIPTOR_SET;
