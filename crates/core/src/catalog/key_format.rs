//! What a provider's API keys look like. Only what a provider promises refuses a key; what secret scanners observed
//! merely warns, since providers change the form of their keys without notice.

use regex_lite::Regex;

use super::Catalog;
use super::kinds::AuthType;
use super::provider::Provider;

/// The longest API key, in bytes.
pub const MAX_API_KEY: usize = 16 * 1024;

/// Ids that begin as keys do are left alone if they are shorter: no provider's keys with a known beginning are.
const SHORTEST_LOOKALIKE: usize = 32;

/// The form of a provider's API keys.
#[derive(Debug, Clone, Default)]
pub struct KeyFormat {
    /// A key starts with one of these; empty if nothing is known.
    pub prefixes: Vec<String>,
    /// The least length in bytes, prefix included; 0 if nothing is known.
    pub min_length: usize,
    /// A text that keys contain, such as Fal's colon.
    pub contains: Option<String>,
    /// Whether the three above refuse a key, or only warn.
    pub enforce: bool,
    /// The form of the keys seen so far. It only ever warns.
    pub strict_hint: Option<Regex>,
    /// Prefixes of keys that cannot be used here, each with the reason that people read.
    pub reject: Vec<PrefixNote>,
    /// Prefixes of keys that can be used, with something that people should know.
    pub warn: Vec<PrefixNote>,
    /// Prefixes of other providers' keys that extend one of `prefixes`: `sk-ant-` where `sk-` is asked for.
    pub(super) foreign: Vec<PrefixNote>,
}

/// A prefix and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixNote {
    /// What the key starts with.
    pub prefix: String,
    /// What people read about it.
    pub reason: String,
}

/// Why a secret cannot be a key of its provider. It never holds the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFormatError {
    /// The provider's keys authenticate in another way.
    #[error("this provider takes no {}", .0.as_str())]
    WrongKind(AuthType),
    /// No text at all.
    #[error("must not be empty")]
    Empty,
    /// Longer than the limit, in bytes.
    #[error("must not be longer than {0} bytes")]
    TooLong(usize),
    /// A space, a line end, a control character or a character beyond ASCII.
    #[error("must be printable ASCII characters without spaces or line ends")]
    Character,
    /// None of the prefixes.
    #[error("must start with {}", .0.join(" or "))]
    Prefix(Vec<String>),
    /// Shorter than any key of the provider, in bytes.
    #[error("must be at least {0} characters long")]
    TooShort(usize),
    /// Without a text that all keys have.
    #[error("must contain {0:?}")]
    Lacks(String),
    /// A key of another kind or of another provider; the text is the catalog's.
    #[error("{0}")]
    Rejected(String),
    /// Not a JSON object with texts where a service account has them.
    #[error("must be the JSON key file of a service account")]
    Json,
    /// A field of the service account is missing or malformed.
    #[error("its field {0} is missing or malformed")]
    Field(&'static str),
    /// The token address is another than Google's.
    #[error("its token_uri must be Google's own")]
    TokenUri,
}

/// What people should know about a key that is accepted. It never holds the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyWarning {
    /// None of the known prefixes.
    Prefix(Vec<String>),
    /// Shorter than the keys seen so far, in bytes.
    Short(usize),
    /// Without a text that the keys seen so far have.
    Lacks(String),
    /// Unlike the keys seen so far.
    Unusual,
    /// The catalog's note on keys with this prefix.
    Note(String),
}

impl std::fmt::Display for KeyWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prefix(prefixes) => write!(f, "keys of this provider usually start with {}", prefixes.join(" or ")),
            Self::Short(min) => write!(f, "keys of this provider usually have at least {min} characters"),
            Self::Lacks(text) => write!(f, "keys of this provider usually contain {text:?}"),
            Self::Unusual => f.write_str("it does not look like the provider's keys seen so far"),
            Self::Note(note) => f.write_str(note),
        }
    }
}

impl Provider {
    /// Checks the form of an API key: 1 byte to 16 KiB of `0x21`–`0x7E`, never trimmed, and what the provider promises
    /// about its keys. The answer is what people should know although the key is accepted.
    ///
    /// # Errors
    /// When the text cannot be one of the provider's keys.
    pub fn check_api_key(&self, secret: &str) -> Result<Vec<KeyWarning>, KeyFormatError> {
        if !self.auth_types.contains(&AuthType::ApiKey) {
            return Err(KeyFormatError::WrongKind(AuthType::ApiKey));
        }
        check_text(secret, MAX_API_KEY)?;
        self.key.check_rejected(secret)?;
        let mut warnings = self.key.check_promises(secret)?;
        if warnings.is_empty() && self.key.strict_hint.as_ref().is_some_and(|hint| !hint.is_match(secret)) {
            warnings.push(KeyWarning::Unusual);
        }
        let notes = self.key.warn.iter().filter(|note| secret.starts_with(&note.prefix));
        warnings.extend(notes.map(|note| KeyWarning::Note(note.reason.clone())));
        Ok(warnings)
    }
}

impl Catalog {
    /// Whether a text that should be an id looks like some provider's key that was put into the wrong field. Ids are
    /// stored and shown, so such a one must not become one.
    #[must_use]
    pub fn resembles_key(&self, id: &str) -> bool {
        let prefixes = self.providers.iter().flat_map(|provider| &provider.key.prefixes);
        id.len() >= SHORTEST_LOOKALIKE && prefixes.into_iter().any(|prefix| id.starts_with(prefix.as_str()))
    }
}

impl KeyFormat {
    /// The longest prefix speaks, so that `sk-ant-admin` is told from `sk-ant-` and that from `sk-`.
    fn check_rejected(&self, secret: &str) -> Result<(), KeyFormatError> {
        let longest = |notes: &[PrefixNote]| {
            notes.iter().filter(|n| secret.starts_with(&n.prefix)).max_by_key(|n| n.prefix.len()).cloned()
        };
        match longest(&self.reject).or_else(|| longest(&self.foreign)) {
            Some(note) => Err(KeyFormatError::Rejected(note.reason)),
            None => Ok(()),
        }
    }

    fn check_promises(&self, secret: &str) -> Result<Vec<KeyWarning>, KeyFormatError> {
        let mut warnings = Vec::new();
        let mut broken = |error: KeyFormatError, warning: KeyWarning| {
            if self.enforce {
                return Err(error);
            }
            warnings.push(warning);
            Ok(())
        };
        if !self.prefixes.is_empty() && !self.prefixes.iter().any(|p| secret.starts_with(p)) {
            broken(KeyFormatError::Prefix(self.prefixes.clone()), KeyWarning::Prefix(self.prefixes.clone()))?;
        }
        if secret.len() < self.min_length {
            broken(KeyFormatError::TooShort(self.min_length), KeyWarning::Short(self.min_length))?;
        }
        if let Some(text) = self.contains.as_ref().filter(|text| !secret.contains(text.as_str())) {
            broken(KeyFormatError::Lacks(text.clone()), KeyWarning::Lacks(text.clone()))?;
        }
        Ok(warnings)
    }
}

/// Checks what every API key is: 1 to `limit` printable ASCII characters without spaces.
///
/// # Errors
/// Never holds the secret.
pub fn check_text(secret: &str, limit: usize) -> Result<(), KeyFormatError> {
    match secret.len() {
        0 => Err(KeyFormatError::Empty),
        len if len > limit => Err(KeyFormatError::TooLong(limit)),
        _ if !secret.bytes().all(|b| b.is_ascii_graphic()) => Err(KeyFormatError::Character),
        _ => Ok(()),
    }
}
