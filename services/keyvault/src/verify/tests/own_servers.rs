//! Keys for servers of one's own: Azure resources, OpenAI-compatible servers, Ollama.

use claviger_core::fault::Fault;
use claviger_core::key::TestResult;
use claviger_core::reason::Reason;
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::usecase::destination;

/// Answers whatever is asked.
async fn answering(status: u16) -> MockServer {
    let server = MockServer::start().await;
    let body = json!({"error": {"message": "Access denied due to invalid subscription key or wrong API endpoint."}});
    Mock::given(any()).respond_with(ResponseTemplate::new(status).set_body_json(body)).mount(&server).await;
    server
}

/// The path asked for, and the credential that came along.
fn seen(request: &Request) -> (&str, Option<(&str, &str)>) {
    let credential = ["api-key", "authorization"]
        .into_iter()
        .find_map(|name| Some((name, request.headers.get(name)?.to_str().unwrap())));
    (request.url.path(), credential)
}

#[tokio::test]
async fn each_is_asked_at_its_own_address_in_its_own_way() {
    let secret = SecretString::from("S3CRET-S3CRET-S3CRET-S3CRET-S3CRET");
    let bearer = format!("Bearer {}", "S3CRET-S3CRET-S3CRET-S3CRET-S3CRET");
    for (id, secret, path, credential) in [
        ("azure", Some(&secret), "/own/openai/v1/models", Some(("api-key", "S3CRET-S3CRET-S3CRET-S3CRET-S3CRET"))),
        ("custom", Some(&secret), "/own/models", Some(("authorization", bearer.as_str()))),
        ("custom", None, "/own/models", None),
        ("ollama", Some(&secret), "/own/api/tags", Some(("authorization", bearer.as_str()))),
        ("ollama", None, "/own/api/tags", None),
    ] {
        let server = answering(200).await;
        let test = test_at(&verifier(""), id, &format!("{}/own", server.uri()), secret).await;
        assert_eq!(test.result, TestResult::Valid, "{id}");
        assert_eq!(test.detail.contains("may not look at keys"), id != "azure", "{id}: {}", test.detail);
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.iter().map(seen).collect::<Vec<_>>(), [(path, credential)], "{id}");
    }
}

#[tokio::test]
async fn each_says_no_in_its_own_way() {
    use TestResult::{Inconclusive, Invalid};
    let secret = SecretString::from("S3CRET");
    for (id, status, secret, result) in [
        ("azure", 401, Some(&secret), Invalid),
        ("azure", 404, Some(&secret), Inconclusive),
        ("custom", 401, Some(&secret), Invalid),
        ("custom", 401, None, Invalid),
        ("custom", 404, None, Inconclusive),
        ("ollama", 401, None, Invalid),
        ("ollama", 500, None, Inconclusive),
    ] {
        let server = answering(status).await;
        let test = test_at(&verifier(""), id, &server.uri(), secret).await;
        assert_eq!((test.result, test.http_status), (result, Some(status)), "{id} {status}");
    }
}

#[tokio::test]
async fn each_needs_an_address_of_its_own() {
    let verifier = verifier("");
    let check = |id: &str, url: Option<&'static str>| {
        let (id, verifier) = (id.to_owned(), verifier.clone());
        async move { destination::check(provider(&verifier, &id), url, None, verifier.egress()).await }
    };
    let reason = |fault: Fault| (fault.reason, fault.field);
    for id in ["azure", "custom", "ollama"] {
        let field = Some("provider_key.base_url");
        assert_eq!(check(id, None).await.map_err(reason), Err((Reason::InvalidField, field)), "{id}");
        let private = check(id, Some("https://10.0.0.1/v1")).await;
        assert_eq!(private.map_err(reason), Err((Reason::BaseUrlNotAllowed, field)), "{id}");
        let own = check(id, Some("http://127.0.0.1:8080/own/")).await.unwrap();
        assert_eq!(own.base_url.as_deref(), Some("http://127.0.0.1:8080/own"), "{id}");
    }
}
