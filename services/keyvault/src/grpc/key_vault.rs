//! `claviger.keyvault.v1.KeyVault`.

use std::sync::Arc;

use claviger_core::catalog::Catalog;
use claviger_core::command::{
    CreateKey, ListKeys, PurgeKey, ReorderKeys, ReplaceSecret, RevokeKey, RevokeLeaked, RevokeUser, TestKey, UpdateKey,
};
use claviger_core::fault::Fault;
use claviger_core::ids::ProviderId;
use claviger_core::position::Position;
use claviger_proto::keyvault::{KeyView, health_message, key_message, key_name, oauth_start, owner_name};
use claviger_proto::keyvault_v1 as kv;
use claviger_proto::keyvault_v1::key_vault_server::KeyVault;
use claviger_proto::timestamp;
use tonic::{Request, Response, Status};

use super::{Mutations, answer, origin};
use crate::store::StoredKey;
use crate::usecase::keys::{Connected, Created, Keys, Shown, nothing_begun};

/// The service.
#[derive(Debug, Clone)]
pub struct KeyVaultService {
    keys: Keys,
    mutations: Mutations,
    show: Show,
}

/// Makes messages of keys.
#[derive(Debug, Clone)]
pub struct Show {
    catalog: Arc<Catalog>,
}

impl Show {
    /// With a catalog, which knows what providers serve.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog }
    }

    /// A key as callers see it.
    #[must_use]
    pub fn key(&self, stored: &StoredKey, at: Position) -> kv::ProviderKey {
        let categories = self.categories(&stored.key.provider);
        key_message(KeyView { key: &stored.key, seq: stored.seq, intact: stored.intact, categories }, at)
    }

    /// A key as callers see it, with how it fares.
    fn with_health(&self, Shown { stored, health }: &Shown, at: Position) -> kv::ProviderKey {
        kv::ProviderKey {
            health: health_message(health),
            last_use_time: health.last_use.map(timestamp),
            ..self.key(stored, at)
        }
    }

    fn categories(&self, provider: &ProviderId) -> Vec<String> {
        let provider = self.catalog.provider(provider.as_str());
        let categories = provider.into_iter().flat_map(|provider| &provider.categories);
        categories.map(|category| category.as_str().to_owned()).collect()
    }

    fn connected(&self, connected: &Connected) -> kv::ConnectedProvider {
        kv::ConnectedProvider {
            provider: format!("providers/{}", connected.provider),
            categories: self.categories(&connected.provider),
            active_key_count: i32::try_from(connected.active_keys).unwrap_or(i32::MAX),
        }
    }

    /// A key as it was created, or as its secret was replaced.
    #[must_use]
    pub fn created(&self, created: &Created, at: Position) -> kv::ProviderKey {
        kv::ProviderKey { warnings: created.warnings.clone(), ..self.key(&created.stored, at) }
    }

    /// A key that was only validated has no place in the vault: no name, no token, no etag.
    fn validated(&self, created: &Created) -> kv::ProviderKey {
        let nowhere = Position { epoch: uuid::Uuid::nil(), seq: 0 };
        let mut message = self.created(created, nowhere);
        for field in [&mut message.name, &mut message.uid, &mut message.consistency_token, &mut message.etag] {
            field.clear();
        }
        message
    }
}

impl KeyVaultService {
    /// Over the use-cases.
    #[must_use]
    pub fn new(keys: Keys, mutations: Mutations, show: Show) -> Self {
        Self { keys, mutations, show }
    }

    async fn list(&self, request: kv::ListProviderKeysRequest) -> Result<kv::ListProviderKeysResponse, Fault> {
        let page = self.keys.list(&ListKeys::try_from(request)?).await?;
        Ok(kv::ListProviderKeysResponse {
            provider_keys: page.items.iter().map(|shown| self.show.with_health(shown, page.at)).collect(),
            next_page_token: page.next.unwrap_or_default(),
        })
    }

    async fn show(&self, name: &str) -> Result<kv::ProviderKey, Fault> {
        let (shown, at) = self.keys.show(&key_name(name)?).await?;
        Ok(self.show.with_health(&shown, at))
    }

    async fn connected(&self, parent: &str) -> Result<kv::ListConnectedProvidersResponse, Fault> {
        let connected = self.keys.connected(&owner_name(parent)?).await?;
        let connected_providers = connected.iter().map(|provider| self.show.connected(provider)).collect();
        Ok(kv::ListConnectedProvidersResponse { connected_providers })
    }

    async fn validate(&self, request: Request<kv::CreateProviderKeyRequest>) -> Result<kv::ProviderKey, Fault> {
        let origin = origin(&request)?;
        let command = CreateKey::try_from(request.into_inner())?;
        let created = self.keys.validate(command.key, &origin).await?;
        Ok(self.show.validated(&created))
    }
}

#[tonic::async_trait]
impl KeyVault for KeyVaultService {
    async fn create_provider_key(
        &self,
        request: Request<kv::CreateProviderKeyRequest>,
    ) -> Result<Response<kv::ProviderKey>, Status> {
        if request.get_ref().validate_only {
            return answer(self.validate(request).await);
        }
        let show = self.show.clone();
        let convert = move |created: &Created, at| show.created(created, at);
        let run = async |request, call| self.keys.create(CreateKey::try_from(request)?, call).await;
        self.mutations.run("CreateProviderKey", request, |r| &r.request_id, convert, run).await
    }

    async fn get_provider_key(
        &self,
        request: Request<kv::GetProviderKeyRequest>,
    ) -> Result<Response<kv::ProviderKey>, Status> {
        answer(self.show(&request.into_inner().name).await)
    }

    async fn list_provider_keys(
        &self,
        request: Request<kv::ListProviderKeysRequest>,
    ) -> Result<Response<kv::ListProviderKeysResponse>, Status> {
        answer(self.list(request.into_inner()).await)
    }

    async fn update_provider_key(
        &self,
        request: Request<kv::UpdateProviderKeyRequest>,
    ) -> Result<Response<kv::ProviderKey>, Status> {
        let show = self.show.clone();
        let convert = move |stored: &StoredKey, at| show.key(stored, at);
        let run = async |request, call| self.keys.update(UpdateKey::try_from(request)?, call).await;
        self.mutations.run("UpdateProviderKey", request, |r| &r.request_id, convert, run).await
    }

    async fn replace_provider_key_secret(
        &self,
        request: Request<kv::ReplaceProviderKeySecretRequest>,
    ) -> Result<Response<kv::ProviderKey>, Status> {
        let show = self.show.clone();
        let convert = move |replaced: &Created, at| show.created(replaced, at);
        let run = async |request, call| self.keys.replace(ReplaceSecret::try_from(request)?, call).await;
        self.mutations.run("ReplaceProviderKeySecret", request, |r| &r.request_id, convert, run).await
    }

    async fn reorder_provider_keys(
        &self,
        request: Request<kv::ReorderProviderKeysRequest>,
    ) -> Result<Response<kv::ReorderProviderKeysResponse>, Status> {
        let show = self.show.clone();
        let convert = move |keys: &Vec<StoredKey>, at: Position| kv::ReorderProviderKeysResponse {
            provider_keys: keys.iter().map(|stored| show.key(stored, at)).collect(),
            consistency_token: at.to_string(),
        };
        let run = async |request, call| self.keys.reorder(ReorderKeys::try_from(request)?, call).await;
        self.mutations.run("ReorderProviderKeys", request, |r| &r.request_id, convert, run).await
    }

    async fn test_provider_key(
        &self,
        request: Request<kv::TestProviderKeyRequest>,
    ) -> Result<Response<kv::TestProviderKeyResponse>, Status> {
        let show = self.show.clone();
        let convert = move |stored: &StoredKey, at: Position| kv::TestProviderKeyResponse {
            provider_key: Some(show.key(stored, at)),
            consistency_token: at.to_string(),
        };
        let run = async |request, call| self.keys.test(TestKey::try_from(request)?, call).await;
        self.mutations.run("TestProviderKey", request, |r| &r.request_id, convert, run).await
    }

    async fn revoke_provider_key(
        &self,
        request: Request<kv::RevokeProviderKeyRequest>,
    ) -> Result<Response<kv::RevokeProviderKeyResponse>, Status> {
        let show = self.show.clone();
        let convert = move |stored: &StoredKey, at: Position| kv::RevokeProviderKeyResponse {
            provider_key: Some(show.key(stored, at)),
            consistency_token: at.to_string(),
        };
        let run = async |request, call| self.keys.revoke(RevokeKey::try_from(request)?, call).await;
        self.mutations.run("RevokeProviderKey", request, |r| &r.request_id, convert, run).await
    }

    async fn revoke_leaked_secret(
        &self,
        request: Request<kv::RevokeLeakedSecretRequest>,
    ) -> Result<Response<kv::RevokeLeakedSecretResponse>, Status> {
        let show = self.show.clone();
        let convert = move |keys: &Vec<StoredKey>, at: Position| kv::RevokeLeakedSecretResponse {
            provider_keys: keys.iter().map(|stored| show.key(stored, at)).collect(),
            consistency_token: at.to_string(),
        };
        let run = async |request, call| self.keys.revoke_leaked(RevokeLeaked::try_from(request)?, call).await;
        self.mutations.run("RevokeLeakedSecret", request, |r| &r.request_id, convert, run).await
    }

    async fn revoke_user_keys(
        &self,
        request: Request<kv::RevokeUserKeysRequest>,
    ) -> Result<Response<kv::RevokeUserKeysResponse>, Status> {
        let convert = |count: &usize, at: Position| kv::RevokeUserKeysResponse {
            revoked_count: i32::try_from(*count).unwrap_or(i32::MAX),
            consistency_token: at.to_string(),
        };
        let run = async |request, call| self.keys.revoke_user(RevokeUser::try_from(request)?, call).await;
        self.mutations.run("RevokeUserKeys", request, |r| &r.request_id, convert, run).await
    }

    async fn purge_provider_key(
        &self,
        request: Request<kv::PurgeProviderKeyRequest>,
    ) -> Result<Response<kv::ProviderKey>, Status> {
        let show = self.show.clone();
        let convert = move |stored: &StoredKey, at| show.key(stored, at);
        let run = async |request, call| self.keys.purge(PurgeKey::try_from(request)?, call).await;
        self.mutations.run("PurgeProviderKey", request, |r| &r.request_id, convert, run).await
    }

    async fn list_connected_providers(
        &self,
        request: Request<kv::ListConnectedProvidersRequest>,
    ) -> Result<Response<kv::ListConnectedProvidersResponse>, Status> {
        answer(self.connected(&request.into_inner().parent).await)
    }

    async fn start_provider_o_auth(
        &self,
        request: Request<kv::StartProviderOAuthRequest>,
    ) -> Result<Response<kv::StartProviderOAuthResponse>, Status> {
        let asked = oauth_start(request.get_ref());
        answer(asked.and_then(|(_, provider)| Err(self.keys.refuse_oauth(&provider))))
    }

    async fn complete_provider_o_auth(
        &self,
        _: Request<kv::CompleteProviderOAuthRequest>,
    ) -> Result<Response<kv::ProviderKey>, Status> {
        answer(Err(nothing_begun()))
    }
}
