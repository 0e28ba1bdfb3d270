//! What the catalog tells, and what the operator's file makes of it.

use claviger_proto::keyvault_v1::{GetProviderRequest, ListCategoriesRequest, ListProvidersRequest, Provider};
use claviger_tests::fleet::{Options, environment, resolve_request};
use claviger_tests::{Fleet, key_for, reason};
use tonic::Status;

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_catalog_has_34_providers_in_5_categories() {
    let fleet = Fleet::start().await.unwrap();
    let answer = fleet.catalog().list_categories(ListCategoriesRequest {}).await.unwrap().into_inner();
    let ids: Vec<_> = answer.categories.iter().map(|category| category.id.as_str()).collect();
    assert_eq!(ids, ["llm", "image", "video", "audio", "research"]);

    let all = list(&fleet, "").await.unwrap();
    assert_eq!(all.len(), 34);
    for category in answer.categories {
        let members = list(&fleet, &category.id).await.unwrap();
        assert_eq!(members.len(), usize::try_from(category.provider_count).unwrap());
        assert!(members.iter().all(|provider| provider.categories.contains(&category.id)), "{}", category.id);
        let expected: Vec<_> =
            all.iter().filter(|provider| provider.categories.contains(&category.id)).cloned().collect();
        assert_eq!(members, expected);
    }
    assert_eq!(reason(&list(&fleet, "LLM").await.unwrap_err()), "INVALID_FIELD");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_found_by_id_and_by_alias() {
    let fleet = Fleet::start().await.unwrap();
    let by_id = get(&fleet, "providers/anthropic").await.unwrap();
    assert_eq!(get(&fleet, "providers/claude").await.unwrap(), by_id);
    assert_eq!((by_id.name.as_str(), by_id.display_name.as_str()), ("providers/anthropic", "Anthropic"));
    assert!(by_id.has_test_endpoint && by_id.key_prefixes == ["sk-ant-"]);
    let vertex = get(&fleet, "providers/vertex").await.unwrap();
    assert!(vertex.credentials_json_required && !vertex.base_url_allowed);
    let azure = get(&fleet, "providers/azure").await.unwrap();
    assert!(azure.base_url_required && azure.base_url_allowed);
    assert!(!get(&fleet, "providers/luma").await.unwrap().has_test_endpoint);

    for (name, refusal) in [
        ("providers/Claude", "PROVIDER_NOT_FOUND"),
        ("providers/nobody", "PROVIDER_NOT_FOUND"),
        ("claude", "INVALID_FIELD"),
    ] {
        assert_eq!(reason(&get(&fleet, name).await.unwrap_err()), refusal, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_s_file_adds_and_overrides() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("operator.toml");
    std::fs::write(&file, OPERATOR).unwrap();
    let setting = environment(&[("CLAVIGER_CATALOG_FILE", &file.to_string_lossy())]);
    let fleet =
        Fleet::start_with(Options { vault: setting.clone(), routing: setting, ..Default::default() }).await.unwrap();

    assert_eq!(list(&fleet, "").await.unwrap().len(), 35);
    let anthropic = get(&fleet, "providers/claude").await.unwrap();
    assert_eq!(
        (anthropic.display_name.as_str(), anthropic.key_prefixes.as_slice()),
        ("Claude", &["sk-ant-".to_owned()][..])
    );
    let house = get(&fleet, "providers/in-house").await.unwrap();
    assert_eq!((house.id.as_str(), house.categories.as_slice()), ("house", &["llm".to_owned()][..]));

    let secret = key_for("", "good");
    let stored = fleet.create("workspaces/acme", "in-house", &secret).await.unwrap();
    assert_eq!((stored.provider.as_str(), stored.key_slug.as_str()), ("house", "house"));
    let mut ask = resolve_request("workspaces/acme");
    ask.model = "house-large".into();
    let resolution = fleet.resolve(ask).await.unwrap();
    assert_eq!(
        (resolution.provider.as_str(), resolution.base_url.as_str()),
        ("house", "https://models.example.org/v1")
    );
    let headers = resolution.credential.unwrap().headers;
    assert_eq!((headers[0].name.as_str(), &headers[0].value), ("X-House-Key", &secret));
}

const OPERATOR: &str = r#"
[[provider]]
id = "anthropic"
name = "Claude"

[[provider]]
id = "house"
name = "House models"
aliases = ["in-house"]
categories = ["llm"]
auth_types = ["api_key"]
headers = [{ name = "X-House-Key", value = "{secret}" }]
base_url = { default = "https://models.example.org/v1" }
model_prefixes = ["house-"]

[provider.test]
kind = "none"
reason = "the house is not asked"
"#;

async fn list(fleet: &Fleet, category: &str) -> Result<Vec<Provider>, Status> {
    let request = ListProvidersRequest { category: category.to_owned() };
    Ok(fleet.catalog().list_providers(request).await?.into_inner().providers)
}

async fn get(fleet: &Fleet, name: &str) -> Result<Provider, Status> {
    Ok(fleet.catalog().get_provider(GetProviderRequest { name: name.to_owned() }).await?.into_inner())
}
