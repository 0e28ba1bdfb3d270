//! `claviger.keyvault.v1.Workspaces`.

use claviger_core::command::{
    BindSession, CreateWorkspace, DeleteAgentRoute, DeleteWorkspace, ListAgentRoutes, ListWorkspaces, SetAgentRoute,
    UnbindSession, UpdateWorkspace,
};
use claviger_core::fault::Fault;
use claviger_core::position::Position;
use claviger_core::workspace::{AgentRoute, Workspace};
use claviger_proto::keyvault::{
    agent_route_message, agent_route_of, session_binding_message, session_binding_of, workspace_message, workspace_name,
};
use claviger_proto::keyvault_v1 as kv;
use tonic::{Request, Response, Status};

use super::key_vault::Show;
use super::{Mutations, answer};
use crate::store::Kept;
use crate::usecase::workspaces::{Made, Workspaces};

/// The service.
#[derive(Debug, Clone)]
pub struct WorkspacesService {
    workspaces: Workspaces,
    mutations: Mutations,
    show: Show,
}

impl WorkspacesService {
    /// Over the use-cases.
    #[must_use]
    pub fn new(workspaces: Workspaces, mutations: Mutations, show: Show) -> Self {
        Self { workspaces, mutations, show }
    }

    async fn show(&self, name: &str) -> Result<kv::Workspace, Fault> {
        let (kept, at) = self.workspaces.show(&workspace_name(name)?).await?;
        Ok(workspace_message(&kept.value, kept.seq, at))
    }

    async fn list(&self, request: kv::ListWorkspacesRequest) -> Result<kv::ListWorkspacesResponse, Fault> {
        let page = self.workspaces.list(&ListWorkspaces::try_from(request)?).await?;
        Ok(kv::ListWorkspacesResponse {
            workspaces: page.items.iter().map(|kept| workspace_message(&kept.value, kept.seq, page.at)).collect(),
            next_page_token: page.next.unwrap_or_default(),
        })
    }

    async fn show_route(&self, name: &str) -> Result<kv::AgentRoute, Fault> {
        let (workspace, agent) = agent_route_of(name)?;
        let (kept, at) = self.workspaces.route(&workspace, &agent).await?;
        Ok(agent_route_message(&kept.value, kept.seq, at))
    }

    async fn list_routes(&self, request: kv::ListAgentRoutesRequest) -> Result<kv::ListAgentRoutesResponse, Fault> {
        let page = self.workspaces.routes(&ListAgentRoutes::try_from(request)?).await?;
        Ok(kv::ListAgentRoutesResponse {
            agent_routes: page.items.iter().map(|kept| agent_route_message(&kept.value, kept.seq, page.at)).collect(),
            next_page_token: page.next.unwrap_or_default(),
        })
    }

    async fn show_binding(&self, name: &str) -> Result<kv::SessionBinding, Fault> {
        let (workspace, session) = session_binding_of(name)?;
        let (binding, at) = self.workspaces.binding(&workspace, &session).await?;
        Ok(session_binding_message(&binding, at))
    }
}

#[tonic::async_trait]
impl kv::workspaces_server::Workspaces for WorkspacesService {
    async fn create_workspace(
        &self,
        request: Request<kv::CreateWorkspaceRequest>,
    ) -> Result<Response<kv::Workspace>, Status> {
        let show = self.show.clone();
        let convert = move |(kept, first): &Made, at| kv::Workspace {
            first_key: first.as_ref().map(|created| show.created(created, at)),
            ..workspace_message(&kept.value, kept.seq, at)
        };
        let run = async |request, call| self.workspaces.create(CreateWorkspace::try_from(request)?, call).await;
        self.mutations.run("CreateWorkspace", request, |r| &r.request_id, convert, run).await
    }

    async fn get_workspace(
        &self,
        request: Request<kv::GetWorkspaceRequest>,
    ) -> Result<Response<kv::Workspace>, Status> {
        answer(self.show(&request.into_inner().name).await)
    }

    async fn update_workspace(
        &self,
        request: Request<kv::UpdateWorkspaceRequest>,
    ) -> Result<Response<kv::Workspace>, Status> {
        let convert = |kept: &Kept<Workspace>, at| workspace_message(&kept.value, kept.seq, at);
        let run = async |request, call| self.workspaces.update(UpdateWorkspace::try_from(request)?, call).await;
        self.mutations.run("UpdateWorkspace", request, |r| &r.request_id, convert, run).await
    }

    async fn list_workspaces(
        &self,
        request: Request<kv::ListWorkspacesRequest>,
    ) -> Result<Response<kv::ListWorkspacesResponse>, Status> {
        answer(self.list(request.into_inner()).await)
    }

    async fn delete_workspace(
        &self,
        request: Request<kv::DeleteWorkspaceRequest>,
    ) -> Result<Response<kv::DeleteWorkspaceResponse>, Status> {
        let convert = |destroyed: &usize, at: Position| kv::DeleteWorkspaceResponse {
            purged_key_count: i32::try_from(*destroyed).unwrap_or(i32::MAX),
            consistency_token: at.to_string(),
        };
        let run = async |request, call| self.workspaces.delete(DeleteWorkspace::try_from(request)?, call).await;
        self.mutations.run("DeleteWorkspace", request, |r| &r.request_id, convert, run).await
    }

    async fn set_agent_route(
        &self,
        request: Request<kv::SetAgentRouteRequest>,
    ) -> Result<Response<kv::AgentRoute>, Status> {
        let convert = |kept: &Kept<AgentRoute>, at| agent_route_message(&kept.value, kept.seq, at);
        let run = async |request, call| self.workspaces.set_route(SetAgentRoute::try_from(request)?, call).await;
        self.mutations.run("SetAgentRoute", request, |r| &r.request_id, convert, run).await
    }

    async fn get_agent_route(
        &self,
        request: Request<kv::GetAgentRouteRequest>,
    ) -> Result<Response<kv::AgentRoute>, Status> {
        answer(self.show_route(&request.into_inner().name).await)
    }

    async fn list_agent_routes(
        &self,
        request: Request<kv::ListAgentRoutesRequest>,
    ) -> Result<Response<kv::ListAgentRoutesResponse>, Status> {
        answer(self.list_routes(request.into_inner()).await)
    }

    async fn delete_agent_route(
        &self,
        request: Request<kv::DeleteAgentRouteRequest>,
    ) -> Result<Response<kv::DeleteAgentRouteResponse>, Status> {
        let convert = |(): &(), at: Position| kv::DeleteAgentRouteResponse { consistency_token: at.to_string() };
        let run = async |request, call| self.workspaces.delete_route(DeleteAgentRoute::try_from(request)?, call).await;
        self.mutations.run("DeleteAgentRoute", request, |r| &r.request_id, convert, run).await
    }

    async fn bind_session(
        &self,
        request: Request<kv::BindSessionRequest>,
    ) -> Result<Response<kv::SessionBinding>, Status> {
        let run = async |request, call| self.workspaces.bind(BindSession::try_from(request)?, call).await;
        self.mutations.run("BindSession", request, |r| &r.request_id, session_binding_message, run).await
    }

    async fn get_session_binding(
        &self,
        request: Request<kv::GetSessionBindingRequest>,
    ) -> Result<Response<kv::SessionBinding>, Status> {
        answer(self.show_binding(&request.into_inner().name).await)
    }

    async fn unbind_session(
        &self,
        request: Request<kv::UnbindSessionRequest>,
    ) -> Result<Response<kv::UnbindSessionResponse>, Status> {
        let convert = |(): &(), at: Position| kv::UnbindSessionResponse { consistency_token: at.to_string() };
        let run = async |request, call| self.workspaces.unbind(UnbindSession::try_from(request)?, call).await;
        self.mutations.run("UnbindSession", request, |r| &r.request_id, convert, run).await
    }
}
