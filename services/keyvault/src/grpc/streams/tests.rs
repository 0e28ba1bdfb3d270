//! The services' streams over a real store.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use claviger_proto::keyvault_v1 as kv;
use claviger_proto::keyvault_v1::audit_log_server::AuditLog;
use claviger_proto::keyvault_v1::master_keys_server::MasterKeys as _;
use futures::poll;
use tempfile::TempDir;
use tonic::{Code, Request};

use super::*;
use crate::grpc::audit_log::AuditLogService;
use crate::grpc::master_keys::MasterKeysService;
use crate::usecase::audit::Audit;
use crate::usecase::audit::tests::{append, open};
use crate::usecase::master_keys::MasterKeys;

/// Both services over a log of many parts.
struct Place {
    _folder: TempDir,
    audit_log: AuditLogService,
    master_keys: MasterKeysService,
    shutdown: CancellationToken,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, writer, custody) = open(&folder.path().join("keyvault.db")).await;
        tokio::spawn(writer.run(CancellationToken::new()));
        append(&store, 2_000).await;
        let shutdown = CancellationToken::new();
        let audit_log = AuditLogService::new(Audit::new(store.clone(), Arc::clone(&custody)), shutdown.clone());
        let master_keys = MasterKeysService::new(MasterKeys::new(store, custody), shutdown.clone());
        Self { _folder: folder, audit_log, master_keys, shutdown }
    }

    async fn verification(&self) -> Streamed<kv::VerifyAuditLogResponse> {
        self.audit_log.verify_audit_log(Request::new(kv::VerifyAuditLogRequest {})).await.unwrap().into_inner()
    }

    async fn export(&self) -> Streamed<kv::ExportAuditEventsResponse> {
        let request = kv::ExportAuditEventsRequest { parent: "workspaces/-".into(), ..Default::default() };
        self.audit_log.export_audit_events(Request::new(request)).await.unwrap().into_inner()
    }

    async fn rotation(&self) -> Streamed<kv::RewrapKeysResponse> {
        self.master_keys.rewrap_keys(Request::new(kv::RewrapKeysRequest::default())).await.unwrap().into_inner()
    }
}

/// The rest of a stream: its messages, and the error that it ends with.
async fn rest<T>(stream: &mut Streamed<T>) -> (Vec<T>, Option<Status>) {
    let mut messages = Vec::new();
    while let Some(next) = stream.next().await {
        match next {
            Ok(message) => messages.push(message),
            Err(error) => {
                assert!(stream.next().await.is_none(), "nothing follows an error");
                return (messages, Some(error));
            }
        }
    }
    (messages, None)
}

fn assert_broken_off(error: Option<Status>) {
    let error = error.unwrap();
    assert_eq!((error.code(), status::reason(&error).as_deref()), (Code::Unavailable, Some("STORAGE_UNAVAILABLE")));
    let with_retry =
        Fault::new(Reason::StorageUnavailable, error.message().to_owned()).retry_after(Duration::from_secs(1));
    assert_eq!(error.details(), status::of(&with_retry).details());
}

#[tokio::test]
async fn a_verification_in_the_middle_is_broken_off_by_shutdown() {
    let place = Place::new().await;
    let (mut running, mut waiting) = (place.verification().await, place.verification().await);
    assert!(poll!(running.next()).is_pending() && poll!(waiting.next()).is_pending());
    place.shutdown.cancel();
    for stream in [&mut waiting, &mut running] {
        let (messages, error) = rest(stream).await;
        assert!(messages.iter().all(|message| !message.done));
        assert_broken_off(error);
    }
}

#[tokio::test]
async fn an_export_in_the_middle_is_broken_off_by_shutdown() {
    let place = Place::new().await;
    let mut export = place.export().await;
    export.next().await.unwrap().unwrap();
    place.shutdown.cancel();
    let (parts, error) = rest(&mut export).await;
    assert!(parts.iter().all(|part| !part.lines.contains("last_hash")));
    assert_broken_off(error);
}

#[tokio::test]
async fn a_rotation_in_the_middle_is_broken_off_by_shutdown() {
    let place = Place::new().await;
    let mut rotation = place.rotation().await;
    assert!(!rotation.next().await.unwrap().unwrap().done);
    place.shutdown.cancel();
    let (messages, error) = rest(&mut rotation).await;
    assert!(messages.iter().all(|message| !message.done));
    assert_broken_off(error);
}

/// Shutdown comes behind the last message, and in front of the stream's end.
#[tokio::test]
async fn what_is_done_ends_well() {
    let place = Place::new().await;
    let (mut verification, mut export, mut rotation) =
        (place.verification().await, place.export().await, place.rotation().await);
    while !verification.next().await.unwrap().unwrap().done {}
    while !export.next().await.unwrap().unwrap().lines.contains("last_hash") {}
    while !rotation.next().await.unwrap().unwrap().done {}
    place.shutdown.cancel();
    assert!(verification.next().await.is_none() && export.next().await.is_none() && rotation.next().await.is_none());
}
