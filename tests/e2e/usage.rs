//! What routing tells is counted once, priced, and shown; what callers say of a key is looked into.

pub(crate) mod feed;
mod health;
mod journal;
mod sums;

use claviger_proto::keyvault_v1::usage_client::UsageClient;
use claviger_proto::keyvault_v1::{GetProviderKeyRequest, ProviderKey, QueryUsageRequest, UsageRow};
use claviger_tests::{Fleet, wire};
use tonic::transport::Channel;

fn usage(fleet: &Fleet) -> UsageClient<Channel> {
    UsageClient::new(wire::channel(&fleet.vault, "grpc"))
}

/// All of a parent's usage of the last day, in one row.
async fn sum(fleet: &Fleet, parent: &str) -> UsageRow {
    let request = QueryUsageRequest { parent: parent.into(), ..Default::default() };
    let mut rows = usage(fleet).query_usage(request).await.unwrap().into_inner().rows;
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

async fn get(fleet: &Fleet, key: &ProviderKey) -> ProviderKey {
    fleet.key_vault().get_provider_key(GetProviderKeyRequest { name: key.name.clone() }).await.unwrap().into_inner()
}
