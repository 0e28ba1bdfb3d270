//! `claviger.routing.v1.Routing`: parse, call, convert.

use claviger_core::fault::Fault;
use claviger_proto::routing::{
    Ask, Report, count, explanation, fallback_message, key_summary, refusal_message, report_message, source_message,
};
use claviger_proto::routing_v1::routing_server::Routing;
use claviger_proto::routing_v1::{
    Credential, ExplainRouteResponse, Header, RefusedReport, ReportOutcomeRequest, ReportOutcomeResponse,
    ReportOutcomesResponse, Resolution, ResolveKeyRequest,
};
use claviger_proto::{status, timestamp};
use secrecy::ExposeSecret;
use time::OffsetDateTime;
use tonic::{Request, Response, Status, Streaming};

use crate::report::Reports;
use crate::resolve::{Resolved, Resolver};

/// The service.
#[derive(Debug, Clone)]
pub struct RoutingService {
    resolver: Resolver,
    reports: Reports,
}

/// Reports of a stream whose refusals are told one by one, at most.
const MOST_REFUSED: usize = 100;

impl RoutingService {
    /// Over the use-cases.
    #[must_use]
    pub fn new(resolver: Resolver, reports: Reports) -> Self {
        Self { resolver, reports }
    }

    async fn resolve(&self, request: ResolveKeyRequest) -> Result<Resolution, Fault> {
        let mut ask = Ask::try_from(request)?;
        let scene = self.resolver.load(&mut ask).await?;
        let resolved = self.resolver.resolve(&scene, &ask, now())?;
        Ok(self.resolution(&ask, resolved))
    }

    async fn explain(&self, request: ResolveKeyRequest) -> Result<ExplainRouteResponse, Fault> {
        let mut ask = Ask::try_from(request)?;
        let scene = self.resolver.load(&mut ask).await?;
        let now = now();
        let (decision, changes) = self.resolver.explain(&scene, &ask, now);
        Ok(explanation(&decision, &changes, &ask.workspace, |key| self.resolver.base_url(key), now))
    }

    fn report(&self, request: ReportOutcomeRequest) -> Result<ReportOutcomeResponse, Fault> {
        let taken = self.reports.take(&Report::try_from(request)?, now())?;
        Ok(report_message(taken.outcome, taken.is_repeated, taken.cools_until))
    }

    fn resolution(&self, ask: &Ask, resolved: Resolved<'_>) -> Resolution {
        let choice = &resolved.choice;
        Resolution {
            resolution_id: resolved.id.clone(),
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

/// Now, to the microsecond: so exactly does a resolution's id tell it.
fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_microsecond(now.microsecond()).unwrap_or(now)
}

/// Adds what became of one report.
fn add(summary: &mut ReportOutcomesResponse, index: i64, taken: Result<ReportOutcomeResponse, Fault>) {
    match taken {
        Ok(taken) if taken.repeated => summary.repeated += 1,
        Ok(_) => summary.counted += 1,
        Err(fault) => {
            summary.refused_count += 1;
            if summary.refused.len() < MOST_REFUSED {
                summary.refused.push(RefusedReport { index, refusal: Some(refusal_message(&fault)) });
            }
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

    async fn report_outcome(
        &self,
        request: Request<ReportOutcomeRequest>,
    ) -> Result<Response<ReportOutcomeResponse>, Status> {
        self.report(request.into_inner()).map(Response::new).map_err(|fault| status::of(&fault))
    }

    async fn report_outcomes(
        &self,
        request: Request<Streaming<ReportOutcomeRequest>>,
    ) -> Result<Response<ReportOutcomesResponse>, Status> {
        let mut reports = request.into_inner();
        let mut summary = ReportOutcomesResponse::default();
        let mut index = 0;
        while let Some(request) = reports.message().await? {
            add(&mut summary, index, self.report(request));
            index += 1;
        }
        Ok(Response::new(summary))
    }
}
