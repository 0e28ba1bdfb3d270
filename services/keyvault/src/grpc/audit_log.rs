//! `claviger.keyvault.v1.AuditLog`.

use std::collections::HashMap;

use claviger_core::command::ListEvents;
use claviger_core::fault::Fault;
use claviger_proto::keyvault::export_scope;
use claviger_proto::keyvault_v1 as kv;
use claviger_proto::keyvault_v1::verify_audit_log_response as verified;
use claviger_proto::{status, timestamp};
use futures::{TryStreamExt, stream};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::answer;
use super::streams::{Streamed, until};
use crate::store::StoredEvent;
use crate::usecase::audit::{Audit, Export, Kind, Progress};

/// The service.
#[derive(Debug, Clone)]
pub struct AuditLogService {
    audit: Audit,
    shutdown: CancellationToken,
}

impl AuditLogService {
    /// Over the use-cases; exports and verifications break off at shutdown.
    #[must_use]
    pub fn new(audit: Audit, shutdown: CancellationToken) -> Self {
        Self { audit, shutdown }
    }

    async fn list(&self, request: kv::ListAuditEventsRequest) -> Result<kv::ListAuditEventsResponse, Fault> {
        let (events, next) = self.audit.list(&ListEvents::try_from(request)?).await?;
        let audit_events = events.into_iter().map(event_message).collect::<Result<_, _>>()?;
        Ok(kv::ListAuditEventsResponse { audit_events, next_page_token: next.unwrap_or_default() })
    }

    async fn export(&self, request: kv::ExportAuditEventsRequest) -> Result<Export, Fault> {
        self.audit.export(export_scope(&request.parent)?, request.first_seq, request.last_seq).await
    }
}

#[tonic::async_trait]
impl kv::audit_log_server::AuditLog for AuditLogService {
    type ExportAuditEventsStream = Streamed<kv::ExportAuditEventsResponse>;
    type VerifyAuditLogStream = Streamed<kv::VerifyAuditLogResponse>;

    async fn list_audit_events(
        &self,
        request: Request<kv::ListAuditEventsRequest>,
    ) -> Result<Response<kv::ListAuditEventsResponse>, Status> {
        answer(self.list(request.into_inner()).await)
    }

    async fn export_audit_events(
        &self,
        request: Request<kv::ExportAuditEventsRequest>,
    ) -> Result<Response<Self::ExportAuditEventsStream>, Status> {
        let export = self.export(request.into_inner()).await.map_err(|fault| status::of(&fault))?;
        let parts = stream::try_unfold(export, async |mut export| {
            let part = export.next().await.map_err(|error| status::of(&Fault::from(error)))?;
            Ok(part.map(|lines| (kv::ExportAuditEventsResponse { lines }, export)))
        });
        Ok(Response::new(until(self.shutdown.clone(), parts, |_| false)))
    }

    async fn verify_audit_log(
        &self,
        _: Request<kv::VerifyAuditLogRequest>,
    ) -> Result<Response<Self::VerifyAuditLogStream>, Status> {
        let progress = self.audit.verify().map_ok(progress_message).map_err(|fault| status::of(&fault));
        Ok(Response::new(until(self.shutdown.clone(), progress, |message| message.done)))
    }
}

fn event_message(event: StoredEvent) -> Result<kv::AuditEvent, Fault> {
    let corrupt = |_| {
        tracing::error!(audit.seq = event.seq, "an audit event is corrupt");
        Fault::internal()
    };
    let details: HashMap<String, String> = serde_json::from_str(&event.details).map_err(corrupt)?;
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(event.event_time) * 1_000);
    Ok(kv::AuditEvent {
        seq: u64::try_from(event.seq).unwrap_or_default(),
        event_time: time.ok().map(timestamp),
        tenant: event.tenant,
        action: event.action,
        target: event.target,
        actor: event.actor,
        on_behalf_of: event.on_behalf_of,
        peer: event.peer,
        request_id: event.request_id,
        trace_id: event.trace_id,
        details: details.into_iter().collect(),
        hash: hex::encode(event.hash),
    })
}

fn progress_message(progress: Progress) -> kv::VerifyAuditLogResponse {
    let mut message = kv::VerifyAuditLogResponse {
        verified_events: progress.events,
        total_events: progress.total_events,
        verified_rows: progress.rows,
        total_rows: progress.total_rows,
        done: progress.outcome.is_some(),
        ..Default::default()
    };
    match progress.outcome {
        None => {}
        Some(Ok(head)) => {
            message.head_seq = u64::try_from(head.seq).unwrap_or_default();
            message.head_hash = hex::encode(head.hash);
        }
        Some(Err(finding)) => {
            let kind = kind(finding.kind).into();
            message.problem = Some(verified::Problem { kind, seq: finding.seq, target: finding.target });
        }
    }
    message
}

fn kind(kind: Kind) -> verified::Kind {
    match kind {
        Kind::EventAltered => verified::Kind::EventAltered,
        Kind::EventMissing => verified::Kind::EventMissing,
        Kind::HeadMismatch => verified::Kind::HeadMismatch,
        Kind::SegmentAltered => verified::Kind::SegmentAltered,
        Kind::RowAltered => verified::Kind::RowAltered,
        Kind::RowMissing => verified::Kind::RowMissing,
    }
}
