//! `claviger.keyvault.v1.Workspaces`.

use claviger_core::audit::Origin;
use claviger_core::command::CreateWorkspace;
use claviger_core::fault::Fault;
use claviger_proto::keyvault::{workspace_message, workspace_name};
use claviger_proto::keyvault_v1 as kv;
use tonic::{Request, Response, Status};

use super::{answer, origin};
use crate::usecase::workspaces::Workspaces;

/// The service.
#[derive(Debug, Clone)]
pub struct WorkspacesService {
    workspaces: Workspaces,
}

impl WorkspacesService {
    /// Over the use-cases.
    #[must_use]
    pub fn new(workspaces: Workspaces) -> Self {
        Self { workspaces }
    }

    async fn create(&self, request: kv::CreateWorkspaceRequest, origin: &Origin) -> Result<kv::Workspace, Fault> {
        let (workspace, at) = self.workspaces.create(CreateWorkspace::try_from(request)?, origin).await?;
        Ok(workspace_message(&workspace, at))
    }

    async fn show(&self, name: &str) -> Result<kv::Workspace, Fault> {
        let (workspace, at) = self.workspaces.show(&workspace_name(name)?).await?;
        Ok(workspace_message(&workspace, at))
    }
}

#[tonic::async_trait]
impl kv::workspaces_server::Workspaces for WorkspacesService {
    async fn create_workspace(
        &self,
        request: Request<kv::CreateWorkspaceRequest>,
    ) -> Result<Response<kv::Workspace>, Status> {
        let origin = origin(request.extensions());
        answer(self.create(request.into_inner(), &origin).await)
    }

    async fn get_workspace(
        &self,
        request: Request<kv::GetWorkspaceRequest>,
    ) -> Result<Response<kv::Workspace>, Status> {
        answer(self.show(&request.into_inner().name).await)
    }
}
