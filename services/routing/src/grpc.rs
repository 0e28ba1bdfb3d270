//! `claviger.routing.v1.Routing`: parse, call, convert.

use claviger_core::fault::Fault;
use claviger_proto::routing::{Ask, count, explanation, fallback_message, key_summary, source_message};
use claviger_proto::routing_v1::routing_server::Routing;
use claviger_proto::routing_v1::{Credential, ExplainRouteResponse, Header, Resolution, ResolveKeyRequest};
use claviger_proto::{status, timestamp};
use secrecy::ExposeSecret;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::resolve::{Resolved, Resolver};

/// The service.
#[derive(Debug, Clone)]
pub struct RoutingService {
    resolver: Resolver,
}

impl RoutingService {
    /// Over the use-cases.
    #[must_use]
    pub fn new(resolver: Resolver) -> Self {
        Self { resolver }
    }

    async fn resolve(&self, request: ResolveKeyRequest) -> Result<Resolution, Fault> {
        let mut ask = Ask::try_from(request)?;
        let scene = self.resolver.load(&mut ask).await?;
        let now = OffsetDateTime::now_utc();
        let decision = self.resolver.decide(&scene, &ask, now);
        let resolved = self.resolver.open(&scene, decision, now)?;
        Ok(self.resolution(&ask, resolved))
    }

    async fn explain(&self, request: ResolveKeyRequest) -> Result<ExplainRouteResponse, Fault> {
        let mut ask = Ask::try_from(request)?;
        let scene = self.resolver.load(&mut ask).await?;
        let decision = self.resolver.decide(&scene, &ask, OffsetDateTime::now_utc());
        Ok(explanation(&decision, &ask.workspace, |key| self.resolver.base_url(key)))
    }

    fn resolution(&self, ask: &Ask, resolved: Resolved<'_>) -> Resolution {
        let choice = &resolved.choice;
        Resolution {
            resolution_id: Uuid::now_v7().to_string(),
            source: source_message(choice.source).into(),
            fallback: fallback_message(choice.fallback).into(),
            provider: choice.key.provider.to_string(),
            model: choice.model.clone().unwrap_or_default(),
            base_url: resolved.base_url.clone(),
            credential: Some(self.credential(&resolved)),
            key: Some(key_summary(choice.key, choice.source, &ask.workspace)),
            remaining_candidates: count(choice.remaining),
            expire_time: Some(timestamp(resolved.expire_time)),
        }
    }

    fn credential(&self, resolved: &Resolved<'_>) -> Credential {
        let secret = resolved.secret.as_ref().map(ExposeSecret::expose_secret);
        let headers = match self.resolver.catalog().provider(resolved.choice.key.provider.as_str()) {
            Some(provider) => provider.credential_headers(secret),
            None => Vec::new(),
        };
        Credential {
            headers: headers
                .into_iter()
                .map(|header| Header { value: header.expose_value().to_owned(), name: header.name })
                .collect(),
            query_parameters: Vec::new(),
            secret: secret.unwrap_or_default().to_owned(),
            expire_time: resolved.choice.key.credential_expire_time.map(timestamp),
        }
    }
}

#[tonic::async_trait]
impl Routing for RoutingService {
    async fn resolve_key(&self, request: Request<ResolveKeyRequest>) -> Result<Response<Resolution>, Status> {
        self.resolve(request.into_inner()).await.map(Response::new).map_err(|fault| status::of(&fault))
    }

    async fn explain_route(
        &self,
        request: Request<ResolveKeyRequest>,
    ) -> Result<Response<ExplainRouteResponse>, Status> {
        self.explain(request.into_inner()).await.map(Response::new).map_err(|fault| status::of(&fault))
    }
}
