//! A service account is tested by asking for a token.

use claviger_core::key::TestResult;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::verify::Answer;

async fn answering(status: u16, body: &Value) -> MockServer {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status).insert_header("location", "/elsewhere").set_body_json(body);
    Mock::given(method("POST")).and(path("/token")).respond_with(answer).mount(&server).await;
    server
}

async fn requests(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

#[tokio::test]
async fn what_the_exchange_says_is_what_the_test_says() {
    use TestResult::{Inconclusive, Invalid, Restricted, Valid};
    let good = json!({"access_token": "ya29.x", "token_type": "Bearer", "expires_in": 3599});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let skewed = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.";
    for (status, body, result, detail) in [
        (200, good.clone(), Valid, "accepts"),
        (200, with("token_type", json!("mac")), Inconclusive, "no access token"),
        (200, with("access_token", json!("a\nb")), Inconclusive, "no access token"),
        (200, with("access_token", json!("")), Inconclusive, "no access token"),
        (200, with("expires_in", json!(0)), Inconclusive, "no access token"),
        (200, json!({"id_token": "x"}), Inconclusive, "no access token"),
        (200, json!([]), Inconclusive, "no access token"),
        (400, json!({"error": "invalid_grant"}), Invalid, "deleted, rotated or wrong"),
        (400, json!({"error": "invalid_grant", "error_description": skewed}), Inconclusive, "clock"),
        (401, json!({"error": "invalid_client"}), Invalid, "does not know"),
        (403, json!({"error": "access_denied"}), Restricted, ""),
        (302, good.clone(), Inconclusive, "redirect"),
        (429, json!({}), Inconclusive, "limits"),
        (503, json!({}), Inconclusive, "failed"),
    ] {
        let server = answering(status, &body).await;
        let test = test_account(&verifier(&exchange_at(&server.uri())), &account()).await;
        assert_eq!((test.result, test.http_status), (result, Some(status)), "{status} {body}");
        assert!(test.detail.contains(detail), "{status} {body}: {}", test.detail);
        assert_eq!(requests(&server).await, 1, "{status} {body}");
    }
}

#[tokio::test]
async fn a_key_file_that_cannot_sign_is_sent_nowhere() {
    let server = answering(200, &json!({})).await;
    let verifier = verifier(&exchange_at(&server.uri()));
    let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let file = account_with(&json!({"private_key": elliptic})).into();
    let test = test_account(&verifier, &file).await;
    assert_eq!((test.result, test.http_status), (TestResult::Invalid, None));
    assert!(test.detail.contains("RSA"), "{}", test.detail);
    let elsewhere = account_with(&json!({"token_uri": format!("{}/token", server.uri())})).into();
    assert_eq!(test_account(&verifier, &elsewhere).await.result, TestResult::Invalid);
    assert_eq!(requests(&server).await, 0);
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_not_asked() {
    let server = answering(200, &json!({})).await;
    let verifier = verifier_by(&exchange_at(&server.uri()), "", &Outbound::default());
    let test = test_account(&verifier, &account()).await;
    assert_eq!(test.result, TestResult::Inconclusive);
    assert!(test.detail.contains("CLAVIGER_EGRESS_ALLOW"), "{}", test.detail);
    assert_eq!(requests(&server).await, 0);
}

/// A catalog that has another test for service accounts would put the file into a header.
#[tokio::test]
async fn a_key_file_is_never_a_header() {
    let server = answering(200, &json!({})).await;
    let over = format!("[[provider]]\nid = 'vertex'\ntest = {{ kind = 'http', url = '{}/token' }}\n", server.uri());
    let test = test_account(&verifier(&over), &account()).await;
    assert_eq!(test.result, TestResult::Skipped);
    assert_eq!(requests(&server).await, 0);
}

#[test]
fn an_answer_is_not_shown() {
    let answer = Answer { status: 200, body: Some(json!({"access_token": "ya29.x"})) };
    assert_eq!(format!("{answer:?}"), "Answer { status: 200, .. }");
}
