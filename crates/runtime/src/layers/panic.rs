//! One call's bug stops that call alone.

use std::{future::Future, panic::AssertUnwindSafe};

use futures::FutureExt;
use http::Response;
use tonic::{Status, body::Body};

use super::refuse;

/// A panic becomes INTERNAL. Its text may hold a secret and goes nowhere; the panic hook has logged its location.
pub(super) async fn caught(inner: impl Future<Output = Response<Body>>) -> Response<Body> {
    // What the handler held is dropped by the unwinding; what it shares must stand a panic anyway, as with any task.
    match AssertUnwindSafe(inner).catch_unwind().await {
        Ok(response) => response,
        Err(_) => refuse(Status::internal("internal error")),
    }
}
