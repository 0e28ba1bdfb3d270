//! The decision as a table for people: data/decisions/*.toml. pinned.toml tells the fields.

use std::collections::HashSet;

use serde::Deserialize;

use super::*;
use crate::catalog::Outcome;
use crate::ids::{AgentId, SessionId};
use crate::route::SessionPin;
use crate::workspace::Policy;

const FILES: [&str; 5] = [
    include_str!("../../../data/decisions/pinned.toml"),
    include_str!("../../../data/decisions/own_keys.toml"),
    include_str!("../../../data/decisions/platform.toml"),
    include_str!("../../../data/decisions/orders.toml"),
    include_str!("../../../data/decisions/health.toml"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    rule: String,
    #[serde(default)]
    keys: Vec<KeyCell>,
    #[serde(default)]
    platform: Vec<KeyCell>,
    #[serde(default)]
    policy: PolicyCell,
    agent: Option<AgentCell>,
    session: Option<SessionCell>,
    #[serde(default)]
    operator: OperatorCell,
    request: RequestCell,
    wins: Option<String>,
    refused: Option<String>,
    fallback: Option<String>,
    directive: Option<String>,
    consent: Option<String>,
    model: Option<String>,
    remaining: Option<usize>,
    verdicts: Option<String>,
    walk: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyCell {
    key: String,
    provider: String,
    slug: Option<String>,
    of: Option<String>,
    state: Option<String>,
    credential: Option<String>,
    /// What was reported of it, 10 s ago.
    reported: Option<String>,
    /// The model that it was reported for.
    reported_for: Option<String>,
    /// For how long the provider said so, in seconds from now.
    reset_in: Option<i64>,
    #[serde(default)]
    probed: bool,
    #[serde(default)]
    priority: i32,
    #[serde(default = "one")]
    age: i64,
    expires_in: Option<i64>,
    #[serde(default)]
    allowed_models: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct PolicyCell {
    #[serde(default)]
    byok_excluded: bool,
    mode: Option<String>,
    #[serde(default)]
    allowed_providers: Vec<String>,
    consent: Option<String>,
    default_provider: Option<String>,
    default_model: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct OperatorCell {
    default_provider: Option<String>,
    default_model: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentCell {
    mode: String,
    provider: Option<String>,
    slug: Option<String>,
    model: Option<String>,
    consent: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionCell {
    slug: String,
    of: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    #[serde(default = "hour")]
    expires_in: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestCell {
    user: Option<String>,
    slug: Option<String>,
    provider: Option<String>,
    category: Option<String>,
    model: Option<String>,
    #[serde(default)]
    exclude: Vec<String>,
    consent: Option<String>,
}

fn one() -> i64 {
    1
}

fn hour() -> i64 {
    3_600
}

#[test]
fn every_row_holds() {
    let catalog = Catalog::builtin().unwrap();
    for row in rows() {
        let (given, catalog) = (Given::of(&row), row.operator.catalog(&catalog));
        let decision = given.decide(&catalog, &given.need);
        given.check(&row, &decision);
        if let Some(walk) = &row.walk {
            assert_eq!(given.walk(&catalog), *walk, "{}: walk", row.rule);
        }
    }
}

#[test]
fn the_table_leaves_nothing_out() {
    let catalog = Catalog::builtin().unwrap();
    let rows = rows();
    let rules: HashSet<_> = rows.iter().map(|row| row.rule.as_str()).collect();
    assert_eq!(rules.len(), rows.len(), "a rule is told twice");
    let mut seen = HashSet::new();
    for row in &rows {
        let given = Given::of(row);
        let decision = given.decide(&catalog, &given.need);
        seen.extend(decision.candidates.iter().map(|c| c.verdict));
    }
    assert_eq!(seen.len(), VERDICTS, "seen: {seen:?}");
}

/// How many verdicts there are. A new one stops the build here, and wants a row.
const VERDICTS: usize = {
    match Verdict::Chosen {
        Verdict::Chosen | Verdict::Eligible | Verdict::Revoked | Verdict::Disabled | Verdict::Expired => {}
        Verdict::Invalid | Verdict::Excluded | Verdict::WrongProvider | Verdict::WrongCategory => {}
        Verdict::ModelNotAllowed | Verdict::Unreadable | Verdict::NoCredential => {}
        Verdict::UnknownProvider | Verdict::NotPinned | Verdict::NoConsent => {}
        Verdict::ProviderNotAllowed | Verdict::PlanRequired | Verdict::Metered | Verdict::Cooling => {}
    }
    19
};

fn rows() -> Vec<Row> {
    FILES.into_iter().flat_map(|file| toml::from_str::<Table>(file).unwrap().row).collect()
}

/// A row's left side.
struct Given {
    names: Vec<String>,
    workspace: WorkspaceView,
    platform: Vec<RouteKey>,
    health: Health,
    need: Need,
}

impl Given {
    fn of(row: &Row) -> Self {
        let names: Vec<_> = row.keys.iter().chain(&row.platform).map(|cell| cell.key.clone()).collect();
        let mut keys: Vec<_> = (1..).zip(row.keys.iter().chain(&row.platform)).map(|(n, cell)| cell.key(n)).collect();
        let platform = keys.split_off(row.keys.len());
        let (agent, session) = (AgentId::parse("agent").unwrap(), SessionId::parse("session").unwrap());
        let need = Need { agent: Some(agent.clone()), session: Some(session.clone()), ..row.request.need(&names) };
        let workspace = WorkspaceView {
            policy: row.policy.policy(),
            byok_excluded: row.policy.byok_excluded,
            keys,
            agents: row.agent.iter().map(|cell| (agent.clone(), cell.order())).collect(),
            sessions: row.session.iter().map(|cell| (session.clone(), cell.pin())).collect(),
        };
        let mut health = Health::default();
        let keys = workspace.keys.iter().chain(&platform);
        row.keys.iter().chain(&row.platform).zip(keys).for_each(|(cell, key)| cell.report(&mut health, key));
        Self { names, workspace, platform, health, need }
    }

    fn decide<'a>(&'a self, catalog: &'a Catalog, need: &Need) -> Decision<'a> {
        let Self { workspace, platform, health, .. } = self;
        decide(Facts { catalog, workspace, platform }, health, need, NOW)
    }

    fn name(&self, key: &RouteKey) -> &str {
        let number: usize = key.id.uuid().as_u128().try_into().unwrap();
        &self.names[number - 1]
    }

    fn check(&self, row: &Row, decision: &Decision<'_>) {
        let rule = &row.rule;
        let outcome = self.outcome(decision);
        match (&row.wins, &row.refused) {
            (Some(expected), None) | (None, Some(expected)) => assert_eq!(outcome, *expected, "{rule}"),
            _ => panic!("{rule}: one of wins and refused"),
        }
        assert_eq!(decision.outcome.is_ok(), row.wins.is_some(), "{rule}");
        if let Ok(choice) = &decision.outcome {
            assert_eq!(choice.source, self.source(choice.key), "{rule}: source");
            assert_eq!(choice.fallback.map(screaming), row.fallback, "{rule}: fallback");
        }
        let choice = decision.outcome.as_ref().ok();
        expect(rule, "directive", &row.directive, || decision.directive.map_or("NONE".to_owned(), screaming));
        expect(rule, "consent", &row.consent, || decision.consent.as_str().to_owned());
        expect(rule, "verdicts", &row.verdicts, || self.verdicts(decision));
        expect(rule, "model", &row.model, || choice.and_then(|c| c.model.clone()).unwrap_or_default());
        expect(rule, "remaining", &row.remaining, || choice.map_or(0, |c| c.remaining));
    }

    fn outcome(&self, decision: &Decision<'_>) -> String {
        match &decision.outcome {
            Ok(choice) => self.name(choice.key).to_owned(),
            Err(refusal) => refusal.fault(NOW).reason.as_str().to_owned(),
        }
    }

    fn source(&self, key: &RouteKey) -> Source {
        match (self.platform.contains(key), &key.user) {
            (true, _) => Source::Platform,
            (false, Some(_)) => Source::Personal,
            (false, None) => Source::Workspace,
        }
    }

    fn verdicts(&self, decision: &Decision<'_>) -> String {
        let cells = decision.candidates.iter().map(|c| format!("{} {}", self.name(c.key), screaming(c.verdict)));
        cells.collect::<Vec<_>>().join(", ")
    }

    fn walk(&self, catalog: &Catalog) -> Vec<String> {
        let mut need = self.need.clone();
        let mut steps = Vec::new();
        // one step more than there are keys: a decision that ignores what is excluded would go on for ever
        for _ in 0..=self.names.len() {
            let decision = self.decide(catalog, &need);
            steps.push(self.outcome(&decision));
            match &decision.outcome {
                Ok(choice) => need.exclude.push(choice.key.id),
                Err(_) => break,
            }
        }
        steps
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(rule: &str, what: &str, expected: &Option<T>, actual: impl FnOnce() -> T) {
    if let Some(expected) = expected {
        assert_eq!(actual(), *expected, "{rule}: {what}");
    }
}

/// `OwnKeysStruckOut` as `OWN_KEYS_STRUCK_OUT`.
fn screaming(variant: impl std::fmt::Debug) -> String {
    let mut text = String::new();
    for c in format!("{variant:?}").chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_uppercase());
    }
    text
}

impl KeyCell {
    fn key(&self, number: u8) -> RouteKey {
        RouteKey {
            user: self.of.as_deref().map(user),
            priority: self.priority,
            allowed_models: self.allowed_models.iter().map(|m| model(m)).collect(),
            state: self.state.as_deref().map_or(KeyState::Active, |s| KeyState::parse(s).unwrap()),
            create_time: NOW - time::Duration::days(self.age),
            expire_time: self.expires_in.map(|s| NOW + time::Duration::seconds(s)),
            last_test: None,
            credential: match self.credential.as_deref() {
                None => CredentialState::Ready,
                Some("unreadable") => CredentialState::Unreadable,
                Some("missing") => CredentialState::Missing,
                Some(other) => panic!("{}: credential {other}", self.key),
            },
            ..key(number, self.slug.as_ref().unwrap_or(&self.key), &self.provider)
        }
    }
}

impl KeyCell {
    fn report(&self, health: &mut Health, key: &RouteKey) {
        let Some(outcome) = self.reported.as_deref().map(|o| Outcome::parse(&o.to_lowercase()).unwrap()) else {
            return;
        };
        let at = NOW - time::Duration::seconds(10);
        let reset = self.reset_in.map(|s| NOW + time::Duration::seconds(s));
        let model = self.reported_for.as_deref().map(model);
        let (id, secret_version, model) = (key.id, key.secret_version, model.as_ref());
        health.report(
            &Report { key: id, secret_version, model, resolved: at, outcome, reset, is_shared: false },
            at,
            0.0,
        );
        if self.probed {
            assert!(health.claim(key, None, NOW - time::Duration::seconds(2)), "{}: probed", self.key);
        }
    }
}

impl OperatorCell {
    fn catalog(&self, builtin: &Catalog) -> Catalog {
        let line = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} = \"{value}\"\n"));
        let lines = [line("provider", &self.default_provider), line("model", &self.default_model)];
        builtin.with_overrides(&format!("[defaults]\n{}", lines.into_iter().flatten().collect::<String>())).unwrap()
    }
}

impl PolicyCell {
    fn policy(&self) -> Policy {
        Policy {
            consent: self.consent.as_deref().map(consent).unwrap_or_default(),
            default_mode: self.mode.as_deref().map(|m| DefaultMode::parse(m).unwrap()).unwrap_or_default(),
            allowed_providers: self.allowed_providers.iter().map(|p| provider(p)).collect(),
            default_provider: self.default_provider.as_deref().map(provider),
            default_model: self.default_model.as_deref().map(model),
            ..Policy::default()
        }
    }
}

impl AgentCell {
    fn order(&self) -> AgentOrder {
        AgentOrder {
            mode: AgentMode::parse(&self.mode).unwrap(),
            provider: self.provider.as_deref().map(provider),
            slug: self.slug.as_deref().map(|s| KeySlug::parse(s).unwrap()),
            model: self.model.as_deref().map(model),
            consent: self.consent.as_deref().map(consent),
        }
    }
}

impl SessionCell {
    fn pin(&self) -> SessionPin {
        SessionPin {
            slug: KeySlug::parse(&self.slug).unwrap(),
            user: self.of.as_deref().map(user),
            provider: self.provider.as_deref().map(provider),
            model: self.model.as_deref().map(model),
            expire_time: NOW + time::Duration::seconds(self.expires_in),
        }
    }
}

impl RequestCell {
    fn need(&self, names: &[String]) -> Need {
        let id = |name: &String| {
            let position = names.iter().position(|n| n == name).unwrap();
            KeyId::new(uuid::Uuid::from_u128(position as u128 + 1))
        };
        Need {
            user: self.user.as_deref().map(user),
            slug: self.slug.as_deref().map(|s| KeySlug::parse(s).unwrap()),
            provider: self.provider.as_deref().map(provider),
            category: self.category.as_deref().map(|c| Category::parse(c).unwrap()),
            model: self.model.as_deref().map(model),
            exclude: self.exclude.iter().map(id).collect(),
            consent: self.consent.as_deref().map(consent),
            ..Need::default()
        }
    }
}

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn provider(id: &str) -> ProviderId {
    ProviderId::parse(id).unwrap()
}

fn model(id: &str) -> ModelId {
    ModelId::parse(id).unwrap()
}

fn consent(name: &str) -> Consent {
    Consent::parse(name).unwrap()
}
