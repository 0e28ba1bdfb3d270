//! The closed vocabularies of the catalog.

/// What a provider is used for. A key serves every category of its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Text in, text out.
    Llm,
    /// Pictures.
    Image,
    /// Moving pictures.
    Video,
    /// Speech and sound.
    Audio,
    /// Search and research.
    Research,
}

impl Category {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Llm, Self::Image, Self::Video, Self::Audio, Self::Research];

    /// The name on the wire and in the catalog file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Llm => "llm",
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Research => "research",
        }
    }

    /// Reads that name, and no other spelling.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == name)
    }
}

/// How a key's secret authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthType {
    /// One secret text.
    ApiKey,
    /// A Google service account's JSON key file, exchanged for access tokens.
    ServiceAccountJson,
    /// No secret: the base URL is all there is.
    None,
}

impl AuthType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ApiKey, Self::ServiceAccountJson, Self::None];

    /// The name in rows and in the catalog file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::ServiceAccountJson => "service_account_json",
            Self::None => "none",
        }
    }

    /// Reads that name, and no other spelling.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == name)
    }
}
