//! What is known of the providers' errors, rule by rule, against the cases of [`super::calls`].

use std::collections::BTreeMap;

use super::super::load_rules::RawRule;
use super::super::rule::{BodyMatch, BodyTest, Path, Rule, Ruling};
use super::calls::{Case, cases};
use super::*;

/// By provider, in order.
fn facts() -> BTreeMap<String, Vec<Rule>> {
    let raw: BTreeMap<String, Vec<RawRule>> = toml::from_str(include_str!("../../../data/error_facts.toml")).unwrap();
    let build = |raw: Vec<RawRule>| raw.into_iter().map(|rule| rule.build(false).unwrap()).collect();
    raw.into_iter().map(|(id, rules)| (id, build(rules))).collect()
}

/// One rule for each path and each value that a rule looks for.
fn single(rule: &Rule) -> Vec<Rule> {
    let Some(body) = &rule.body else { return vec![rule.clone()] };
    let tests = match &body.test {
        BodyTest::Equals(values) => values.iter().map(|value| BodyTest::Equals(vec![value.clone()])).collect(),
        other => vec![other.clone()],
    };
    let at = |path: &Path| {
        let body = |test: &BodyTest| BodyMatch { paths: vec![path.clone()], test: test.clone() };
        tests.iter().map(|test| Rule { body: Some(body(test)), ..rule.clone() }).collect::<Vec<_>>()
    };
    body.paths.iter().flat_map(at).collect()
}

/// Whether this is an answer that the fact at `position` decides, and the case says what it decides.
fn shows(case: &Case, fact: &Rule, earlier: &[Rule]) -> bool {
    let (_, status, body, outcome) = case;
    let http = HttpFacts { status: *status, body: Some(body), texts: &[] };
    fact.matches(&http) && !earlier.iter().any(|rule| rule.matches(&http)) && fact.ruling == Ruling::Outcome(*outcome)
}

#[test]
fn every_fact_has_a_case() {
    let (facts, cases) = (facts(), cases());
    let (mut rules, mut parts, mut missing) = (0, 0, Vec::new());
    for (id, list) in &facts {
        // the facts of any provider are shown by one that has none of its own
        let about = |case: &&Case| if id == "*" { !facts.contains_key(case.0) } else { case.0 == id };
        for (position, rule) in list.iter().enumerate() {
            rules += 1;
            for fact in single(rule) {
                parts += 1;
                if !cases.iter().filter(about).any(|case| shows(case, &fact, &list[..position])) {
                    missing.push((id, fact));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert_eq!((rules, parts), (62, 75));
}
