//! Live tests and exchanges over real sockets.
#![expect(clippy::unwrap_used, reason = "tests")]

mod exchange;
mod own_servers;
mod proxy;

use std::sync::Arc;

use claviger_core::catalog::{AuthType, Catalog, EgressAllow, Provider};
use claviger_core::key::KeyTest;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Client, Egress, Outbound, Subject, Verifier};

/// The body of a PEM file: a private key that was made for these tests and opens nothing.
const RSA_KEY: &str = include_str!("token/test_key.b64");

/// Tests go out directly, and may go to this machine.
pub(super) fn verifier(catalog_over: &str) -> Verifier {
    verifier_by(catalog_over, "127.0.0.1", &Outbound::default())
}

fn verifier_by(catalog_over: &str, allow: &str, outbound: &Outbound) -> Verifier {
    let _already = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let catalog = Catalog::builtin().unwrap().with_overrides(catalog_over).unwrap();
    let egress = Egress::new(EgressAllow::parse(allow).unwrap());
    Verifier::new(Arc::new(catalog), Client::new(egress, outbound).unwrap())
}

/// Sends exchanges elsewhere than to Google.
pub(super) fn exchange_at(server: &str) -> String {
    format!("[[provider]]\nid = 'vertex'\ntest = {{ url = '{server}/token' }}\n")
}

pub(super) fn account() -> SecretString {
    account_with(&json!({})).into()
}

/// A service account's key file with other fields.
fn account_with(fields: &Value) -> String {
    let mut file = json!({
        "type": "service_account",
        "project_id": "acme-1",
        "private_key_id": "0123456789abcdef",
        "private_key": format!("-----BEGIN PRIVATE KEY-----\n{RSA_KEY}-----END PRIVATE KEY-----\n"),
        "client_email": "bot@acme-1.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    for (name, value) in fields.as_object().unwrap() {
        file[name] = value.clone();
    }
    file.to_string()
}

fn provider<'a>(verifier: &'a Verifier, id: &str) -> &'a Provider {
    verifier.catalog.provider(id).unwrap()
}

async fn test_account(verifier: &Verifier, account: &SecretString) -> KeyTest {
    let subject = Subject {
        provider: provider(verifier, "vertex"),
        auth_type: AuthType::ServiceAccountJson,
        secret: Some(account),
        base_url: None,
        location: None,
    };
    verifier.test(&subject).await.unwrap()
}

/// Tests a key that has a base URL of its own, and a secret or none.
async fn test_at(verifier: &Verifier, id: &str, base_url: &str, secret: Option<&SecretString>) -> KeyTest {
    let auth_type = if secret.is_some() { AuthType::ApiKey } else { AuthType::None };
    let provider = provider(verifier, id);
    let subject = Subject { provider, auth_type, secret, base_url: Some(base_url), location: None };
    verifier.test(&subject).await.unwrap()
}
