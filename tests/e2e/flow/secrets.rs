//! Where a secret goes: to its provider in the documented header, to the caller in the same one, and nowhere else.

use claviger_proto::keyvault_v1::key_test::Result as Tested;
use claviger_proto::keyvault_v1::{AuthType, ProviderKey, secret};
use claviger_proto::routing_v1::Resolution;
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::provider::requests_with;
use claviger_tests::{Fleet, key, key_for, reason};
use tonic_types::StatusExt;

use super::{test_result, with_base_url, with_secret};

#[tokio::test(flavor = "multi_thread")]
async fn each_provider_gets_the_key_in_its_own_header_and_path() {
    let fleet = Fleet::start().await.unwrap();
    for (provider, prefix, path, header, form) in [
        ("anthropic", "sk-ant-api03-", "/anthropic/v1/models?limit=1", "x-api-key", ""),
        ("openai", "sk-proj-", "/openai/models", "authorization", "Bearer "),
        ("google", "AIza", "/google/models?pageSize=1", "x-goog-api-key", ""),
        ("elevenlabs", "", "/elevenlabs/user", "xi-api-key", ""),
        ("mistral", "", "/mistral/models", "authorization", "Bearer "),
    ] {
        let secret = key_for(prefix, "good");
        fleet.create("workspaces/acme", provider, &secret).await.unwrap();

        let requests = requests_with(&fleet.provider, &secret).await;
        let [request] = requests.as_slice() else { panic!("{provider}: {requests:?}") };
        let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{}{query}", request.url.path());
        assert_eq!((request.method.as_str(), target.as_str()), ("GET", path));
        let carriers: Vec<_> =
            request.headers.iter().filter(|(_, value)| value.to_str().unwrap().contains(&secret)).collect();
        let [(name, value)] = carriers.as_slice() else { panic!("{provider}: {carriers:?}") };
        assert_eq!((name.as_str(), value.to_str().unwrap()), (header, format!("{form}{secret}").as_str()));
        assert!(request.body.is_empty());

        let mut ask = resolve_request("workspaces/acme");
        ask.provider = provider.into();
        let handed_out = headers(&fleet.resolve(ask).await.unwrap());
        assert!(
            handed_out.iter().any(|(n, v)| n.eq_ignore_ascii_case(header) && *v == format!("{form}{secret}")),
            "{provider}: {handed_out:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_s_version_travels_with_its_key() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    fleet.create("workspaces/acme", "anthropic", &secret).await.unwrap();
    let tested = requests_with(&fleet.provider, &secret).await;
    assert_eq!(tested[0].headers["anthropic-version"], "2023-06-01");
    let mut ask = resolve_request("workspaces/acme");
    ask.provider = "anthropic".into();
    let resolution = fleet.resolve(ask).await.unwrap();
    let version = ("anthropic-version".to_owned(), "2023-06-01".to_owned());
    assert_eq!(headers(&resolution), [("x-api-key".to_owned(), secret.clone()), version]);
    assert_eq!(resolution.credential.unwrap().secret, secret);
    assert_eq!(resolution.base_url, format!("{}/anthropic", fleet.provider.uri()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_its_own_base_url_is_tested_and_used_there() {
    let fleet = Fleet::start().await.unwrap();
    let server = fleet.provider.uri();
    for (provider, path, header) in
        [("azure", "/own/openai/v1/models", "api-key"), ("custom", "/own/models", "authorization")]
    {
        let missing = fleet.create("workspaces/acme", provider, &key_for("", "good")).await.unwrap_err();
        assert_eq!(reason(&missing), "INVALID_FIELD");
        let violations = missing.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "provider_key.base_url");

        let secret = key_for("", "good");
        let given = format!("{server}/own/");
        let stored = fleet.store(with_base_url("workspaces/acme", provider, &secret, &given)).await.unwrap();
        assert_eq!((test_result(&stored), stored.base_url), (Tested::Valid, format!("{server}/own")));
        let requests = requests_with(&fleet.provider, &secret).await;
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].url.path(), path);
        assert!(requests[0].headers.contains_key(header));

        let mut ask = resolve_request("workspaces/acme");
        ask.key_slug = stored.key_slug;
        assert_eq!(fleet.resolve(ask).await.unwrap().base_url, format!("{server}/own"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_one_s_own_needs_a_url_alone() {
    let fleet = Fleet::start().await.unwrap();
    let mut request = with_secret("workspaces/acme", "ollama", secret::Kind::UrlOnly(true));
    super::edit(&mut request).base_url = format!("{}/ollama", fleet.provider.uri());
    let stored = fleet.store(request.clone()).await.unwrap();
    assert_eq!((stored.auth_type(), test_result(&stored)), (AuthType::None, Tested::Valid));
    let second = fleet.store(request).await.unwrap();
    assert_eq!(second.warnings, [""; 0], "no secret is nobody's duplicate");
    assert_eq!((stored.masked_secret.as_str(), stored.last_four.as_str()), ("", ""));

    let mut ask = resolve_request("workspaces/acme");
    ask.provider = "ollama".into();
    let resolution = fleet.resolve(ask).await.unwrap();
    assert_eq!(resolution.base_url, format!("{}/ollama", fleet.provider.uri()));
    assert_eq!(headers(&resolution), []);
    assert_eq!(resolution.credential.unwrap().secret, "");
}

type Misplace = fn(&mut ProviderKey, &str);

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_another_field_is_refused_and_not_stored() {
    let fleet = Fleet::start().await.unwrap();
    let secret = key("good");
    let places: [(&str, Misplace); 3] = [
        ("label", |key, secret| key.label = format!("my key {secret}")),
        ("base_url", |key, secret| key.base_url = format!("https://gateway.example/{secret}/v1")),
        ("allowed_models", |key, secret| key.allowed_models = vec!["claude-sonnet-5".into(), secret.into()]),
    ];
    for (field, misplace) in places {
        let mut request = create_request("workspaces/acme", "anthropic", &secret);
        misplace(request.provider_key.as_mut().unwrap(), &secret);
        let refused = fleet.store(request).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD", "{field}");
        assert!(refused.message().contains(field) && !format!("{refused:?}").contains(&secret), "{refused:?}");
    }
    assert!(fleet.keys("workspaces/acme", true).await.unwrap().is_empty());
}

fn headers(resolution: &Resolution) -> Vec<(String, String)> {
    let credential = resolution.credential.as_ref().unwrap();
    credential.headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect()
}
