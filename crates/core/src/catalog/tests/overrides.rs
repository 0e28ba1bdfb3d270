//! What an operator's file may and may not say.

use serde_json::json;

use super::*;

const MINIMAL: &str = r#"
[[provider]]
id = "acme"
name = "Acme"
categories = ["llm"]
auth_types = ["api_key"]
headers = [{ name = "Authorization", value = "Bearer {secret}" }]
base_url = { default = "https://api.acme.example/v1/" }
test = { url = "{base_url}/models" }
"#;

#[test]
fn a_provider_is_added() {
    let catalog = catalog().with_overrides(MINIMAL).unwrap();
    assert_eq!(catalog.providers().len(), 35);
    let acme = catalog.providers().last().unwrap();
    assert_eq!(acme.id.as_str(), "acme");
    assert_eq!(acme.test_request(None, None).unwrap().url, "https://api.acme.example/v1/models");
    assert_eq!(
        catalog.test_verdict(acme, &HttpFacts { status: 401, ..HttpFacts::default() }),
        TestVerdict::Invalid { reason: "the provider rejects it" }
    );
}

#[test]
fn a_provider_like_another_is_added_in_few_lines() {
    let over = "[[provider]]\nid = \"gpt-draw\"\nlike = \"openai\"\nname = \"Draw\"\ncategories = [\"image\"]\n";
    let catalog = catalog().with_overrides(over).unwrap();
    let draw = catalog.provider("gpt-draw").unwrap();
    assert_eq!(draw.rules, catalog.provider("openai").unwrap().rules);
    assert!(draw.model_prefixes.is_empty() && draw.aliases.is_empty() && draw.default_models.is_empty());
}

#[test]
fn the_documented_example_does_what_it_says() {
    let docs = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/catalog.md"));
    let example = docs.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let catalog = catalog().with_overrides(example).unwrap();
    let acme = catalog.provider("acme").unwrap();
    assert!(matches!(acme.check_api_key("acme_admin_0123456789abcdef"), Err(KeyFormatError::Rejected(_))));
    assert_eq!(acme.test_request(None, None).unwrap().url, "https://gateway.acme.example/v1/models");
    assert_eq!(catalog.providers_for_model("acme-large"), [&acme.id]);
    for (status, body) in [(200, json!({"budget_left": 0})), (403, json!({"error": {"code": "BUDGET"}}))] {
        let verdict = catalog.test_verdict(acme, &HttpFacts { status, body: Some(&body), texts: &[] });
        assert!(matches!(verdict, TestVerdict::QuotaExhausted { .. }), "{status}");
    }
    assert_eq!(catalog.provider("openai").unwrap().default_model(Category::Llm), Some("gpt-5.4"));
    let now = time::macros::datetime!(2026-11-06 08:49 UTC);
    let reset = |budget, requests| {
        let headers = [
            ("x-acme-budget-left", budget),
            ("x-acme-budget-reset", "2026-11-08T00:00:00Z"),
            ("x-acme-requests-left", requests),
            ("x-acme-requests-reset", "1793955000"),
        ];
        let facts = AnswerFacts { headers: &headers, retry_after: "7", ..AnswerFacts::default() };
        let reset = catalog.reset(acme, &facts, Outcome::RateLimited, now).unwrap();
        (reset.outcome, (reset.until - now).whole_seconds())
    };
    assert_eq!(reset("0", "0"), (Outcome::QuotaExhausted, 141_060));
    assert_eq!(reset("1", "0"), (Outcome::RateLimited, 60));
    assert_eq!(reset("1", "1"), (Outcome::RateLimited, 7));
}

#[test]
fn given_fields_override_and_others_stay() {
    let base = catalog();
    let over = r#"
        [[provider]]
        id = "openai"
        default_models = { llm = "gpt-6" }
        key = { min_length = 20 }
        model_prefixes = ["gpt-6"]
    "#;
    let catalog = base.with_overrides(over).unwrap();
    let (before, after) = (base.provider("openai").unwrap(), catalog.provider("openai").unwrap());
    assert_eq!(after.default_model(Category::Llm), Some("gpt-6"));
    assert_eq!(after.key.min_length, 20);
    assert_eq!(after.key.prefixes, before.key.prefixes);
    assert_eq!(after.model_prefixes, ["gpt-6"]);
    assert_eq!(after.model_prefix_excludes, before.model_prefix_excludes);
    assert_eq!((&after.name, &after.headers, &after.rules), (&before.name, &before.headers, &before.rules));
    assert_eq!(catalog.provider("dalle").unwrap().key.min_length, 20, "it is like openai");
    assert_eq!(catalog.providers().len(), 34);
    assert_eq!(catalog.rules, base.rules);
}

#[test]
fn general_rules_are_replaced_as_a_whole() {
    let catalog = catalog().with_overrides("[[rules]]\nstatus = 403\noutcome = \"bad_request\"\n").unwrap();
    let mistral = catalog.provider("mistral").unwrap();
    let outcome = |status| catalog.classify(mistral, &HttpFacts { status, ..HttpFacts::default() }).outcome;
    assert_eq!((outcome(403), outcome(401)), (Outcome::BadRequest, Outcome::BadRequest));
}

#[test]
fn the_canonical_text_tells_catalogs_apart() {
    let base = catalog();
    assert_eq!(base.canonical_text(), catalog().canonical_text());
    assert_eq!(base.with_overrides("").unwrap().canonical_text(), base.canonical_text());
    let same = base.with_overrides("[[provider]]\nname = \"OpenAI\"\nid = \"openai\"").unwrap();
    assert_eq!(same.canonical_text(), base.canonical_text());
    let other = base.with_overrides("[[provider]]\nid = \"openai\"\nname = \"Open\\\"AI\"").unwrap();
    assert_ne!(other.canonical_text(), base.canonical_text());
    let rules = base.with_overrides("rules = []").unwrap();
    assert_ne!(rules.canonical_text(), base.canonical_text());
}

/// Lays `fields` over the `acme` entry, or over the built-in `id` if it names one.
fn error_of(text: &str) -> CatalogError {
    catalog().with_overrides(MINIMAL).unwrap().with_overrides(text).unwrap_err()
}

#[test]
fn each_bad_value_is_named() {
    use Problem::*;
    for (fields, field, problem) in [
        ("name = ' '", "name", Empty),
        ("aliases = ['A']", "aliases", Slug),
        ("aliases = ['claude']", "aliases", Taken),
        ("aliases = ['openai']", "aliases", Taken),
        ("like = 'nobody'", "like", NoSuchEntry),
        ("like = 'dalle'", "like", Chained),
        ("like = 'acme'", "like", Chained),
        ("categories = ['text']", "categories", Category),
        ("categories = []", "categories", Empty),
        ("categories = ['llm', 'llm']", "categories", Taken),
        ("auth_types = ['oauth']", "auth_types", AuthType),
        ("default_models = { video = 'x' }", "default_models.video", ForeignCategory),
        ("default_models = { text = 'x' }", "default_models.text", Category),
        ("default_models = { llm = 'a b' }", "default_models.llm", Text),
        ("model_prefixes = ['']", "model_prefixes", Text),
        ("dashboard_url = 'http://acme.example'", "dashboard_url", Url),
        ("key = { prefixes = ['a b'] }", "key.prefixes", Text),
        ("key = { strict_hint = '(' }", "key.strict_hint", Regex),
        ("key = { reject = [{ prefix = 'x', reason = '' }] }", "key.reject", Empty),
        ("headers = [{ name = 'a b', value = '{secret}' }]", "headers", Header),
        ("headers = [{ name = 'a', value = \"{secret}\\r\\nb: c\" }]", "headers", Header),
        ("headers = [{ name = 'a', value = '{secret}{secret}' }]", "headers", Placeholder),
        ("headers = [{ name = 'a', value = '{password}' }]", "headers", Placeholder),
        ("base_url = { default = 'ftp://acme.example' }", "base_url.default", Url),
        ("base_url = { default = 'https://u:p@acme.example' }", "base_url.default", Url),
        ("base_url = { default = 'https://{host}' }", "base_url.default", Placeholder),
        ("base_url = { default = 'https://{location}.acme.example' }", "base_url.default", NoLocation),
        ("base_url = { required = true }", "base_url.required", RequiredNotAllowed),
        ("base_url = { by_location = { 'a.b' = 'https://x.example' } }", "base_url.by_location.a.b", Location),
        ("location = { default = 'A' }", "location", Location),
        ("test = { url = '{base_url}.evil.example/models' }", "test.url", TestIgnoresBaseUrl),
        ("test = { url = '{base_url}@evil.example/models' }", "test.url", TestIgnoresBaseUrl),
        ("test = { url = '{base_url}/{secret}' }", "test.url", Placeholder),
        ("test = { url = 'ftp://acme.example' }", "test.url", Url),
        ("test = { kind = 'none' }", "test.reason", Missing),
        ("test = { kind = 'ping' }", "test.kind", TestKind),
        ("test = { method = 'DELETE' }", "test.method", Method),
        ("test = { expect = 20 }", "test.expect", Status),
        (
            "test = { url = '{base_url}/models', rules = [{ status = 402, outcome = 'quota_exhausted', until = 'next_month' }] }",
            "test.rules[0].until",
            Until,
        ),
        (
            "base_url = { allowed = true }\ntest = { url = 'https://acme.example/models' }",
            "test.url",
            TestIgnoresBaseUrl,
        ),
    ] {
        let error = error_of(&format!("[[provider]]\nid = 'acme'\n{fields}\n"));
        let CatalogError::Invalid { entry, field: at, problem: what } = &error else {
            unreachable!("{fields}: {error}")
        };
        assert_eq!((entry.as_str(), at.as_str(), *what), ("acme", field, problem), "{fields}");
        assert!(error.to_string().starts_with(&format!("catalog entry acme: field {field} ")), "{error}");
    }
}

#[test]
fn each_bad_rule_is_named() {
    use Problem::*;
    for (rule, part, problem) in [
        ("status = 600, outcome = 'ok'", "status", Status),
        ("status = '4xx', outcome = 'ok'", "status", Status),
        ("status = 429, outcome = 'invalid_key'", "outcome", NeverInvalid),
        ("status = 503, outcome = 'invalid_key'", "outcome", NeverInvalid),
        ("status = '5xx', outcome = 'invalid_key'", "outcome", NeverInvalid),
        ("status = 400, outcome = 'bad'", "outcome", Outcome),
        ("status = 400, outcome = 'inconclusive'", "outcome", Outcome),
        ("status = 400, outcome = 'network_error'", "outcome", Outcome),
        ("status = 400, outcome = 'ok', reason = ''", "reason", Empty),
        ("status = 400, outcome = 'ok', op = 'eq', value = 'x'", "op", OpField),
        ("status = 400, outcome = 'ok', field = 'a'", "op", OpField),
        ("status = 400, outcome = 'ok', field = 'a', op = 'any'", "op", OpField),
        ("status = 400, outcome = 'ok', field = 'a', op = 'like', value = 'x'", "op", Op),
        ("status = 400, outcome = 'ok', field = 'a.', op = 'exists'", "field", Path),
        ("status = 400, outcome = 'ok', field = 'a', op = 'exists', value = 'x'", "value", Value),
        ("status = 400, outcome = 'ok', field = 'a', op = 'eq'", "value", Value),
        ("status = 400, outcome = 'ok', field = 'a', op = 'eq', value = ['x']", "value", Value),
        ("status = 400, outcome = 'ok', field = 'a', op = 'in', value = 'x'", "value", Value),
        ("status = 400, outcome = 'ok', field = 'a', op = 'contains', value = ''", "value", Value),
        ("status = 400, outcome = 'ok', field = 'a', op = 'contains', value = ['x', '']", "value", Value),
        ("status = 400, outcome = 'ok', field = 'a', op = 'ge_field', value = '.'", "value", Path),
        ("status = 400, outcome = 'ok', value = 'x'", "value", Value),
        ("status = 429, outcome = 'quota_exhausted', until = 'tomorrow'", "until", Until),
        ("status = 429, outcome = 'rate_limited', until = 'next_month'", "until", Until),
    ] {
        for (text, entry, list) in [
            (format!("[[provider]]\nid = 'acme'\nrules = [{{ {rule} }}]\n"), "acme", "rules"),
            (format!("rules = [{{ {rule} }}]\n"), "*", "rules"),
        ] {
            let error = error_of(&text);
            let CatalogError::Invalid { entry: named, field, problem: what } = &error else {
                unreachable!("{rule}: {error}")
            };
            assert_eq!((named.as_str(), field.clone(), *what), (entry, format!("{list}[0].{part}"), problem), "{rule}");
        }
    }
}

#[test]
fn each_bad_reset_is_named() {
    use Problem::*;
    for (reset, part, problem) in [
        ("form = 'seconds'", "header", ResetPlace),
        ("header = 'a', field = 'b', form = 'seconds'", "header", ResetPlace),
        ("header = '', form = 'seconds'", "header", HeaderName),
        ("header = 'a b', form = 'seconds'", "header", HeaderName),
        ("header = 'a', form = 'seconds', remaining = 'b:'", "remaining", HeaderName),
        ("header = 'a', form = 'seconds', remaining = 'b', limit = 'c.d'", "limit", HeaderName),
        ("field = 'a.', form = 'seconds'", "field", Path),
        ("field = 'a', form = 'seconds', remaining = 'b[0]'", "remaining", Path),
        ("header = 'a', form = 'minutes'", "form", Form),
        ("header = 'a', form = 'seconds', position = 0", "position", Position),
        ("field = 'a', form = 'seconds', position = 1", "position", Position),
        ("header = 'a', form = 'seconds', limit = 'b'", "limit", NoWindow),
        ("header = 'a', form = 'seconds', refills = true", "refills", NoWindow),
        ("header = 'a', form = 'seconds', outcome = 'server_error'", "outcome", ResetOutcome),
        ("header = 'a', form = 'seconds', outcome = 'never'", "outcome", ResetOutcome),
        ("header = 'a', form = 'seconds', remaining = 'b', outcome = 'overloaded'", "outcome", ResetOutcome),
    ] {
        for (text, entry) in [
            (format!("[[provider]]\nid = 'acme'\nresets = [{{ {reset} }}]\n"), "acme"),
            (format!("resets = [{{ {reset} }}]\n"), "*"),
        ] {
            let error = error_of(&text);
            let CatalogError::Invalid { entry: named, field, problem: what } = &error else {
                unreachable!("{reset}: {error}")
            };
            assert_eq!(
                (named.as_str(), field.clone(), *what),
                (entry, format!("resets[0].{part}"), problem),
                "{reset}"
            );
        }
    }
}

#[test]
fn resets_are_overridden_taken_over_and_told_apart() {
    let over = "[[provider]]\nid = 'openai'\nresets = [{ header = 'X-Back-In', form = 'seconds' }]\n";
    let changed = catalog().with_overrides(over).unwrap();
    for id in ["openai", "dalle", "openai-tts"] {
        let headers = changed.reset_headers(changed.provider(id).unwrap());
        assert_eq!(headers, ["x-back-in", "retry-after-ms", "retry-after"], "{id}");
    }
    let bare = catalog().with_overrides("resets = []").unwrap();
    assert!(bare.reset_headers(bare.provider("mistral").unwrap()).is_empty());
    assert_eq!(bare.rules, catalog().rules);
    let texts = [catalog().canonical_text(), changed.canonical_text(), bare.canonical_text()];
    assert!(texts[0] != texts[1] && texts[0] != texts[2] && texts[1] != texts[2]);
    let (rules, resets) = ("rules = []", "resets = []");
    let text = |over| Document::parse(over).unwrap().canonical_text();
    assert_ne!(text(rules), text(resets), "one empty list is not the other");
}

#[test]
fn unknown_fields_are_refused_at_every_depth() {
    assert!(matches!(error_of("x = 1"), CatalogError::UnknownSection { field } if field == "x"));
    let top = error_of("[[provider]]\nid = 'acme'\nnmae = 'x'\n");
    assert!(matches!(&top, CatalogError::UnknownField { entry, field } if entry == "acme" && field == "nmae"), "{top}");
    for (fields, at) in [
        ("key = { prefix = 'x' }", "key"),
        ("key = { reject = [{ prefix = 'x', reason = 'y', z = 1 }] }", "key"),
        ("headers = [{ name = 'a', value = 'b', c = 'd' }]", "headers"),
        ("base_url = { url = 'x' }", "base_url"),
        ("location = { region = 'x' }", "location"),
        ("oauth_pkce = { url = 'x' }", "oauth_pkce"),
        ("test = { uri = 'x' }", "test"),
        ("test = { rules = [{ status = 1, outcome = 'ok', x = 1 }] }", "test"),
        ("rules = [{ status = 400, outcome = 'ok', values = [] }]", "rules"),
        ("resets = [{ header = 'a', form = 'seconds', unit = 's' }]", "resets"),
        ("resets = [{ header = 'a' }]", "resets"),
        ("name = 1", "name"),
        ("categories = 'llm'", "categories"),
    ] {
        let error = error_of(&format!("[[provider]]\nid = 'acme'\n{fields}\n"));
        assert!(
            matches!(&error, CatalogError::Shape { entry, field, .. } if entry == "acme" && *field == at),
            "{fields}: {error:?}"
        );
    }
    assert!(matches!(error_of("rules = 1"), CatalogError::Shape { entry, field: "rules", .. } if entry == "*"));
    assert!(matches!(error_of("resets = 1"), CatalogError::Shape { entry, field: "resets", .. } if entry == "*"));
}

#[test]
fn entries_must_be_complete_and_alone() {
    let id = "[[provider]]\nid = 'acme'\n";
    assert!(matches!(error_of("="), CatalogError::Syntax(_)));
    assert!(matches!(error_of(&format!("{id}[[provider]]\nname = 'x'")), CatalogError::NoId { position: 2 }));
    let twice = error_of(&format!("{id}{id}"));
    assert!(
        matches!(&twice, CatalogError::Invalid { entry, problem: Problem::Taken, .. } if entry == "acme"),
        "{twice}"
    );
    let slug = error_of("[[provider]]\nid = 'Acme'\n");
    assert!(matches!(&slug, CatalogError::Invalid { problem: Problem::Slug, .. }), "{slug}");
    for field in ["name", "categories", "auth_types", "test"] {
        let entry: String = MINIMAL.lines().filter(|l| !l.starts_with(field)).map(|l| format!("{l}\n")).collect();
        let error = catalog().with_overrides(&entry).unwrap_err();
        assert!(
            matches!(&error, CatalogError::Invalid { field: f, problem: Problem::Missing, .. } if f == field),
            "{error}"
        );
    }
}
