//! What stops the vault's start: one clear line, exit code 1, and a database as it was.

pub(crate) mod place;
mod rotation;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger_crypto::Keyring;
use claviger_tests::fleet::environment;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use place::{Place, Refusal, refuse, run};

/// A vault that was used, and is stopped.
async fn used() -> Place {
    let place = Place::new();
    place.use_and_stop().await;
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_is_refused_by_id_and_touches_nothing() {
    let place = Place::new();
    place.use_and_kill().await;
    let id = key_id(&place.key_file());
    fs::remove_file(place.key_file()).unwrap();
    run(&["keyring", "generate", "--out", &place.key_file().to_string_lossy()], &[]).assert_success();
    let before = place.bytes();
    assert!(before.contains_key("keyvault.db-wal"), "part of the database is in its log alone");
    let refusal = place.refused(&[]);
    refusal.assert_line(&format!("master key {id}"));
    refusal.assert_line("CLAVIGER_MASTER_KEY_FILE");
    assert_eq!(changed(&before, &place.bytes()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_under_the_same_id_is_refused_and_touches_nothing() {
    let place = used().await;
    let id = key_id(&place.key_file());
    let other = format!(
        "format = 1\n[[key]]\nid = \"{id}\"\nstate = \"primary\"\ncreate_time = \"2026-11-21T09:30:00Z\"\n\
         secret = \"{}\"\ncheck = \"{}\"\n",
        STANDARD.encode(OTHER_SECRET),
        check(&id)
    );
    assert_eq!(Keyring::parse(&other).unwrap().primary().id(), id, "the file itself is in order");
    fs::write(place.key_file(), other).unwrap();
    let before = place.bytes();
    place.refused(&[]).assert_line(&format!("master key {id} of the key file is not the one"));
    assert_eq!(changed(&before, &place.bytes()), Vec::<String>::new());
}

const OTHER_SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

fn check(id: &str) -> String {
    check_of(OTHER_SECRET, id)
}

/// The check value of a secret under an id, as docs/keyring.md says.
pub(crate) fn check_of(secret: &[u8; 32], id: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update("claviger/check/v1").chain_update(id);
    crate::database::hex(&mac.finalize().into_bytes()[..16])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_open_key_file_is_refused_and_never_replaced() {
    let place = used().await;
    let key = fs::read(place.key_file()).unwrap();
    fs::set_permissions(place.key_file(), fs::Permissions::from_mode(0o644)).unwrap();
    place.refused(&[]).assert_line("can be read by everyone");

    fs::remove_file(place.key_file()).unwrap();
    let before = place.bytes();
    place.refused(&[]).assert_line("the database exists, but its master key file");
    assert!(!place.key_file().exists(), "no other key was made");
    assert_eq!(changed(&before, &place.bytes()), Vec::<String>::new());

    fs::write(place.key_file(), key).unwrap();
    fs::set_permissions(place.key_file(), fs::Permissions::from_mode(0o600)).unwrap();
    place.use_and_stop().await;
}

#[test]
fn two_sources_of_the_master_key_are_refused() {
    let place = Place::new();
    let bare = STANDARD.encode(OTHER_SECRET);
    let file = place.key_file();
    let both = [("CLAVIGER_MASTER_KEY", &*bare), ("CLAVIGER_MASTER_KEY_FILE", &*file.to_string_lossy())];
    let refusal = place.refused(&both);
    refusal.assert_line("CLAVIGER_MASTER_KEY: must not be set together with CLAVIGER_MASTER_KEY_FILE");
    assert!(!refusal.log.contains(&bare));
    let short = place.refused(&[("CLAVIGER_MASTER_KEY", "c2hvcnQtc2VjcmV0")]);
    short.assert_line("master key");
    assert!(!short.log.contains("c2hvcnQtc2VjcmV0") && !short.log.contains("short-secret"), "{}", short.log);
}

#[test]
fn development_mode_listens_on_loopback_alone() {
    let place = Place::new();
    for setting in ["LISTEN", "HEALTH_LISTEN", "METRICS_LISTEN"].map(|name| format!("CLAVIGER_KEYVAULT_{name}")) {
        for address in ["0.0.0.0:0", "[::]:0"] {
            place.refused(&[(&setting, address)]).assert_line(&format!("{setting}: development mode"));
        }
    }
    assert!(!place.key_file().exists(), "nothing was made");
}

/// Each setting that has no default outside `--dev`, left out after all the others are given.
#[test]
fn outside_development_mode_nothing_is_left_to_chance() {
    let place = Place::new();
    let (data, file) = (place.data().to_string_lossy().into_owned(), "/nowhere/x.pem");
    let all = [
        ("CLAVIGER_KEYVAULT_LISTEN", "127.0.0.1:0"),
        ("CLAVIGER_KEYVAULT_HEALTH_LISTEN", "127.0.0.1:0"),
        ("CLAVIGER_KEYVAULT_METRICS_LISTEN", "127.0.0.1:0"),
        ("CLAVIGER_TRUST_DOMAIN", "example.org"),
        ("CLAVIGER_ROUTING_ID", "spiffe://example.org/routing"),
        ("CLAVIGER_TLS_CERT", file),
        ("CLAVIGER_TLS_KEY", file),
        ("CLAVIGER_TLS_CLIENT_CA", file),
        ("CLAVIGER_DATA_DIR", &data),
    ];
    for without in &all[3..] {
        let rest: Vec<_> = all.iter().filter(|setting| setting != &without).copied().collect();
        refuse(&environment(&rest)).assert_line(&format!("{}: must be set", without.0));
    }
    refuse(&environment(&all)).assert_line("CLAVIGER_MASTER_KEY_FILE: must be set");
    let plain: Vec<_> = all.iter().filter(|(name, _)| !name.contains("TLS")).copied().collect();
    let refusal = refuse(&environment(&plain));
    for setting in ["CLAVIGER_TLS_CERT", "CLAVIGER_TLS_KEY", "CLAVIGER_TLS_CLIENT_CA"] {
        refusal.assert_line(setting);
    }
    assert!(!place.key_file().exists() && !place.data().join("keyvault.db").exists(), "no key was made");
}

#[test]
fn settings_that_cannot_be_read_are_named() {
    let place = Place::new();
    let bad_catalog = place.folder().join("bad.toml");
    let bad_catalog_path = bad_catalog.to_string_lossy();
    for text in ["[[provider", "[[provider]]\nid = \"x\"\nsecret = 1\n", "no = 1", "\u{0}"] {
        fs::write(&bad_catalog, text).unwrap();
        place.refused(&[("CLAVIGER_CATALOG_FILE", &bad_catalog_path)]).assert_line("CLAVIGER_CATALOG_FILE: ");
    }
    place.refused(&[("CLAVIGER_CATALOG_FILE", "/nowhere/catalog.toml")]).assert_line("CLAVIGER_CATALOG_FILE: ");
    for list in ["10.0.0.0/99", "http://x", "a b", "*"] {
        place.refused(&[("CLAVIGER_EGRESS_ALLOW", list)]).assert_line("CLAVIGER_EGRESS_ALLOW: ");
    }
    place.refused(&[("CLAVIGER_LOG", "info,==")]).assert_line("CLAVIGER_LOG: ");
    assert!(!place.key_file().exists(), "nothing was made");
}

#[test]
fn the_keyring_command_keeps_its_secret_and_overwrites_nothing() {
    let place = Place::new();
    let file = place.folder().join("made.key");
    let path = file.to_string_lossy().into_owned();
    let generate = ["keyring", "generate", "--out", &*path];
    let made = run(&generate, &[]);
    made.assert_success();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    let listed = run(&["keyring", "list", "--file", &path], &[]);
    listed.assert_success();
    assert!(listed.log.contains(&key_id(&file)) && listed.log.contains("primary"), "{}", listed.log);
    let secret = text.lines().find_map(|line| line.strip_prefix("secret = ")).unwrap().trim_matches('"');
    for log in [&made.log, &listed.log] {
        assert!(secret.len() == 44 && !log.contains(&secret[..20]), "{log}");
    }
    run(&generate, &[]).assert_line("is not overwritten");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

fn key_id(file: &Path) -> String {
    Keyring::parse(&fs::read_to_string(file).unwrap()).unwrap().primary().id().to_owned()
}

/// The files that differ, came or went.
fn changed(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names = before.keys().chain(after.keys());
    let mut changed: Vec<_> = names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect();
    changed.dedup();
    changed
}

/// The refusals are all of one form.
impl Refusal {
    pub(crate) fn assert_line(&self, part: &str) {
        let lines: Vec<_> = self.log.lines().filter(|line| !line.starts_with('{')).collect();
        assert_eq!(lines.len(), 1, "one line says why:\n{}", self.log);
        assert!(lines[0].starts_with("claviger-keyvault: ") && lines[0].contains(part), "{part}:\n{}", self.log);
        assert_eq!(self.code, Some(1), "{}", self.log);
    }

    pub(crate) fn assert_success(&self) {
        assert_eq!(self.code, Some(0), "{}", self.log);
    }
}
