//! `claviger.keyvault.v1.KeyVault`.

use claviger_core::audit::Origin;
use claviger_core::command::{CreateKey, ListKeys, RevokeKey};
use claviger_core::fault::Fault;
use claviger_core::key::ProviderKey;
use claviger_core::position::Position;
use claviger_proto::keyvault::{key_message, key_name};
use claviger_proto::keyvault_v1 as kv;
use claviger_proto::keyvault_v1::key_vault_server::KeyVault;
use tonic::{Request, Response, Status};

use super::{answer, origin};
use crate::usecase::keys::{Created, Keys};

/// The service.
#[derive(Debug, Clone)]
pub struct KeyVaultService {
    keys: Keys,
}

impl KeyVaultService {
    /// Over the use-cases.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self { keys }
    }

    async fn create(&self, request: kv::CreateProviderKeyRequest, origin: &Origin) -> Result<kv::ProviderKey, Fault> {
        let created = self.keys.create(CreateKey::try_from(request)?, origin).await?;
        Ok(self.created(created))
    }

    /// A key that was only validated has no place in the vault: no name, no token.
    fn created(&self, created: Created) -> kv::ProviderKey {
        let stored = created.at.is_some();
        let at = created.at.unwrap_or(Position { epoch: uuid::Uuid::nil(), seq: 0 });
        let mut message = self.message(&created.key, at);
        message.warnings = created.warnings;
        if !stored {
            message.name.clear();
            message.uid.clear();
            message.consistency_token.clear();
        }
        message
    }

    async fn list(&self, request: kv::ListProviderKeysRequest) -> Result<kv::ListProviderKeysResponse, Fault> {
        let page = self.keys.list(&ListKeys::try_from(request)?).await?;
        Ok(kv::ListProviderKeysResponse {
            provider_keys: page.keys.iter().map(|key| self.message(key, page.at)).collect(),
            next_page_token: page.next.unwrap_or_default(),
        })
    }

    async fn show(&self, name: &str) -> Result<kv::ProviderKey, Fault> {
        let (key, at) = self.keys.show(&key_name(name)?).await?;
        Ok(self.message(&key, at))
    }

    async fn test(&self, name: &str, origin: &Origin) -> Result<kv::TestProviderKeyResponse, Fault> {
        let (key, at) = self.keys.test(&key_name(name)?, origin).await?;
        let consistency_token = at.to_string();
        Ok(kv::TestProviderKeyResponse { provider_key: Some(self.message(&key, at)), consistency_token })
    }

    async fn revoke(
        &self,
        request: kv::RevokeProviderKeyRequest,
        origin: &Origin,
    ) -> Result<kv::RevokeProviderKeyResponse, Fault> {
        let (key, at) = self.keys.revoke(RevokeKey::try_from(request)?, origin).await?;
        let consistency_token = at.to_string();
        Ok(kv::RevokeProviderKeyResponse { provider_key: Some(self.message(&key, at)), consistency_token })
    }

    fn message(&self, key: &ProviderKey, at: Position) -> kv::ProviderKey {
        let categories = self.keys.provider(&key.provider).map(|provider| provider.categories.clone());
        let names = categories.unwrap_or_default().iter().map(|category| category.as_str().to_owned()).collect();
        key_message(key, names, at)
    }
}

#[tonic::async_trait]
impl KeyVault for KeyVaultService {
    async fn create_provider_key(
        &self,
        request: Request<kv::CreateProviderKeyRequest>,
    ) -> Result<Response<kv::ProviderKey>, Status> {
        let origin = origin(request.extensions());
        answer(self.create(request.into_inner(), &origin).await)
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

    async fn test_provider_key(
        &self,
        request: Request<kv::TestProviderKeyRequest>,
    ) -> Result<Response<kv::TestProviderKeyResponse>, Status> {
        let origin = origin(request.extensions());
        answer(self.test(&request.into_inner().name, &origin).await)
    }

    async fn revoke_provider_key(
        &self,
        request: Request<kv::RevokeProviderKeyRequest>,
    ) -> Result<Response<kv::RevokeProviderKeyResponse>, Status> {
        let origin = origin(request.extensions());
        answer(self.revoke(request.into_inner(), &origin).await)
    }
}
