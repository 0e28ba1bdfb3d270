//! A provider of the catalog: where it is reached, and what its keys look like on the wire.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::base_url::{BaseUrlError, canonical_base_url};
use super::key_format::KeyFormat;
use super::kinds::{AuthType, Category};
use super::price::Price;
use super::reset::ResetSource;
use super::rule::Rule;
use crate::ids::ProviderId;

/// A provider, as the catalog has it. docs/catalog.md explains the fields to operators.
#[derive(Debug, Clone)]
pub struct Provider {
    /// What keys name it by.
    pub id: ProviderId,
    /// Its name for people.
    pub name: String,
    /// Other ids by which it is found.
    pub aliases: Vec<String>,
    /// What it is used for; at least one, the main one first.
    pub categories: Vec<Category>,
    /// How its keys authenticate; at least one, the usual one first.
    pub auth_types: Vec<AuthType>,
    /// Whether it offers to issue keys by OAuth with PKCE.
    pub oauth_pkce: bool,
    /// The provider whose keys it uses: a Fal key makes pictures and videos.
    pub like: Option<ProviderId>,
    /// Where people make keys.
    pub dashboard_url: Option<String>,
    /// What its API keys look like.
    pub key: KeyFormat,
    /// What goes with each request.
    pub headers: Vec<HeaderTemplate>,
    /// Where it is reached.
    pub base_url: BaseUrl,
    /// Set if it is reached by cloud region.
    pub location: Option<Location>,
    /// Its default model for a category.
    pub default_models: BTreeMap<Category, String>,
    /// Models that imply it.
    pub model_prefixes: Vec<String>,
    /// Models that do not, though a prefix says so.
    pub model_prefix_excludes: Vec<String>,
    /// How to find out whether a key is live.
    pub test: LiveTest,
    /// How its answers are read.
    pub rules: Vec<Rule>,
    /// Where its answers tell when a key can be used again.
    pub resets: Vec<ResetSource>,
    /// What its models cost on the platform's keys, if the operator says so.
    pub prices: Vec<Price>,
}

/// A header of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderTemplate {
    /// Its name.
    pub name: String,
    /// Its value, with at most one of `{secret}` and `{access_token}` in it. A header with either is sent only for keys
    /// that have a secret.
    pub value: String,
}

/// A header, ready to send.
#[derive(Debug, Clone)]
pub struct CredentialHeader {
    /// Its name.
    pub name: String,
    value: SecretString,
}

impl CredentialHeader {
    /// Exposes the value, which may hold the secret.
    #[must_use]
    pub fn expose_value(&self) -> &str {
        self.value.expose_secret()
    }
}

/// Where a provider is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseUrl {
    /// For keys without one of their own; may contain `{location}`. With `required`, only a proposal for people.
    pub default: Option<String>,
    /// Defaults of single locations, instead of `default`.
    pub by_location: BTreeMap<String, String>,
    /// A key must have its own.
    pub required: bool,
    /// A key may have its own.
    pub allowed: bool,
    /// For people.
    pub example: Option<String>,
}

/// How a provider's regions are named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Location {
    /// A key must name one.
    pub required: bool,
    /// For keys that name none.
    pub default: Option<String>,
    /// For people.
    pub example: Option<String>,
}

/// How to find out whether a key is live.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveTest {
    /// One request.
    Http(HttpTest),
    /// An access token is asked for in exchange for a signed assertion.
    TokenExchange(TokenExchange),
    /// There is none.
    None {
        /// Why, for people.
        reason: String,
    },
}

/// One request that shows whether a key is live.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpTest {
    /// The method; the body is empty.
    pub method: Method,
    /// The address, with `{base_url}` at its start or `{location}` in it.
    pub url: String,
    /// The status of a success.
    pub expect: u16,
    /// Whether a success shows that the key is good, or only that the server answers.
    pub proves_key: bool,
    /// Whether 429 shows that the key is good, since the provider counts only requests of live keys.
    pub rate_limited_proves_live: bool,
    /// How answers to the test alone are read.
    pub rules: Vec<Rule>,
}

/// An exchange of a service account's assertion for an access token (RFC 7523).
#[derive(Debug, Clone, PartialEq)]
pub struct TokenExchange {
    /// Where to.
    pub url: String,
    /// How its answers are read.
    pub rules: Vec<Rule>,
}

/// The methods of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`, with an empty body.
    Post,
}

impl Method {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A test, ready to send with the [credential headers](Provider::credential_headers). Redirects must not be followed:
/// they would carry the secret along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRequest {
    /// The method; the body is empty.
    pub method: Method,
    /// Where to.
    pub url: String,
}

impl Provider {
    /// Its default model for a category.
    #[must_use]
    pub fn default_model(&self, category: Category) -> Option<&str> {
        self.default_models.get(&category).map(String::as_str)
    }

    /// What authenticates a request, in the provider's own form. The secret is the API key, or the access token that a
    /// service account was exchanged for; without one, only headers that need none are left.
    #[must_use]
    pub fn credential_headers(&self, secret: Option<&str>) -> Vec<CredentialHeader> {
        self.headers.iter().filter_map(|template| template.fill(secret)).collect()
    }

    /// The canonical form of the base URL that a key brings, or the refusal. `permit_http` as in
    /// [`canonical_base_url`]; whether the host may be called is for [`super::egress::check_host`] to say.
    ///
    /// # Errors
    /// When the provider's keys have none, must have one, or the URL is malformed.
    pub fn check_base_url(&self, own: Option<&str>, permit_http: bool) -> Result<Option<String>, BaseUrlError> {
        match own {
            None if self.base_url.required => Err(BaseUrlError::Required),
            None => Ok(None),
            Some(_) if !self.base_url.allowed => Err(BaseUrlError::NotTaken),
            Some(url) => canonical_base_url(url, permit_http).map(Some),
        }
    }

    /// The location that a key uses: its own, else the default. `None` if it is malformed, missing though required, or
    /// given though the provider has none.
    #[must_use]
    pub fn effective_location<'a>(&'a self, own: Option<&'a str>) -> Option<&'a str> {
        let location = self.location.as_ref()?;
        own.or(location.default.as_deref()).filter(|name| is_location(name))
    }

    /// Where a key's requests go: to its own base URL, and never anywhere else if it has one; else to the provider's,
    /// with the location filled in. `None` if the provider takes no base URL of a key's own but the key has one, if it
    /// needs one and the key has none, or if the location is malformed or missing.
    #[must_use]
    pub fn effective_base_url(&self, own: Option<&str>, location: Option<&str>) -> Option<String> {
        if let Some(own) = own {
            return self.base_url.allowed.then(|| own.trim_end_matches('/').to_owned());
        }
        if self.base_url.required || (location.is_some() && self.location.is_none()) {
            return None;
        }
        let location = self.effective_location(location);
        let special = location.and_then(|name| self.base_url.by_location.get(name));
        fill_location(special.or(self.base_url.default.as_ref())?, location)
    }

    /// The request that shows whether a key is live, to the same base URL as the key's calls. `None` if the provider has
    /// no such request or its base URL cannot be told.
    #[must_use]
    pub fn test_request(&self, own: Option<&str>, location: Option<&str>) -> Option<TestRequest> {
        let LiveTest::Http(test) = &self.test else { return None };
        let base_url = self.effective_base_url(own, location)?;
        let url = match test.url.strip_prefix("{base_url}") {
            Some(path) => base_url + path,
            None => fill_location(&test.url, self.effective_location(location))?,
        };
        Some(TestRequest { method: test.method, url })
    }
}

impl HeaderTemplate {
    fn fill(&self, secret: Option<&str>) -> Option<CredentialHeader> {
        let placeholder = ["{secret}", "{access_token}"].into_iter().find(|p| self.value.contains(p));
        let value = match placeholder {
            Some(placeholder) => self.value.replace(placeholder, secret?),
            None => self.value.clone(),
        };
        Some(CredentialHeader { name: self.name.clone(), value: value.into() })
    }
}

/// Whether a text can be a location: `[a-z0-9-]{1,40}`. It becomes part of a host name.
#[must_use]
pub fn is_location(text: &str) -> bool {
    matches!(text.len(), 1..=40) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn fill_location(template: &str, location: Option<&str>) -> Option<String> {
    match (template.contains("{location}"), location) {
        (true, Some(location)) => Some(template.replace("{location}", location)),
        (true, None) => None,
        (false, _) => Some(template.to_owned()),
    }
}
