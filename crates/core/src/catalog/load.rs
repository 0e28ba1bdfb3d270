//! From a file's tables to providers: each field is checked by itself, then the entries against each other.

use std::collections::{BTreeMap, HashMap};

use regex_lite::Regex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};
use url::Url;

use super::document::{Document, shape};
use super::error::{CatalogError, Problem};
use super::key_format::{KeyFormat, PrefixNote};
use super::kinds::{AuthType, Category};
use super::load_resets::build_resets;
use super::load_rules::RawRule;
use super::price::{self, Price};
use super::provider::{
    BaseUrl, HeaderTemplate, HttpTest, LiveTest, Location, Method, Provider, TokenExchange, is_location,
};
use super::rule::Rule;
use super::{Catalog, Defaults};
use crate::ids::{ModelId, ProviderId, is_slug};

impl Catalog {
    pub(super) fn load(document: Document) -> Result<Self, CatalogError> {
        let entries = document.effective_entries()?;
        let mut providers =
            entries.into_iter().map(|(id, table)| Entry { id, table }.build()).collect::<Result<Vec<_>, _>>()?;
        let index = index(&providers)?;
        find_foreign_prefixes(&mut providers);
        let general = document.rules.clone().map(Value::try_into).transpose().map_err(|e| shape("*", "rules", e))?;
        let rules = build_rules("*", "rules", general.unwrap_or_default(), false)?;
        let resets = build_resets("*", document.resets.clone())?;
        let defaults =
            document.defaults.clone().map(Table::try_into).transpose().map_err(|e| shape("*", "defaults", e))?;
        let defaults = defaults.map(|raw| build_defaults(raw, &index, &providers)).transpose()?.unwrap_or_default();
        let fees = document.fees.clone().map(Table::try_into).transpose().map_err(|e| shape("*", "fees", e))?;
        let fees = price::fees(&fees.unwrap_or_default()).map_err(|(field, problem)| invalid("*", field, problem))?;
        Ok(Self { document, providers, index, rules, resets, defaults, fees })
    }
}

/// What nothing names, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDefaults {
    provider: Option<String>,
    model: Option<String>,
}

fn build_defaults(
    raw: RawDefaults,
    index: &HashMap<String, usize>,
    providers: &[Provider],
) -> Result<Defaults, CatalogError> {
    let known = |name: String| {
        let position = index.get(&name).ok_or_else(|| invalid("*", "defaults.provider", Problem::NoSuchEntry))?;
        Ok(providers[*position].id.clone())
    };
    let model = raw.model.map(|model| ModelId::parse(&model)).transpose();
    Ok(Defaults {
        provider: raw.provider.map(known).transpose()?,
        model: model.map_err(|_| invalid("*", "defaults.model", Problem::Value))?,
    })
}

fn index(providers: &[Provider]) -> Result<HashMap<String, usize>, CatalogError> {
    let mut index = HashMap::new();
    for (position, provider) in providers.iter().enumerate() {
        let id = (provider.id.as_str(), "id");
        for (name, field) in std::iter::once(id).chain(provider.aliases.iter().map(|a| (a.as_str(), "aliases"))) {
            if index.insert(name.to_owned(), position).is_some() {
                return Err(invalid(provider.id.as_str(), field, Problem::Taken));
            }
        }
    }
    Ok(index)
}

/// `sk-ant-` is a prefix of Anthropic's keys and extends OpenAI's `sk-`: whoever gives such a key to OpenAI has taken
/// the wrong one, and it must not be sent there.
fn find_foreign_prefixes(providers: &mut [Provider]) {
    let known: Vec<(String, String)> =
        providers.iter().flat_map(|p| p.key.prefixes.iter().map(|prefix| (prefix.clone(), p.name.clone()))).collect();
    for provider in providers {
        let own = &provider.key.prefixes;
        let extends_own = |prefix: &str| own.iter().any(|o| prefix.starts_with(o)) && !own.iter().any(|o| o == prefix);
        provider.key.foreign = known
            .iter()
            .filter(|(prefix, _)| extends_own(prefix))
            .map(|(prefix, name)| PrefixNote { prefix: prefix.clone(), reason: format!("this is a key for {name}") })
            .collect();
    }
}

fn invalid(entry: &str, field: impl Into<String>, problem: Problem) -> CatalogError {
    CatalogError::Invalid { entry: entry.to_owned(), field: field.into(), problem }
}

fn build_rules(entry: &str, field: &str, raw: Vec<RawRule>, of_test: bool) -> Result<Vec<Rule>, CatalogError> {
    let build = |(index, rule): (usize, RawRule)| {
        rule.build(of_test).map_err(|(part, problem)| invalid(entry, format!("{field}[{index}].{part}"), problem))
    };
    raw.into_iter().enumerate().map(build).collect()
}

/// An entry whose fields are taken out one by one, so that what is left over is unknown.
struct Entry {
    id: String,
    table: Table,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawOauth {
    available: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawKey {
    prefixes: Vec<String>,
    min_length: usize,
    contains: Option<String>,
    enforce: bool,
    strict_hint: Option<String>,
    reject: Vec<RawNote>,
    warn: Vec<RawNote>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNote {
    prefix: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeader {
    name: String,
    value: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawBaseUrl {
    default: Option<String>,
    by_location: BTreeMap<String, String>,
    required: bool,
    allowed: bool,
    example: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawLocation {
    required: bool,
    default: Option<String>,
    example: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTest {
    #[serde(default = "http")]
    kind: String,
    #[serde(default = "get")]
    method: String,
    url: Option<String>,
    #[serde(default = "ok")]
    expect: u16,
    #[serde(default = "yes")]
    proves_key: bool,
    #[serde(default)]
    rate_limited_proves_live: bool,
    #[serde(default)]
    rules: Vec<RawRule>,
    reason: Option<String>,
}

fn http() -> String {
    "http".to_owned()
}

fn get() -> String {
    "GET".to_owned()
}

fn ok() -> u16 {
    200
}

fn yes() -> bool {
    true
}

impl Entry {
    fn build(mut self) -> Result<Provider, CatalogError> {
        self.take::<String>("id")?;
        let id = ProviderId::parse(&self.id).map_err(|_| self.invalid("id", Problem::Slug))?;
        let categories = self.categories()?;
        let location = self.location()?;
        let base_url = self.base_url(location.is_some())?;
        let provider = Provider {
            id,
            name: self.name()?,
            aliases: self.aliases()?,
            default_models: self.default_models(&categories)?,
            categories,
            auth_types: self.auth_types()?,
            oauth_pkce: self.take::<RawOauth>("oauth_pkce")?.unwrap_or_default().available,
            like: self.like()?,
            dashboard_url: self.dashboard_url()?,
            key: self.key()?,
            headers: self.headers()?,
            test: self.test(&base_url, location.is_some())?,
            base_url,
            location,
            model_prefixes: self.prefixes("model_prefixes")?,
            model_prefix_excludes: self.prefixes("model_prefix_excludes")?,
            rules: self.rules()?,
            resets: build_resets(&self.id, self.table.remove("resets"))?,
            prices: self.prices()?,
        };
        match self.table.keys().next() {
            Some(field) => Err(CatalogError::UnknownField { entry: self.id.clone(), field: field.clone() }),
            None => Ok(provider),
        }
    }

    fn take<T: DeserializeOwned>(&mut self, field: &'static str) -> Result<Option<T>, CatalogError> {
        self.table.remove(field).map(Value::try_into).transpose().map_err(|e| shape(&self.id, field, e))
    }

    fn require<T: DeserializeOwned>(&mut self, field: &'static str) -> Result<T, CatalogError> {
        self.take(field)?.ok_or_else(|| self.invalid(field, Problem::Missing))
    }

    fn invalid(&self, field: impl Into<String>, problem: Problem) -> CatalogError {
        invalid(&self.id, field, problem)
    }

    fn name(&mut self) -> Result<String, CatalogError> {
        let name: String = self.require("name")?;
        if name.trim().is_empty() { Err(self.invalid("name", Problem::Empty)) } else { Ok(name) }
    }

    fn aliases(&mut self) -> Result<Vec<String>, CatalogError> {
        let aliases: Vec<String> = self.take("aliases")?.unwrap_or_default();
        if aliases.iter().all(|a| is_slug(a)) { Ok(aliases) } else { Err(self.invalid("aliases", Problem::Slug)) }
    }

    fn like(&mut self) -> Result<Option<ProviderId>, CatalogError> {
        let like: Option<String> = self.take("like")?;
        like.map(|id| ProviderId::parse(&id).map_err(|_| self.invalid("like", Problem::Slug))).transpose()
    }

    fn categories(&mut self) -> Result<Vec<Category>, CatalogError> {
        self.words("categories", Category::parse, Problem::Category)
    }

    fn auth_types(&mut self) -> Result<Vec<AuthType>, CatalogError> {
        self.words("auth_types", AuthType::parse, Problem::AuthType)
    }

    /// A list of at least one word of a vocabulary, without repetition.
    fn words<T: PartialEq>(
        &mut self,
        field: &'static str,
        parse: fn(&str) -> Option<T>,
        problem: Problem,
    ) -> Result<Vec<T>, CatalogError> {
        let names: Vec<String> = self.require(field)?;
        let words: Vec<T> =
            names.iter().map(|n| parse(n).ok_or_else(|| self.invalid(field, problem))).collect::<Result<_, _>>()?;
        if words.is_empty() {
            return Err(self.invalid(field, Problem::Empty));
        }
        match (1..words.len()).any(|i| words[..i].contains(&words[i])) {
            true => Err(self.invalid(field, Problem::Taken)),
            false => Ok(words),
        }
    }

    fn default_models(&mut self, categories: &[Category]) -> Result<BTreeMap<Category, String>, CatalogError> {
        let models: BTreeMap<String, String> = self.take("default_models")?.unwrap_or_default();
        let mut checked = BTreeMap::new();
        for (name, model) in models {
            let field = format!("default_models.{name}");
            let category = Category::parse(&name).ok_or_else(|| self.invalid(&field, Problem::Category))?;
            if !categories.contains(&category) {
                return Err(self.invalid(field, Problem::ForeignCategory));
            }
            checked.insert(category, self.text(&field, model)?);
        }
        Ok(checked)
    }

    fn prefixes(&mut self, field: &'static str) -> Result<Vec<String>, CatalogError> {
        let prefixes: Vec<String> = self.take(field)?.unwrap_or_default();
        prefixes.into_iter().map(|p| self.text(field, p)).collect()
    }

    /// A text without spaces that is not empty.
    fn text(&self, field: &str, text: String) -> Result<String, CatalogError> {
        let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if good { Ok(text) } else { Err(self.invalid(field, Problem::Text)) }
    }

    fn dashboard_url(&mut self) -> Result<Option<String>, CatalogError> {
        let url: Option<String> = self.take("dashboard_url")?;
        let good = |url: &String| Url::parse(url).is_ok_and(|u| u.scheme() == "https" && u.username().is_empty());
        if url.as_ref().is_none_or(good) { Ok(url) } else { Err(self.invalid("dashboard_url", Problem::Url)) }
    }

    fn rules(&mut self) -> Result<Vec<Rule>, CatalogError> {
        let raw = self.take("rules")?.unwrap_or_default();
        build_rules(&self.id, "rules", raw, false)
    }

    fn prices(&mut self) -> Result<Vec<Price>, CatalogError> {
        let raw = self.take("price")?.unwrap_or_default();
        price::prices(raw).map_err(|(field, problem)| self.invalid(field, problem))
    }

    fn key(&mut self) -> Result<KeyFormat, CatalogError> {
        let raw: RawKey = self.take("key")?.unwrap_or_default();
        let hint = raw.strict_hint.map(|hint| Regex::new(&hint)).transpose();
        let notes = |field, notes: Vec<RawNote>| {
            let note = |n: RawNote| match n.reason.trim() {
                "" => Err(self.invalid(field, Problem::Empty)),
                _ => Ok(PrefixNote { prefix: self.text(field, n.prefix)?, reason: n.reason }),
            };
            notes.into_iter().map(note).collect::<Result<Vec<_>, _>>()
        };
        Ok(KeyFormat {
            prefixes: raw.prefixes.into_iter().map(|p| self.text("key.prefixes", p)).collect::<Result<_, _>>()?,
            min_length: raw.min_length,
            contains: raw.contains.map(|c| self.text("key.contains", c)).transpose()?,
            enforce: raw.enforce,
            strict_hint: hint.map_err(|_| self.invalid("key.strict_hint", Problem::Regex))?,
            reject: notes("key.reject", raw.reject)?,
            warn: notes("key.warn", raw.warn)?,
            foreign: Vec::new(),
        })
    }

    fn headers(&mut self) -> Result<Vec<HeaderTemplate>, CatalogError> {
        let raw: Vec<RawHeader> = self.take("headers")?.unwrap_or_default();
        raw.into_iter().map(|header| self.header(header)).collect()
    }

    fn header(&self, raw: RawHeader) -> Result<HeaderTemplate, CatalogError> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        let printable = |b: u8| b == b' ' || b.is_ascii_graphic();
        if raw.name.is_empty() || !raw.name.bytes().all(token) || !raw.value.bytes().all(printable) {
            return Err(self.invalid("headers", Problem::Header));
        }
        let rest = raw.value.replacen("{secret}", "", 1);
        let rest = if rest == raw.value { rest.replacen("{access_token}", "", 1) } else { rest };
        match rest.contains(['{', '}']) {
            true => Err(self.invalid("headers", Problem::Placeholder)),
            false => Ok(HeaderTemplate { name: raw.name, value: raw.value }),
        }
    }

    fn location(&mut self) -> Result<Option<Location>, CatalogError> {
        let Some(raw) = self.take::<RawLocation>("location")? else { return Ok(None) };
        if ![&raw.default, &raw.example].into_iter().flatten().all(|name| is_location(name)) {
            return Err(self.invalid("location", Problem::Location));
        }
        Ok(Some(Location { required: raw.required, default: raw.default, example: raw.example }))
    }

    fn base_url(&mut self, has_location: bool) -> Result<BaseUrl, CatalogError> {
        let raw: RawBaseUrl = self.take("base_url")?.unwrap_or_default();
        if raw.required && !raw.allowed {
            return Err(self.invalid("base_url.required", Problem::RequiredNotAllowed));
        }
        // a default that nothing is sent to by default may be an HTTP address, such as Ollama's
        if let Some(url) = raw.default.as_ref().filter(|_| !raw.required) {
            self.check_url("base_url.default", url, has_location)?;
        }
        for (name, url) in &raw.by_location {
            let field = format!("base_url.by_location.{name}");
            if !is_location(name) {
                return Err(self.invalid(field, Problem::Location));
            }
            self.check_url(&field, url, has_location)?;
        }
        let trim = |url: String| url.trim_end_matches('/').to_owned();
        Ok(BaseUrl {
            default: raw.default.map(trim),
            by_location: raw.by_location.into_iter().map(|(name, url)| (name, trim(url))).collect(),
            required: raw.required,
            allowed: raw.allowed,
            example: raw.example,
        })
    }

    /// An HTTPS URL in which `{location}` is the only placeholder.
    fn check_url(&self, field: &str, template: &str, has_location: bool) -> Result<(), CatalogError> {
        if template.contains("{location}") && !has_location {
            return Err(self.invalid(field, Problem::NoLocation));
        }
        let filled = template.replace("{location}", "x");
        if filled.contains(['{', '}']) {
            return Err(self.invalid(field, Problem::Placeholder));
        }
        // plain HTTP is for hosts that the operator lists: whoever connects checks that (`egress::check_host`)
        let good = |url: &Url| {
            matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.fragment().is_none()
        };
        match Url::parse(&filled).is_ok_and(|url| good(&url) && !filled.contains('@')) {
            true => Ok(()),
            false => Err(self.invalid(field, Problem::Url)),
        }
    }

    fn test(&mut self, base_url: &BaseUrl, has_location: bool) -> Result<LiveTest, CatalogError> {
        let raw: RawTest = self.require("test")?;
        if raw.kind == "none" {
            let reason = raw.reason.filter(|r| !r.trim().is_empty());
            return Ok(LiveTest::None { reason: reason.ok_or(self.invalid("test.reason", Problem::Missing))? });
        }
        let rules = build_rules(&self.id, "test.rules", raw.rules, true)?;
        let url = raw.url.ok_or(self.invalid("test.url", Problem::Missing))?;
        match raw.kind.as_str() {
            "http" => self.check_test_url(&url, base_url, has_location)?,
            "token_exchange" => {
                self.check_url("test.url", &url, false)?;
                return Ok(LiveTest::TokenExchange(TokenExchange { url, rules }));
            }
            _ => return Err(self.invalid("test.kind", Problem::TestKind)),
        }
        if !matches!(raw.expect, 100..=599) {
            return Err(self.invalid("test.expect", Problem::Status));
        }
        Ok(LiveTest::Http(HttpTest {
            method: self.method(&raw.method)?,
            url,
            expect: raw.expect,
            proves_key: raw.proves_key,
            rate_limited_proves_live: raw.rate_limited_proves_live,
            rules,
        }))
    }

    fn method(&self, name: &str) -> Result<Method, CatalogError> {
        [Method::Get, Method::Post]
            .into_iter()
            .find(|m| m.as_str() == name)
            .ok_or_else(|| self.invalid("test.method", Problem::Method))
    }

    fn check_test_url(&self, url: &str, base_url: &BaseUrl, has_location: bool) -> Result<(), CatalogError> {
        match url.strip_prefix("{base_url}") {
            // held against any host, a path must stay a path: "{base_url}.evil.example" is another host
            Some(path) if path.starts_with('/') => {
                self.check_url("test.url", &format!("https://x{path}"), has_location)
            }
            Some(_) => Err(self.invalid("test.url", Problem::TestIgnoresBaseUrl)),
            None if base_url.allowed => Err(self.invalid("test.url", Problem::TestIgnoresBaseUrl)),
            None => self.check_url("test.url", url, has_location),
        }
    }
}
