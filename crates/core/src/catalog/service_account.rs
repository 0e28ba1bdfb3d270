//! Google's service accounts: which parts of the JSON key file are taken, and which never are.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::key_format::KeyFormatError;
use super::kinds::AuthType;
use super::provider::Provider;

/// The longest key file, in bytes.
pub const MAX_SERVICE_ACCOUNT: usize = 64 * 1024;

/// Where access tokens come from. A key file that names another place is refused: its author would choose where a
/// signed assertion goes.
pub const GOOGLE_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// What is taken from a service account's key file. Every other field of it is ignored.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    /// The project, which is also part of Vertex addresses: letters, digits and `. : _ -`.
    pub project_id: String,
    /// Names the key within the account.
    pub private_key_id: String,
    /// The account.
    pub client_email: String,
    private_key: SecretString,
}

impl ServiceAccount {
    /// Reads a key file, whatever provider it is for: at most 64 KiB of JSON with `type`, `project_id`, `private_key_id`,
    /// `private_key` (PEM, PKCS#8) and `client_email`; `token_uri`, if there, must be Google's.
    ///
    /// # Errors
    /// Names the field that is missing or malformed, never its content.
    pub fn parse(json: &str) -> Result<Self, KeyFormatError> {
        match json.len() {
            0 => Err(KeyFormatError::Empty),
            len if len > MAX_SERVICE_ACCOUNT => Err(KeyFormatError::TooLong(MAX_SERVICE_ACCOUNT)),
            _ => read(json),
        }
    }

    /// Exposes the private key: PEM, PKCS#8.
    #[must_use]
    pub fn expose_private_key(&self) -> &str {
        self.private_key.expose_secret()
    }

    /// Exposes the private key in the one form that does not depend on how the file was written: its Base64 text without
    /// labels and line ends.
    #[must_use]
    pub fn expose_bare_private_key(&self) -> SecretString {
        let body = self.expose_private_key().trim().trim_start_matches(PEM_BEGIN).trim_end_matches(PEM_END);
        let mut bare = String::with_capacity(body.len()); // grown, it would leave copies behind
        bare.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
        bare.into()
    }
}

/// The file as it comes. A field given twice is an error of the parser.
#[derive(Deserialize)]
struct KeyFile {
    r#type: Option<String>,
    project_id: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
    client_email: Option<String>,
    token_uri: Option<String>,
}

impl Provider {
    /// Reads a service account's key file, as [`ServiceAccount::parse`] does.
    ///
    /// The form alone is checked: whether the key signs and the account exists is what a live test shows.
    ///
    /// # Errors
    /// Names the field that is missing or malformed, never its content.
    pub fn check_service_account(&self, json: &str) -> Result<ServiceAccount, KeyFormatError> {
        if !self.auth_types.contains(&AuthType::ServiceAccountJson) {
            return Err(KeyFormatError::WrongKind(AuthType::ServiceAccountJson));
        }
        ServiceAccount::parse(json)
    }
}

fn read(json: &str) -> Result<ServiceAccount, KeyFormatError> {
    let file: KeyFile = serde_json::from_str(json).map_err(|_| KeyFormatError::Json)?;
    let private_key = file.private_key.map(SecretString::from);
    if file.r#type.as_deref() != Some("service_account") {
        return Err(KeyFormatError::Field("type"));
    }
    if file.token_uri.is_some_and(|uri| uri != GOOGLE_TOKEN_URI) {
        return Err(KeyFormatError::TokenUri);
    }
    let private_key = private_key.filter(|key| is_pkcs8_pem(key.expose_secret()));
    Ok(ServiceAccount {
        project_id: text(file.project_id, "project_id", |b| b.is_ascii_alphanumeric() || b".:_-".contains(&b))?,
        private_key_id: text(file.private_key_id, "private_key_id", |b| b.is_ascii_alphanumeric())?,
        client_email: text(file.client_email, "client_email", |b| b.is_ascii_alphanumeric() || b"@.:_-".contains(&b))?,
        private_key: private_key.ok_or(KeyFormatError::Field("private_key"))?,
    })
}

/// 1 to 256 of the allowed characters: these texts become parts of addresses and tokens.
fn text(value: Option<String>, field: &'static str, allowed: fn(u8) -> bool) -> Result<String, KeyFormatError> {
    value.filter(|t| matches!(t.len(), 1..=256) && t.bytes().all(allowed)).ok_or(KeyFormatError::Field(field))
}

/// One PEM block of that label (RFC 7468) with a Base64 body. `RSA PRIVATE KEY` is PKCS#1 and refused.
fn is_pkcs8_pem(pem: &str) -> bool {
    let body = pem.trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END));
    body.is_some_and(|body| {
        let base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=\r\n".contains(&b);
        body.starts_with(['\r', '\n']) && body.trim().len() >= 64 && body.bytes().all(base64)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::super::Catalog;
    use super::*;

    fn key_file() -> Value {
        json!({
            "type": "service_account",
            "project_id": "acme-1",
            "private_key_id": "0123456789abcdef",
            "private_key": format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", "QUJD".repeat(20)),
            "client_email": "bot@acme-1.iam.gserviceaccount.com",
            "client_id": "1",
            "auth_uri": "https://evil.example/auth",
            "token_uri": GOOGLE_TOKEN_URI,
        })
    }

    fn check(json: &str) -> Result<ServiceAccount, KeyFormatError> {
        Catalog::builtin().unwrap().provider("vertex").unwrap().check_service_account(json)
    }

    #[test]
    fn a_key_file_is_read_and_its_key_never_shown() {
        let account = check(&key_file().to_string()).unwrap();
        assert_eq!(account.project_id, "acme-1");
        assert!(account.expose_private_key().contains("QUJD"));
        let shown = format!("{account:?}");
        assert!(shown.contains("acme-1") && !shown.contains("QUJD") && !shown.contains("BEGIN"), "{shown}");
        let mut without = key_file();
        without.as_object_mut().unwrap().remove("token_uri");
        assert!(check(&without.to_string()).is_ok());
    }

    #[test]
    fn the_bare_private_key_does_not_depend_on_how_the_file_was_written() {
        let bare = |file: &Value, pretty: bool| {
            let json = if pretty { serde_json::to_string_pretty(file).unwrap() } else { file.to_string() };
            check(&json).unwrap().expose_bare_private_key().expose_secret().to_owned()
        };
        let mut other = key_file();
        assert_eq!(bare(&other, false), "QUJD".repeat(20));
        other["private_key"] =
            json!(format!("{PEM_BEGIN}\r\n{}\r\n{}\n{PEM_END}", "QUJD".repeat(4), "QUJD".repeat(16)));
        other["client_id"] = json!("2");
        assert_eq!(bare(&other, true), bare(&key_file(), false));
    }

    #[test]
    fn each_field_is_checked() {
        let pkcs1 = key_file()["private_key"].as_str().unwrap().replace("PRIVATE", "RSA PRIVATE");
        for (field, bad, error) in [
            ("type", json!("authorized_user"), KeyFormatError::Field("type")),
            ("type", json!(null), KeyFormatError::Field("type")),
            ("project_id", json!(""), KeyFormatError::Field("project_id")),
            ("project_id", json!("a/../b"), KeyFormatError::Field("project_id")),
            ("private_key_id", json!("a\nb"), KeyFormatError::Field("private_key_id")),
            ("private_key", json!("secret"), KeyFormatError::Field("private_key")),
            ("private_key", json!(pkcs1), KeyFormatError::Field("private_key")),
            ("private_key", json!(null), KeyFormatError::Field("private_key")),
            ("client_email", json!("a b@c"), KeyFormatError::Field("client_email")),
            ("client_email", json!(7), KeyFormatError::Json),
            ("token_uri", json!("https://evil.example/token"), KeyFormatError::TokenUri),
            ("token_uri", json!("https://oauth2.googleapis.com/token/"), KeyFormatError::TokenUri),
            ("token_uri", json!(""), KeyFormatError::TokenUri),
        ] {
            let mut file = key_file();
            file[field] = bad;
            assert_eq!(check(&file.to_string()).err(), Some(error), "{field}");
        }
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        for bad in
            ["[]", "null", "sk-ant-1", "{\"type\":\"service_account\"", "{\"type\":\"a\",\"type\":\"service_account\"}"]
        {
            assert_eq!(check(bad).err(), Some(KeyFormatError::Json), "{bad}");
        }
        assert_eq!(check("").err(), Some(KeyFormatError::Empty));
        assert_eq!(
            check(&" ".repeat(MAX_SERVICE_ACCOUNT + 1)).err(),
            Some(KeyFormatError::TooLong(MAX_SERVICE_ACCOUNT))
        );
        let openai = Catalog::builtin().unwrap().provider("openai").unwrap().check_service_account("{}").err();
        assert_eq!(openai, Some(KeyFormatError::WrongKind(AuthType::ServiceAccountJson)));
    }
}
