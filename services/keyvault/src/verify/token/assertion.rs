//! What a service account signs to show that it is itself: a JWT (RFC 7523).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use claviger_core::catalog::ServiceAccount;
use claviger_core::catalog::service_account::GOOGLE_TOKEN_URI;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// The one scope that Vertex AI's calls for generating accept: it has none of its own, and what the account may do
/// beyond is the business of its IAM roles.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// An assertion's life in seconds: the longest that Google accepts, and that of the token.
const LIFE: i64 = 3600;
/// How far in seconds a clock of ours may be ahead.
const SKEW: i64 = 10;

/// The account's private key is no RSA key of 2048 to 4096 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its private key is no RSA key of 2048 to 4096 bits")]
pub(super) struct Unusable;

/// Signs an assertion that is good for an hour (RS256). It is for Google alone, whatever the account's file says.
pub(super) fn sign(account: &ServiceAccount, now: OffsetDateTime) -> Result<Zeroizing<String>, Unusable> {
    let key = private_key(account.expose_private_key()).ok_or(Unusable)?;
    let issued = now.unix_timestamp() - SKEW;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": account.private_key_id});
    let claims = json!({
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": GOOGLE_TOKEN_URI,
        "iat": issued,
        "exp": issued + LIFE,
    });
    let signed = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).map_err(|_| Unusable)?;
    Ok(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// From PEM whose form the catalog has checked: what is between its dashes.
fn private_key(pem: &str) -> Option<RsaKeyPair> {
    let body = pem.split("-----").nth(2)?;
    let base64: Zeroizing<Vec<u8>> = Zeroizing::new(body.bytes().filter(|b| !b.is_ascii_whitespace()).collect());
    let der = Zeroizing::new(STANDARD.decode(&*base64).ok()?);
    RsaKeyPair::from_pkcs8(&der).ok()
}
