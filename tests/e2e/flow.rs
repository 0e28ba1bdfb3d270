//! The life of a key, from the paste to the revoke.

mod accounts;
mod life;
mod listing;
mod owners;
mod proxy;
mod resolve;
mod secrets;
mod verify;

use claviger_proto::keyvault_v1::{CreateProviderKeyRequest, ProviderKey, Secret, key_test, secret};
use claviger_tests::fleet::create_request;

/// A request to store a key with its own base URL.
fn with_base_url(parent: &str, provider: &str, secret: &str, base_url: &str) -> CreateProviderKeyRequest {
    let mut request = create_request(parent, provider, secret);
    edit(&mut request).base_url = base_url.to_owned();
    request
}

/// A request to store something that is no API key.
pub(crate) fn with_secret(parent: &str, provider: &str, kind: secret::Kind) -> CreateProviderKeyRequest {
    let mut request = create_request(parent, provider, "");
    request.secret = Some(Secret { kind: Some(kind) });
    request
}

/// The key of a request, to be changed.
pub(crate) fn edit(request: &mut CreateProviderKeyRequest) -> &mut ProviderKey {
    request.provider_key.as_mut().unwrap()
}

/// What the newest live test showed.
fn test_result(key: &ProviderKey) -> key_test::Result {
    key.last_test.as_ref().unwrap().result()
}

/// A service account's key file with the id of its private key, and the private key: none that Google would know, nor one
/// that signs as Google wants.
pub(crate) fn service_account(private_key_id: &str) -> (String, String) {
    let private_key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    (key_file(private_key_id, &private_key), private_key)
}

/// The same with a private key that signs.
pub(crate) fn signing_account(private_key_id: &str) -> (String, String) {
    const KEY: &str = include_str!("../../services/keyvault/src/verify/token/test_key.b64");
    let private_key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", KEY.trim());
    (key_file(private_key_id, &private_key), private_key)
}

fn key_file(private_key_id: &str, private_key: &str) -> String {
    let file = serde_json::json!({
        "type": "service_account",
        "project_id": "acme-ai",
        "private_key_id": private_key_id,
        "private_key": private_key,
        "client_email": "vault@acme-ai.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    file.to_string()
}
