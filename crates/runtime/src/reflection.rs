//! `grpc.reflection`, v1 and v1alpha: what grpcurl asks.

use tonic::service::Routes;
use tonic_reflection::{pb, server};

const PLUMBING: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// The descriptors are not descriptors: a bug, since they come from the build.
#[derive(Debug, thiserror::Error)]
#[error("cannot describe the services")]
pub struct Error(#[from] server::Error);

/// Adds both versions. They list `services`, by their full names, and what every service has, and describe all that is
/// in `descriptors` (encoded `FileDescriptorSet`s), which may hold services that are not served here.
///
/// # Errors
/// When the descriptors cannot be read.
pub fn add(routes: Routes, services: &[String], descriptors: &[&'static [u8]]) -> Result<Routes, Error> {
    let plumbing =
        [tonic_health::pb::FILE_DESCRIPTOR_SET, pb::v1::FILE_DESCRIPTOR_SET, pb::v1alpha::FILE_DESCRIPTOR_SET];
    let builder = || {
        let listed = services.iter().map(String::as_str).chain(PLUMBING);
        let builder = listed.fold(server::Builder::configure(), server::Builder::with_service_name);
        let described = descriptors.iter().copied().chain(plumbing);
        described.fold(builder.include_reflection_service(false), server::Builder::register_encoded_file_descriptor_set)
    };
    Ok(routes.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?))
}
