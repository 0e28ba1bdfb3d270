//! The key file, format 1. Described for operators in `docs/keyring.md`.
//!
//! Read by hand from the TOML tree: the derived readers' messages quote the line at fault, which may be a secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::decode_secret;
use super::error::{KeyProblem, KeyringError};
use super::root_key::{KeyState, RootKey};

const FIELDS: [&str; 5] = ["id", "state", "create_time", "secret", "check"];

const HEADER: &str = "\
# Claviger master keyring. Whoever holds this file and the database can read every stored key:
# keep it out of backups of the database, readable by the keyvault service alone.
# Without it nothing that was stored can ever be opened again: keep a copy in a safe place.
# Exactly one key is primary. Delete a decrypt-only key when nothing is wrapped with it any more.
format = 1
";

/// More than one table can take: an id of 63 characters, a time of 40, and what is fixed.
pub(super) const TABLE_LEN: usize = 320;

/// Reads each key by itself; what holds between keys, the keyring checks.
pub(super) fn parse(text: &str) -> Result<Vec<RootKey>, KeyringError> {
    let mut document = DeTable::parse(text).map_err(|error| syntax(text, &error))?.into_inner();
    match document.remove("format").map(|value| value.into_inner()) {
        Some(DeValue::Integer(number)) if number.as_str() == "1" && number.radix() == 10 => {}
        _ => return Err(KeyringError::Format),
    }
    let Some(DeValue::Array(tables)) = document.remove("key").map(|value| value.into_inner()) else {
        return Err(KeyringError::NoKeys);
    };
    if !document.is_empty() {
        return Err(KeyringError::UnknownSetting);
    }
    let tables = tables.into_iter().map(|value| value.into_inner());
    tables.zip(1..).map(|(table, position)| parse_table(table, position)).collect()
}

/// Writes into one allocation, so that none is left behind with secrets in it.
pub(super) fn write<'a>(keys: impl Iterator<Item = &'a RootKey> + Clone) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(HEADER.len() + keys.clone().count() * TABLE_LEN));
    text.push_str(HEADER);
    for key in keys {
        text.push_str("\n[[key]]\n");
        line(&mut text, "id", key.id());
        line(&mut text, "state", key.state().as_str());
        line(&mut text, "create_time", key.create_time());
        text.push_str("secret = \"");
        STANDARD.encode_string(key.expose(), &mut text);
        text.push_str("\"\n");
        line(&mut text, "check", &hex::encode(key.check_value()));
    }
    text
}

/// No value needs escaping: ids are slugs, times have no quotes, the rest is hexadecimal or one of three words.
fn line(text: &mut String, name: &str, value: &str) {
    for part in [name, " = \"", value, "\"\n"] {
        text.push_str(part);
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> KeyringError {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
    KeyringError::Syntax { line }
}

fn parse_table(value: DeValue<'_>, position: usize) -> Result<RootKey, KeyringError> {
    let DeValue::Table(mut table) = value else {
        return Err(KeyringError::NoKeys);
    };
    let secret = string(&mut table, "secret");
    let id = string(&mut table, "id").filter(|id| is_slug(id)).ok_or(KeyringError::Id { position })?;
    parse_key(&id, secret, table).map_err(|problem| problem.of(&id))
}

fn parse_key(id: &str, secret: Option<Zeroizing<String>>, mut table: DeTable<'_>) -> Result<RootKey, KeyProblem> {
    if table.keys().any(|name| !FIELDS.contains(&name.get_ref().as_ref())) {
        return Err(KeyProblem::UnknownField);
    }
    let state = string(&mut table, "state").ok_or(KeyProblem::Field("state"))?;
    let create_time = string(&mut table, "create_time").ok_or(KeyProblem::Field("create_time"))?;
    let check = string(&mut table, "check").ok_or(KeyProblem::Field("check"))?;
    let secret = decode_secret(&secret.ok_or(KeyProblem::Field("secret"))?)?;

    let state = KeyState::parse(&state).ok_or(KeyProblem::State)?;
    let key = RootKey::from_parts(id, state, &create_time, secret)?;
    let mut expected = [0; 16];
    hex::decode_to_slice(check.as_str(), &mut expected).map_err(|_| KeyProblem::CheckEncoding)?;
    if !bool::from(key.check_value().ct_eq(&expected)) {
        return Err(KeyProblem::CheckMismatch);
    }
    Ok(key)
}

/// Takes a string out of the table. Any may be the secret, put into the wrong place by mistake: each is wiped.
fn string(table: &mut DeTable<'_>, name: &str) -> Option<Zeroizing<String>> {
    match table.remove(name)?.into_inner() {
        DeValue::String(text) => Some(Zeroizing::new(text.into_owned())),
        _ => None,
    }
}

/// `[a-z0-9][a-z0-9-]{0,62}`. A secret in hexadecimal or base64 is no slug: it has 64 characters, or `=` at its end.
fn is_slug(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&text.len()) && text.bytes().all(|byte| letter(byte) || byte == b'-') && !text.starts_with('-')
}
