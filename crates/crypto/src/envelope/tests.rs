//! The envelope's promises: what was sealed opens where it belongs, and nowhere else.

#![expect(clippy::expect_used, reason = "tests")]

mod golden;
mod records;
mod service_keys;
mod wrapped_keys;

use super::*;
use crate::Keyring;

/// The base64 of the bytes 0 to 31.
const ROOT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Another root key's.
const OTHER_ROOT: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

fn context() -> RecordContext<'static> {
    RecordContext {
        tenant: "acme",
        owner: "user-7",
        key_id: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        version: 3,
        provider: "openai",
        auth_type: "api_key",
        base_url: Some("https://llm.acme.example/v1"),
        location: None,
    }
}

fn keyring(secret: &str) -> Keyring {
    Keyring::from_base64(secret).expect("32 bytes")
}
