//! A credential on its way in: wiped when dropped, never shown.

use secrecy::SecretString;

use crate::catalog::AuthType;

/// What a customer hands over. Its `Debug` shows the kind alone.
#[derive(Debug, Clone)]
pub enum Secret {
    /// A provider's API key.
    ApiKey(SecretString),
    /// A Google service account's key file.
    ServiceAccountJson(SecretString),
    /// The destination needs no secret.
    UrlOnly,
}

impl Secret {
    /// How it authenticates.
    #[must_use]
    pub fn auth_type(&self) -> AuthType {
        match self {
            Self::ApiKey(_) => AuthType::ApiKey,
            Self::ServiceAccountJson(_) => AuthType::ServiceAccountJson,
            Self::UrlOnly => AuthType::None,
        }
    }

    /// The secret text, if there is one.
    #[must_use]
    pub fn text(&self) -> Option<&SecretString> {
        match self {
            Self::ApiKey(text) | Self::ServiceAccountJson(text) => Some(text),
            Self::UrlOnly => None,
        }
    }
}
