//! Keys over their whole life: changed, replaced, put in order, revoked, purged; alone, again and at once.

mod connect;
mod gone;
mod listing;
mod order;
mod purge;
mod races;
mod replace;
mod replay;
mod revoke;
mod update;

use claviger_proto::keyvault_v1::{
    CreateProviderKeyRequest, ProviderKey, ReplaceProviderKeySecretRequest, Secret, UpdateProviderKeyRequest, secret,
};
use claviger_tests::Fleet;
use claviger_tests::fleet::create_request;
use tonic::Status;

use crate::database::Database;

const ACME: &str = "workspaces/acme";

/// A request to store a key under a slug.
fn slugged(parent: &str, provider: &str, slug: &str, secret: &str) -> CreateProviderKeyRequest {
    let mut request = create_request(parent, provider, secret);
    request.provider_key.as_mut().unwrap().key_slug = slug.to_owned();
    request
}

fn update_request(key: ProviderKey, paths: &[&str]) -> UpdateProviderKeyRequest {
    let mut request = UpdateProviderKeyRequest { provider_key: Some(key), ..Default::default() };
    request.update_mask.get_or_insert_default().paths = paths.iter().map(|path| (*path).to_owned()).collect();
    request
}

async fn update(fleet: &Fleet, key: ProviderKey, paths: &[&str]) -> Result<ProviderKey, Status> {
    Ok(fleet.key_vault().update_provider_key(update_request(key, paths)).await?.into_inner())
}

fn replace_request(name: &str, secret: &str) -> ReplaceProviderKeySecretRequest {
    ReplaceProviderKeySecretRequest { name: name.to_owned(), secret: Some(api_key(secret)), ..Default::default() }
}

async fn replace(fleet: &Fleet, request: ReplaceProviderKeySecretRequest) -> Result<ProviderKey, Status> {
    Ok(fleet.key_vault().replace_provider_key_secret(request).await?.into_inner())
}

fn api_key(secret: &str) -> Secret {
    Secret { kind: Some(secret::Kind::ApiKey(secret.to_owned())) }
}

/// A key as it is now, without the token of the moment.
async fn shown(fleet: &Fleet, name: &str) -> ProviderKey {
    let parent = name.rsplit_once("/keys/").unwrap().0;
    let keys = fleet.keys(parent, true).await.unwrap();
    lasting(keys.into_iter().find(|key| key.name == name).unwrap())
}

/// What of an answer stays true.
fn lasting(key: ProviderKey) -> ProviderKey {
    ProviderKey { consistency_token: String::new(), warnings: Vec::new(), ..key }
}

/// Actions and details of a resource's events, oldest first.
async fn events(fleet: &Fleet, target: &str) -> Vec<(String, serde_json::Value)> {
    let database = Database::open(&fleet.database()).await;
    let sql = format!("SELECT action, details FROM audit_events WHERE target = '{target}' ORDER BY seq");
    let rows = database.rows(&sql).await;
    let events = rows.iter().map(|row| {
        let details: String = row.try_get_by_index(1).unwrap();
        (row.try_get_by_index(0).unwrap(), serde_json::from_str(&details).unwrap())
    });
    let events = events.collect();
    database.close().await;
    events
}

/// How many events there are.
async fn seq(fleet: &Fleet) -> i64 {
    claviger_tests::database::number(&fleet.database(), "SELECT seq FROM audit_head").await.unwrap()
}

/// Writes to a key's row behind the vault's back.
async fn tamper(fleet: &Fleet, key: &ProviderKey) {
    let sql = format!("UPDATE provider_keys SET label = 'altered' WHERE id = '{}'", key.uid);
    claviger_tests::database::alter(&fleet.database(), &sql).await.unwrap();
}
