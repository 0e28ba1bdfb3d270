//! What goes over the wire, and where to.

use super::super::provider::Method;
use super::*;

fn headers(id: &str, secret: Option<&str>) -> Vec<(String, String)> {
    let headers = catalog().provider(id).unwrap().credential_headers(secret);
    headers.into_iter().map(|h| (h.name.clone(), h.expose_value().to_owned())).collect()
}

#[test]
fn each_provider_has_its_own_form() {
    for (id, name, value) in [
        ("anthropic", "x-api-key", "K"),
        ("google", "x-goog-api-key", "K"),
        ("azure", "api-key", "K"),
        ("fal", "Authorization", "Key K"),
        ("fal-video", "Authorization", "Key K"),
        ("pika", "Authorization", "DevKey K"),
        ("deepgram", "Authorization", "Token K"),
        ("elevenlabs", "xi-api-key", "K"),
        ("serper", "X-API-KEY", "K"),
        ("brave", "X-Subscription-Token", "K"),
        ("exa", "x-api-key", "K"),
        ("vertex", "Authorization", "Bearer K"),
        ("openai", "Authorization", "Bearer K"),
        ("dalle", "Authorization", "Bearer K"),
        ("ollama", "Authorization", "Bearer K"),
        ("bedrock", "Authorization", "Bearer K"),
    ] {
        assert_eq!(headers(id, Some("K"))[0], (name.to_owned(), value.to_owned()), "{id}");
    }
    assert_eq!(headers("anthropic", Some("K"))[1], ("anthropic-version".to_owned(), "2023-06-01".to_owned()));
}

#[test]
fn every_secret_is_sent_exactly_once() {
    for provider in catalog().providers() {
        let with = provider.credential_headers(Some("S3CRET"));
        assert_eq!(with.iter().filter(|h| h.expose_value().contains("S3CRET")).count(), 1, "{}", provider.id);
        assert!(!format!("{with:?}").contains("S3CRET"), "{}", provider.id);
        let without = provider.credential_headers(None);
        assert_eq!(without.len(), with.len() - 1, "{}", provider.id);
        assert!(without.iter().all(|h| !h.expose_value().contains('{')), "{}", provider.id);
    }
    assert!(headers("ollama", None).is_empty() && headers("custom", None).is_empty());
}

#[test]
fn a_secret_is_not_a_template() {
    assert_eq!(headers("openai", Some("{secret}{access_token}"))[0].1, "Bearer {secret}{access_token}");
}

#[test]
fn base_urls_are_told_by_key_and_location() {
    let catalog = catalog();
    let url = |id: &str, own, location| catalog.provider(id).unwrap().effective_base_url(own, location);
    for (id, own, location, expected) in [
        ("anthropic", None, None, Some("https://api.anthropic.com")),
        ("anthropic", Some("https://proxy.example/"), None, Some("https://proxy.example")),
        ("groq", Some("https://proxy.example"), None, None),
        ("dalle", Some("https://proxy.example"), None, None),
        ("azure", None, None, None),
        ("azure", Some("https://acme.openai.azure.com"), None, Some("https://acme.openai.azure.com")),
        ("ollama", None, None, None),
        ("pika", None, None, None),
        ("vertex", None, None, Some("https://aiplatform.googleapis.com")),
        ("vertex", None, Some("global"), Some("https://aiplatform.googleapis.com")),
        ("vertex", None, Some("eu"), Some("https://aiplatform.eu.rep.googleapis.com")),
        ("vertex", None, Some("us"), Some("https://aiplatform.us.rep.googleapis.com")),
        ("vertex", None, Some("europe-west4"), Some("https://europe-west4-aiplatform.googleapis.com")),
        ("vertex", None, Some("evil.example/"), None),
        ("vertex", None, Some(""), None),
        ("vertex", None, Some("US"), None),
        ("bedrock", None, None, None),
        ("bedrock", None, Some("us-east-1"), Some("https://bedrock-runtime.us-east-1.amazonaws.com")),
        ("bedrock", None, Some("x.evil.example#"), None),
        ("openai", None, Some("us-east-1"), None),
    ] {
        assert_eq!(url(id, own, location).as_deref(), expected, "{id} {own:?} {location:?}");
    }
    let long = "a".repeat(41);
    assert_eq!(url("bedrock", None, Some(&long)), None);
}

#[test]
fn tests_go_where_the_key_goes() {
    let catalog = catalog();
    let own = "https://proxy.example/base";
    for provider in catalog.providers().iter().filter(|p| matches!(p.test, LiveTest::Http(_))) {
        let request = provider.test_request(Some(own), None);
        assert_eq!(request.is_some(), provider.base_url.allowed, "{}", provider.id);
        assert!(request.is_none_or(|r| r.url.starts_with("https://proxy.example/base/")), "{}", provider.id);
    }
    for (id, own, location, url) in [
        ("anthropic", None, None, "https://api.anthropic.com/v1/models?limit=1"),
        ("anthropic", Some("https://proxy.example/"), None, "https://proxy.example/v1/models?limit=1"),
        ("openai", None, None, "https://api.openai.com/v1/models"),
        ("azure", Some("https://acme.openai.azure.com"), None, "https://acme.openai.azure.com/openai/v1/models"),
        ("ollama", Some("http://localhost:11434"), None, "http://localhost:11434/api/tags"),
        ("fal", None, None, "https://api.fal.ai/v1/models/pricing?endpoint_id=fal-ai/flux/dev"),
        ("bedrock", None, Some("us-east-1"), "https://bedrock.us-east-1.amazonaws.com/foundation-models"),
        ("brave", None, None, "https://api.search.brave.com/res/v1/web/search?q=test&count=1"),
    ] {
        assert_eq!(catalog.provider(id).unwrap().test_request(own, location).unwrap().url, url, "{id}");
    }
    assert_eq!(catalog.provider("cohere").unwrap().test_request(None, None).unwrap().method, Method::Post);
    for id in ["luma", "pika", "cartesia", "vertex", "azure", "bedrock"] {
        assert!(catalog.provider(id).unwrap().test_request(None, None).is_none(), "{id}");
    }
}

#[test]
fn a_base_url_of_its_own_needs_the_providers_leave() {
    let catalog = catalog();
    let check = |id: &str, own| catalog.provider(id).unwrap().check_base_url(own, false);
    assert_eq!(check("openai", Some("https://Proxy.example/")), Ok(Some("https://proxy.example".to_owned())));
    assert_eq!(check("openai", None), Ok(None));
    assert_eq!(check("openai", Some("http://proxy.example")), Err(BaseUrlError::Scheme));
    assert_eq!(check("groq", Some("https://proxy.example")), Err(BaseUrlError::NotTaken));
    assert_eq!(check("azure", None), Err(BaseUrlError::Required));
    let allowed: Vec<_> = catalog.providers().iter().filter(|p| p.base_url.allowed).map(|p| p.id.as_str()).collect();
    assert_eq!(allowed, ["anthropic", "openai", "azure", "custom", "ollama", "luma", "pika", "elevenlabs"]);
}

#[test]
fn built_in_providers_are_reached_by_https_alone() {
    let catalog = Catalog::builtin().unwrap();
    for provider in catalog.providers().iter().filter(|p| !p.base_url.required) {
        let urls = provider.base_url.default.iter().chain(provider.base_url.by_location.values());
        for url in urls {
            assert!(url.starts_with("https://"), "{}: {url}", provider.id);
        }
        if let Some(request) = provider.test_request(None, Some("us-east-1")).or(provider.test_request(None, None)) {
            assert!(request.url.starts_with("https://"), "{}: {}", provider.id, request.url);
        }
    }
}
