//! The health service, whose watches end with the server.

use std::pin::Pin;

use futures::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::{
    pb::{HealthCheckRequest, HealthCheckResponse, health_server::Health},
    server::HealthService,
};

pub(super) struct Ending {
    pub(super) service: HealthService,
    pub(super) shutdown: CancellationToken,
}

#[tonic::async_trait]
impl Health for Ending {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.service.check(request).await
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// Clients take the error for "not healthy" and watch another replica.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let watched = self.service.watch(request).await?.into_inner();
        let end = stream::once(async { Err(Status::unavailable("the server is shutting down")) });
        Ok(Response::new(Box::pin(watched.take_until(self.shutdown.clone().cancelled_owned()).chain(end))))
    }
}
