//! Bytes of format 1, computed by another implementation from the format's description. They open for ever.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::resolution::ResolutionKey;

const WRAPPED: &str = "\
    010111726f6f742d376236386534396237363139a0a1a2a3a4a5a6a7a8a9aaabacadaeaf4f43044dcf07b48786878b1ce5057eb6f67fa8d9\
    0c796ad50ce48920f71c68fcc8c9cacbcccdcecfd0d1d2d38e12ba8e7f8eff7b398a5365b640f37ace5f0d80b9f76070580c60c256595354\
    7fa241522c443f96aa9376c7aa92174d";
const RECORD: &str = "\
    010100000005a0a1a2a3a4a5a6a7a8a9aaabacadaeafd0b2c724595527dcb52c4bc33381026dc844f34c509e12c08484c0f3eafb9df8c8c9\
    cacbcccdcecfd0d1d2d3c15f4b4225b3cbbb0bfb36635fbd46b0ab830b96776fff76482af1524d5c";
const SERVICE: &str = "\
    010111726f6f742d376236386534396237363139a0a1a2a3a4a5a6a7a8a9aaabacadaeafc8d7b2d45aa80445465d2b662e054869116d66d6\
    a71c7fe2e7ad2ec0e2137ff3c8c9cacbcccdcecfd0d1d2d322b1e61e4465424ad791b4f4c7681e5f6b5168e17c79da792c7f198fa1b8740c\
    f436505f830408ba4668e5334bb603ec";

#[test]
fn a_stored_record_opens_from_the_root_down() {
    let keyring = keyring(ROOT);
    let wrapped = hex::decode(WRAPPED).unwrap();
    let record = hex::decode(RECORD).unwrap();

    let root = keyring.get(wrapping_root_id(&wrapped).unwrap()).unwrap();
    let key = WorkspaceKey::unwrap(root, "acme", 5, &wrapped).unwrap();
    let version = workspace_key_version(&record).unwrap();
    assert_eq!(version, 5);
    assert_eq!(key.open(version, &context(), &record).unwrap().as_slice(), b"sk-test-secret");
}

#[test]
fn a_service_key_computes_what_it_always_did() {
    let keyring = keyring(ROOT);
    let key = ServiceKey::unwrap(keyring.primary(), "fingerprint", &hex::decode(SERVICE).unwrap()).unwrap();
    let tag = key.mac("key", &[b"ab", b""]);
    assert_eq!(hex::encode(tag), "52819b48f6252e0683ab61352a1e18c7c75c96aa9b4a357f5428dc0caea47d80");
    assert!(key.verify("key", &[b"ab", b""], &tag));
    let resolution = ResolutionKey::of(&key).unwrap();
    assert_eq!(hex::encode(resolution.expose()), "8237db05423a255a999159feaa8c5d0c724cda390d4a7863b06027e220a69479");
}
