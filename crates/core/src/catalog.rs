//! The provider catalog: everything that differs from provider to provider, as data.
//!
//! The built-in file is `data/providers.toml`; an operator's file of the same shape adds providers or overrides fields
//! by id. Pure: reading the operator's file is the caller's business. docs/catalog.md describes the fields.

pub mod base_url;
pub mod classify;
pub mod egress;
pub mod error;
pub mod key_format;
pub mod kinds;
pub mod price;
pub mod provider;
pub mod reset;
pub mod rule;
pub mod service_account;

mod document;
mod load;
mod load_resets;
mod load_rules;
mod reset_form;

use std::collections::HashMap;

pub use base_url::{BaseUrlError, canonical_base_url};
pub use classify::{Classified, HttpFacts, Outcome, TestVerdict};
pub use egress::{EgressAllow, EgressError, check_host, is_public_address};
pub use error::{CatalogError, Problem};
pub use key_format::{KeyFormatError, KeyWarning};
pub use kinds::{AuthType, Category};
pub use price::{Charge, Credits, Fees, Metered, Price};
pub use provider::{CredentialHeader, LiveTest, Provider, TestRequest};
pub use reset::{AnswerFacts, Reset};
pub use service_account::ServiceAccount;

use crate::ids::{ModelId, ProviderId};
use document::Document;
use reset::ResetSource;
use rule::Rule;

const BUILTIN: &str = include_str!("../data/providers.toml");

/// All providers, in the order of the file.
#[derive(Debug, Clone)]
pub struct Catalog {
    document: Document,
    providers: Vec<Provider>,
    /// Positions in `providers`, by id and by alias.
    index: HashMap<String, usize>,
    /// For the answers of any provider, after its own rules.
    rules: Vec<Rule>,
    /// Of the answers of any provider, after its own.
    resets: Vec<ResetSource>,
    defaults: Defaults,
    fees: Fees,
}

/// What calls need that neither they nor their agent nor their workspace says anything of: the operator's choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The provider.
    pub provider: Option<ProviderId>,
    /// The model.
    pub model: Option<ModelId>,
}

impl Catalog {
    /// What calls need that nothing else says anything of.
    #[must_use]
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// The catalog that comes with the program.
    ///
    /// # Errors
    /// None in a released program: a test loads the file.
    pub fn builtin() -> Result<Self, CatalogError> {
        Document::parse(BUILTIN).and_then(Self::load)
    }

    /// This catalog with an operator's file laid over it. An entry whose id exists overrides the fields that it gives
    /// (tables field by field, lists as a whole); any other is a new provider, listed after the others. `[[rules]]` and
    /// `[[resets]]`, if given, replace those for any provider; `[defaults]` and `[fees]` what they give.
    ///
    /// # Errors
    /// Names the entry and the field that is malformed, unknown, or does not fit the rest.
    pub fn with_overrides(&self, toml: &str) -> Result<Self, CatalogError> {
        let mut document = self.document.clone();
        document.lay_over(Document::parse(toml)?);
        Self::load(document)
    }

    /// The provider with this id or alias.
    #[must_use]
    pub fn provider(&self, id_or_alias: &str) -> Option<&Provider> {
        self.index.get(id_or_alias).map(|position| &self.providers[*position])
    }

    /// All providers, in the order of the file.
    #[must_use]
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// All categories that have a provider, in the order of [`Category::ALL`].
    #[must_use]
    pub fn categories(&self) -> Vec<Category> {
        let used = |category: &Category| self.providers.iter().any(|p| p.categories.contains(category));
        Category::ALL.into_iter().filter(used).collect()
    }

    /// The providers that a model's name implies: those with the longest prefix of it, in the order of the file. None if
    /// no prefix matches: a name that several providers host, such as `gpt-oss-20b`, is never guessed at.
    ///
    /// A prefix ends with a word: `o1` is a prefix of `o1-mini`, not of `o10`.
    #[must_use]
    pub fn providers_for_model(&self, model: &str) -> Vec<&ProviderId> {
        let matches: Vec<_> =
            self.providers.iter().filter_map(|p| Some((p.longest_model_prefix(model)?, &p.id))).collect();
        let longest = matches.iter().map(|(length, _)| *length).max();
        matches.into_iter().filter(|(length, _)| Some(*length) == longest).map(|(_, id)| id).collect()
    }

    /// The effective catalog as one text, whatever file a field came from: equal catalogs have equal texts. For a digest
    /// that tells whether two processes decide alike: prices and fees are left out, which the vault alone reads.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        self.document.canonical_text()
    }
}

impl Provider {
    fn longest_model_prefix(&self, model: &str) -> Option<usize> {
        if self.model_prefix_excludes.iter().any(|prefix| is_model_prefix(prefix, model)) {
            return None;
        }
        self.model_prefixes.iter().filter(|prefix| is_model_prefix(prefix, model)).map(String::len).max()
    }
}

fn is_model_prefix(prefix: &str, model: &str) -> bool {
    let inside_a_word = |text: Option<char>| text.is_some_and(char::is_alphanumeric);
    model
        .strip_prefix(prefix)
        .is_some_and(|rest| !(inside_a_word(prefix.chars().next_back()) && inside_a_word(rest.chars().next())))
}

#[cfg(test)]
mod tests;
