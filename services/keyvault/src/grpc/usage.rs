//! `claviger.keyvault.v1.Usage`.

use claviger_core::command::{ListCallers, QueryUsage};
use claviger_core::fault::Fault;
use claviger_proto::keyvault::{caller_message, usage_row};
use claviger_proto::keyvault_v1 as kv;
use tonic::{Request, Response, Status};

use super::answer;
use crate::usecase::usage::Usage;

/// The service.
#[derive(Debug, Clone)]
pub struct UsageService {
    usage: Usage,
}

impl UsageService {
    /// Over the use-cases.
    #[must_use]
    pub fn new(usage: Usage) -> Self {
        Self { usage }
    }

    async fn query(&self, request: kv::QueryUsageRequest) -> Result<kv::QueryUsageResponse, Fault> {
        let query = QueryUsage::try_from(request)?;
        let (groups, next) = self.usage.query(&query).await?;
        let rows = groups.into_iter().map(|group| usage_row(&query.group_by, group)).collect();
        Ok(kv::QueryUsageResponse { rows, next_page_token: next.unwrap_or_default() })
    }

    async fn callers(&self, request: kv::ListCallersRequest) -> Result<kv::ListCallersResponse, Fault> {
        let (callers, next) = self.usage.callers(&ListCallers::try_from(request)?).await?;
        let callers = callers.into_iter().map(caller_message).collect();
        Ok(kv::ListCallersResponse { callers, next_page_token: next.unwrap_or_default() })
    }
}

#[tonic::async_trait]
impl kv::usage_server::Usage for UsageService {
    async fn query_usage(
        &self,
        request: Request<kv::QueryUsageRequest>,
    ) -> Result<Response<kv::QueryUsageResponse>, Status> {
        answer(self.query(request.into_inner()).await)
    }

    async fn list_callers(
        &self,
        request: Request<kv::ListCallersRequest>,
    ) -> Result<Response<kv::ListCallersResponse>, Status> {
        answer(self.callers(request.into_inner()).await)
    }
}
