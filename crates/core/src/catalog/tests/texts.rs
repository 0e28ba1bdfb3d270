//! A report has no body, but the error's type, code and message: they must be read as the body would be.

use serde_json::Value;

use super::super::classify::first_match;
use super::super::rule::{BodyTest, Path, Rule, Ruling, StatusMatch};
use super::calls::cases;
use super::*;
use Outcome::{BadRequest, Forbidden, Ok as Fine, Overloaded, QuotaExhausted, RateLimited, ServerError};

/// Where callers find the type, the code and the message: in the first of these that is there.
const PARTS: [&[&str]; 3] = [
    &["error.type", "error.status", "error.metadata.error_type", "type"],
    &[
        "error.details.error_code",
        "error.details[].reason",
        "error.details[].violations[].quotaId",
        "error.code",
        "errors[].code",
        "detail.status",
        "err_code",
        "category",
        "tag",
        "code",
    ],
    &["error.message", "message", "detail.message", "detail.error", "detail", "err_msg", "error_description", "error"],
];

fn texts_of(body: &Value) -> Vec<String> {
    let text = |paths: &[&str]| paths.iter().find_map(|path| Path::parse(path).unwrap().text(body));
    let mut texts: Vec<_> = PARTS.iter().map(|paths| text(paths).unwrap_or_default()).collect();
    // an OAuth error is a code beside its description (RFC 6749, 5.2)
    if let (Some(code), Some(_)) = (body["error"].as_str(), body.get("error_description")) {
        code.clone_into(&mut texts[1]);
    }
    texts
}

/// Bodies that say what the three texts cannot: what they are read as instead, how many of the cases, and why.
const LOST: [(&str, u16, Outcome, Outcome, usize, &str); 6] = [
    ("google", 429, QuotaExhausted, RateLimited, 1, "quotaValue stands beside quotaId, and there is one code"),
    ("vertex", 429, QuotaExhausted, RateLimited, 1, "quotaValue stands beside quotaId, and there is one code"),
    ("openrouter", 429, Overloaded, RateLimited, 2, "that metadata names an upstream"),
    ("openrouter", 200, Overloaded, RateLimited, 1, "that metadata names an upstream"),
    ("openrouter", 403, BadRequest, Forbidden, 2, "that metadata names reasons or patterns"),
    ("openrouter", 200, ServerError, Fine, 1, "that there is an error, if it has no code"),
];

fn read<'c>(catalog: &'c Catalog, id: &str, facts: &HttpFacts<'_>) -> Option<&'c Rule> {
    first_match(&[&catalog.provider(id).unwrap().rules, &catalog.rules], facts)
}

#[test]
fn texts_are_read_as_the_body_is() {
    let catalog = catalog();
    let mut lost = [0; LOST.len()];
    for (id, status, body, outcome) in cases() {
        let texts = texts_of(&body);
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let facts = HttpFacts { status, body: None, texts: &texts };
        let instead = catalog.classify(catalog.provider(id).unwrap(), &facts).outcome;
        if instead != outcome {
            let known = LOST.iter().position(|l| (l.0, l.1, l.2, l.3) == (id, status, outcome, instead));
            lost[known.unwrap_or_else(|| unreachable!("{id} {status} {body} is {instead:?} by {texts:?}"))] += 1;
        }
    }
    assert_eq!(lost, LOST.map(|exception| exception.4));
}

#[test]
fn no_answer_is_a_network_error() {
    let catalog = catalog();
    let facts = HttpFacts { status: 0, body: None, texts: &["", "", ""] };
    assert_eq!(catalog.classify(catalog.provider("mistral").unwrap(), &facts).outcome, Outcome::NetworkError);
}

/// A text is held against every rule, whatever path that one is about. Where that finds another rule than the body does,
/// both must say the same; it happens with one word alone.
#[test]
fn a_text_that_another_rule_looks_for_is_read_alike() {
    let catalog = catalog();
    for (id, status, body, outcome) in cases() {
        let texts = texts_of(&body);
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let by_body = read(&catalog, id, &HttpFacts { status, body: Some(&body), texts: &[] });
        let by_texts = read(&catalog, id, &HttpFacts { status, body: None, texts: &texts });
        let same = by_body.map(std::ptr::from_ref) == by_texts.map(std::ptr::from_ref);
        if !same && by_texts.is_some_and(|rule| rule.ruling == Ruling::Outcome(outcome)) {
            // OpenAI's type and code can both be this
            assert!(["openai", "dalle", "openai-tts"].contains(&id) && texts[0] == "insufficient_quota", "{id} {body}");
        }
    }
}

/// What a rule looks for, reported alone, is read as the rule says: no earlier rule about another path takes it.
#[test]
fn no_rule_takes_what_a_later_one_looks_for() {
    let catalog = catalog();
    for provider in catalog.providers() {
        for rule in &provider.rules {
            let (Some(body), StatusMatch::Exactly(status)) = (&rule.body, rule.status) else { continue };
            let (BodyTest::Equals(values) | BodyTest::Contains(values) | BodyTest::StartsWith(values)) = &body.test
            else {
                continue;
            };
            for value in values {
                let facts = HttpFacts { status, body: None, texts: &["", value, ""] };
                let found = read(&catalog, provider.id.as_str(), &facts).unwrap();
                assert_eq!(found.ruling, rule.ruling, "{} {status} {value}", provider.id.as_str());
            }
        }
    }
}
