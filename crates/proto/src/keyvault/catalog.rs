//! The catalog's messages.

use claviger_core::catalog::{AuthType, Category, LiveTest, Provider};

use crate::convert;
use crate::keyvault_v1 as kv;

/// A category as callers see it.
#[must_use]
pub fn category_message(category: Category, providers: usize) -> kv::Category {
    let display_name = match category {
        Category::Llm => "Language models",
        Category::Image => "Images",
        Category::Video => "Video",
        Category::Audio => "Speech and sound",
        Category::Research => "Search and research",
    };
    kv::Category {
        id: category.as_str().to_owned(),
        display_name: display_name.to_owned(),
        provider_count: i32::try_from(providers).unwrap_or(i32::MAX),
    }
}

/// A provider as callers see it.
#[must_use]
pub fn provider_message(provider: &Provider) -> kv::Provider {
    let default_models = provider.default_models.iter();
    kv::Provider {
        name: format!("providers/{}", provider.id),
        id: provider.id.to_string(),
        display_name: provider.name.clone(),
        aliases: provider.aliases.clone(),
        categories: provider.categories.iter().map(|category| category.as_str().to_owned()).collect(),
        auth_types: provider.auth_types.iter().map(|kind| convert::auth_type(*kind).into()).collect(),
        oauth_available: false,
        key_prefixes: provider.key.prefixes.clone(),
        dashboard_url: provider.dashboard_url.clone().unwrap_or_default(),
        default_base_url: provider.base_url.default.clone().unwrap_or_default(),
        base_url_required: provider.base_url.required,
        base_url_allowed: provider.base_url.allowed,
        location_required: provider.location.as_ref().is_some_and(|rule| rule.required && rule.default.is_none()),
        credentials_json_required: provider.auth_types == [AuthType::ServiceAccountJson],
        has_test_endpoint: matches!(provider.test, LiveTest::Http(_)),
        default_models: default_models
            .map(|(category, model)| kv::DefaultModel { category: category.as_str().to_owned(), model: model.clone() })
            .collect(),
        model_prefixes: provider.model_prefixes.clone(),
    }
}
