//! The calls that most tests make, each in one line.

use claviger_proto::keyvault_v1::{
    CreateProviderKeyRequest, CreateWorkspaceRequest, ListProviderKeysRequest, ProviderKey, RevokeProviderKeyRequest,
    RevokeProviderKeyResponse, TestProviderKeyRequest, Workspace,
};
use claviger_proto::routing_v1::{Resolution, ResolveKeyRequest};
use tonic::Status;

use crate::Fleet;

impl Fleet {
    /// Stores a key as the request says.
    ///
    /// # Errors
    /// The service's.
    pub async fn store(&self, request: CreateProviderKeyRequest) -> Result<ProviderKey, Status> {
        Ok(self.key_vault().create_provider_key(request).await?.into_inner())
    }

    /// An owner's keys: the first 500, or fewer.
    ///
    /// # Errors
    /// The service's.
    pub async fn keys(&self, parent: &str, show_revoked: bool) -> Result<Vec<ProviderKey>, Status> {
        let request =
            ListProviderKeysRequest { parent: parent.to_owned(), show_revoked, page_size: 500, ..Default::default() };
        Ok(self.key_vault().list_provider_keys(request).await?.into_inner().provider_keys)
    }

    /// Tests a stored key live.
    ///
    /// # Errors
    /// The service's.
    pub async fn test(&self, name: &str) -> Result<ProviderKey, Status> {
        let request = TestProviderKeyRequest { name: name.to_owned(), ..Default::default() };
        let answer = self.key_vault().test_provider_key(request).await?.into_inner();
        answer.provider_key.ok_or_else(|| Status::internal("no key in the answer"))
    }

    /// Revokes a key.
    ///
    /// # Errors
    /// The service's.
    pub async fn revoke(&self, name: &str) -> Result<RevokeProviderKeyResponse, Status> {
        let request =
            RevokeProviderKeyRequest { name: name.to_owned(), reason: "left".to_owned(), ..Default::default() };
        Ok(self.key_vault().revoke_provider_key(request).await?.into_inner())
    }

    /// Makes a workspace's record.
    ///
    /// # Errors
    /// The service's.
    pub async fn make_workspace(&self, id: &str, workspace: Workspace) -> Result<Workspace, Status> {
        let request =
            CreateWorkspaceRequest { workspace_id: id.to_owned(), workspace: Some(workspace), ..Default::default() };
        Ok(self.workspaces().create_workspace(request).await?.into_inner())
    }

    /// Resolves.
    ///
    /// # Errors
    /// The service's.
    pub async fn resolve(&self, request: ResolveKeyRequest) -> Result<Resolution, Status> {
        Ok(self.routing().resolve_key(request).await?.into_inner())
    }
}
