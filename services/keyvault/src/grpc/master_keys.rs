//! `claviger.keyvault.v1.MasterKeys`.

use claviger_core::fault::Fault;
use claviger_proto::keyvault::{master_key_message, reseal_made_before};
use claviger_proto::keyvault_v1 as kv;
use claviger_proto::status;
use futures::stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::streams::{Streamed, until};
use super::{answer, origin};
use crate::usecase::master_keys::{MasterKey, MasterKeys, Progress, Rotation};

/// The service.
#[derive(Debug, Clone)]
pub struct MasterKeysService {
    master_keys: MasterKeys,
    shutdown: CancellationToken,
}

impl MasterKeysService {
    /// Over the use-cases; rotations break off at shutdown, and go on when they are called again.
    #[must_use]
    pub fn new(master_keys: MasterKeys, shutdown: CancellationToken) -> Self {
        Self { master_keys, shutdown }
    }

    async fn list(&self) -> Result<kv::ListMasterKeysResponse, Fault> {
        let master_keys = self.master_keys.list().await?.into_iter().map(message).collect();
        Ok(kv::ListMasterKeysResponse { master_keys })
    }

    fn rotation(&self, request: &Request<kv::RewrapKeysRequest>) -> Result<Rotation, Fault> {
        let origin = origin(request)?;
        self.master_keys.rotate(reseal_made_before(request.get_ref())?, origin)
    }
}

#[tonic::async_trait]
impl kv::master_keys_server::MasterKeys for MasterKeysService {
    type RewrapKeysStream = Streamed<kv::RewrapKeysResponse>;

    async fn list_master_keys(
        &self,
        _: Request<kv::ListMasterKeysRequest>,
    ) -> Result<Response<kv::ListMasterKeysResponse>, Status> {
        answer(self.list().await)
    }

    /// The caller's own pace drives it: no batch begins before the one before was taken.
    async fn rewrap_keys(
        &self,
        request: Request<kv::RewrapKeysRequest>,
    ) -> Result<Response<Self::RewrapKeysStream>, Status> {
        let rotation = self.rotation(&request).map_err(|fault| status::of(&fault))?;
        let steps = stream::try_unfold(rotation, async |mut rotation| {
            let progress = rotation.next().await.map_err(|fault| status::of(&fault))?;
            Ok(progress.map(|progress| (response(&progress), rotation)))
        });
        Ok(Response::new(until(self.shutdown.clone(), steps, |message| message.done)))
    }
}

fn message(key: MasterKey) -> kv::MasterKey {
    let of = key.dependents;
    master_key_message(key.id, key.state.as_str(), [of.workspace_keys, of.service_keys, of.records])
}

fn response(progress: &Progress) -> kv::RewrapKeysResponse {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    kv::RewrapKeysResponse {
        rewrapped_keys: count(progress.rewrapped),
        remaining_keys: count(progress.remaining_keys),
        resealed_records: count(progress.resealed),
        remaining_records: count(progress.remaining_records),
        unreadable_records: count(progress.unreadable),
        done: progress.done,
    }
}
