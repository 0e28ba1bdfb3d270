//! `claviger.keyvault.v1.Catalog`.

use std::sync::Arc;

use claviger_core::catalog::{Catalog, Category};
use claviger_core::fault::Fault;
use claviger_core::reason::Reason;
use claviger_proto::keyvault::{category_message, provider_message};
use claviger_proto::keyvault_v1 as kv;
use tonic::{Request, Response, Status};

use super::answer;

/// The service.
#[derive(Debug, Clone)]
pub struct CatalogService {
    catalog: Arc<Catalog>,
}

impl CatalogService {
    /// Over a catalog.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog }
    }

    fn categories(&self) -> Vec<kv::Category> {
        let count = |category| self.catalog.providers().iter().filter(|p| p.categories.contains(&category)).count();
        Category::ALL.into_iter().map(|category| category_message(category, count(category))).collect()
    }

    fn providers(&self, category: &str) -> Result<Vec<kv::Provider>, Fault> {
        let wanted = match category {
            "" => None,
            name => Some(
                Category::parse(name)
                    .ok_or_else(|| Fault::field("category", "must be one of llm, image, video, audio, research"))?,
            ),
        };
        let matching = self.catalog.providers().iter().filter(|p| wanted.is_none_or(|c| p.categories.contains(&c)));
        Ok(matching.map(provider_message).collect())
    }

    fn provider(&self, name: &str) -> Result<kv::Provider, Fault> {
        let id = name
            .strip_prefix("providers/")
            .ok_or_else(|| Fault::field("name", "must be a resource name of the form providers/{provider}"))?;
        let missing = || {
            Fault::new(Reason::ProviderNotFound, "the catalog has no such provider; ListProviders lists those it has")
                .resource("claviger.dev/Provider", "")
        };
        self.catalog.provider(id).map(provider_message).ok_or_else(missing)
    }
}

#[tonic::async_trait]
impl kv::catalog_server::Catalog for CatalogService {
    async fn list_categories(
        &self,
        _: Request<kv::ListCategoriesRequest>,
    ) -> Result<Response<kv::ListCategoriesResponse>, Status> {
        Ok(Response::new(kv::ListCategoriesResponse { categories: self.categories() }))
    }

    async fn list_providers(
        &self,
        request: Request<kv::ListProvidersRequest>,
    ) -> Result<Response<kv::ListProvidersResponse>, Status> {
        let providers = self.providers(&request.into_inner().category);
        answer(providers.map(|providers| kv::ListProvidersResponse { providers }))
    }

    async fn get_provider(&self, request: Request<kv::GetProviderRequest>) -> Result<Response<kv::Provider>, Status> {
        answer(self.provider(&request.into_inner().name))
    }
}
