//! Every error in one shape: those that the framework makes pass through the service's own function.

use std::future::Future;

use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use tonic::{Code, Status, body::Body};

use super::refuse;

type Uniform = fn(Status) -> Status;

/// Maps errors without details. Of a stream, those in its trailers too.
pub(super) async fn uniform(map: Uniform, stream: bool, inner: impl Future<Output = Response<Body>>) -> Response<Body> {
    let response = inner.await;
    if let Some(status) = bare_error(response.headers()) {
        return refuse(mapped(map, status));
    }
    if !stream || response.headers().contains_key(Status::GRPC_STATUS) {
        return response;
    }
    response.map(|body| Body::new(body.map_frame(move |frame| frame.map_trailers(map))))
}

/// The error in these headers or trailers, unless it has details already.
fn bare_error(headers: &HeaderMap) -> Option<Status> {
    let code = Code::from_bytes(headers.get(Status::GRPC_STATUS)?.as_bytes());
    if code == Code::Ok || headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return None;
    }
    Status::from_header_map(headers)
}

/// The service's version of an error, with the metadata of the first.
fn mapped(map: Uniform, status: Status) -> Status {
    let before = status.metadata().clone().into_headers();
    let mut mapped = map(status);
    let mut headers = std::mem::take(mapped.metadata_mut()).into_headers();
    for name in before.keys() {
        if !headers.contains_key(name) {
            for value in before.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
    }
    *mapped.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
    mapped
}

trait MapTrailers {
    fn map_trailers(self, map: Uniform) -> Self;
}

impl MapTrailers for http_body::Frame<bytes::Bytes> {
    fn map_trailers(self, map: Uniform) -> Self {
        let trailers = match self.into_trailers() {
            Ok(trailers) => trailers,
            Err(data) => return data,
        };
        let Some(status) = bare_error(&trailers) else {
            return Self::trailers(trailers);
        };
        let mut headers = HeaderMap::new();
        match mapped(map, status).add_header(&mut headers) {
            Ok(()) => Self::trailers(headers),
            Err(_) => Self::trailers(trailers), // a text that no header can carry: as it was
        }
    }
}
