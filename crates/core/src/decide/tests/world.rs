//! Random workspaces, platforms and requests. Their words are few, so that most requests meet most rules.

use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::catalog::Outcome;
use crate::ids::{AgentId, SessionId, UserId};
use crate::route::SessionPin;
use crate::workspace::Policy;

/// Of one category mostly, so that a category meets several; one is not in the catalog.
const PROVIDERS: [&str; 9] =
    ["anthropic", "anthropic", "anthropic", "anthropic", "google", "vertex", "azure", "dalle", "gone-ai"];
/// Implied by one provider, by two, and by none.
const MODELS: [&str; 4] = ["claude-opus-5", "claude-sonnet-5", "gemini-2.5-pro", "our-gpt"];
const SLUGS: [&str; 2] = ["main", "spare"];
const USERS: [&str; 3] = ["ann", "ann", "bob"];
const CONSENTS: [Consent; 5] = [Consent::Never, Consent::NoKey, Consent::NoKey, Consent::Any, Consent::Any];

/// All that a decision is made from, but the catalog and the time.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) workspace: WorkspaceView,
    pub(super) platform: Vec<RouteKey>,
    pub(super) health: Health,
    pub(super) need: Need,
}

impl World {
    pub(super) fn decide(&self) -> Decision<'_> {
        self.decide_for(&self.need)
    }

    pub(super) fn decide_for(&self, need: &Need) -> Decision<'_> {
        decide(self.facts(), &self.health, need, NOW)
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        Facts { catalog: catalog(), workspace: &self.workspace, platform: &self.platform }
    }

    /// This world after some of its keys are gone.
    pub(super) fn retain(&self, mut keep: impl FnMut(&RouteKey) -> bool) -> Self {
        let mut world = self.clone();
        world.workspace.keys.retain(&mut keep);
        world.platform.retain(keep);
        world
    }
}

pub(super) fn catalog() -> &'static Catalog {
    static CATALOG: std::sync::LazyLock<Catalog> = std::sync::LazyLock::new(|| Catalog::builtin().unwrap());
    &CATALOG
}

/// Any world.
pub(super) fn world() -> impl Strategy<Value = World> {
    let orders = (option::weighted(0.4, agent_order()), option::weighted(0.2, session_pin()));
    let tried = any::<(u16, u16, u16)>();
    let keys = (vec(route_key(), 0..10), vec(route_key(), 0..4), vec(condition(), 14));
    (keys, policy(), need(), tried, weighted(0.1), orders).prop_map(
        |((mut keys, mut platform, conditions), policy, mut need, tried, byok_excluded, (order, pin))| {
            let tried = tried.0 & tried.1 & tried.2; // an eighth of all keys
            for (number, key) in (1..).zip(keys.iter_mut().chain(&mut platform)) {
                key.id = KeyId::new(uuid::Uuid::from_u128(number));
            }
            platform.iter_mut().for_each(|key| key.user = None);
            let ids = keys.iter().chain(&platform).map(|key| key.id);
            need.exclude = ids.zip(0..).filter(|(_, bit)| tried >> bit & 1 == 1).map(|(id, _)| id).collect();
            let agents = order.into_iter().map(|order| (agent(), order)).collect();
            let sessions = pin.into_iter().map(|pin| (session(), pin)).collect();
            let mut health = Health::default();
            for (key, condition) in keys.iter().chain(&platform).zip(conditions) {
                condition.bring(&mut health, key);
            }
            let workspace = WorkspaceView { policy, byok_excluded, keys, agents, sessions };
            World { workspace, platform, health, need }
        },
    )
}

/// How a key does.
#[derive(Debug, Clone)]
enum Condition {
    Well,
    /// It cools: for a model, or for all.
    Cooling(Option<ModelId>),
    /// Its cooldown has run out.
    HalfOpen(Option<ModelId>),
    /// A call tries it out.
    Probed,
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        6 => Just(Condition::Well),
        1 => option::of(model()).prop_map(Condition::Cooling),
        1 => option::of(model()).prop_map(Condition::HalfOpen),
        1 => Just(Condition::Probed),
    ]
}

impl Condition {
    fn bring(self, health: &mut Health, key: &RouteKey) {
        let ago = match self {
            Self::Well => return,
            Self::Cooling(_) => time::Duration::seconds(1),
            Self::HalfOpen(_) | Self::Probed => time::Duration::minutes(1),
        };
        let model = match &self {
            Self::Cooling(model) | Self::HalfOpen(model) => model.as_ref(),
            _ => None,
        };
        let at = NOW - ago;
        health.report(&limited(key, model, at), at, 0.0);
        if matches!(self, Self::Probed) {
            assert!(health.claim(key, None, NOW - time::Duration::seconds(1)));
        }
    }
}

/// That the provider limits a key.
pub(super) fn limited<'a>(key: &RouteKey, model: Option<&'a ModelId>, at: OffsetDateTime) -> Report<'a> {
    let (key, secret_version) = (key.id, key.secret_version);
    Report { key, secret_version, model, resolved: at, outcome: Outcome::RateLimited, reset: None, is_shared: false }
}

/// The one agent that calls.
fn agent() -> AgentId {
    AgentId::parse("agent").unwrap()
}

/// The one session.
fn session() -> SessionId {
    SessionId::parse("session").unwrap()
}

fn agent_order() -> impl Strategy<Value = AgentOrder> {
    let mode = select(&[AgentMode::Auto, AgentMode::Metered, AgentMode::Byok, AgentMode::Byok]);
    (mode, option::of(provider()), slug(), option::weighted(0.3, model()), option::weighted(0.2, select(&CONSENTS)))
        .prop_map(|(mode, provider, slug, model, consent)| AgentOrder {
            mode,
            provider,
            slug: (mode == AgentMode::Byok).then_some(slug),
            model,
            consent,
        })
}

fn session_pin() -> impl Strategy<Value = SessionPin> {
    let ends = select(&[-1_i64, 0, 1, 1, 1]);
    (slug(), option::of(select(&USERS)), option::weighted(0.2, provider()), option::weighted(0.2, model()), ends)
        .prop_map(|(slug, user, provider, model, ends)| SessionPin {
            slug,
            user: user.map(|id| UserId::parse(id).unwrap()),
            provider,
            model,
            expire_time: NOW + time::Duration::nanoseconds(ends),
        })
}

fn slug() -> impl Strategy<Value = KeySlug> {
    select(&SLUGS).prop_map(|slug| KeySlug::parse(slug).unwrap())
}

/// Any world whose request pins a key.
pub(super) fn pinning_world() -> impl Strategy<Value = World> {
    (world(), select(&SLUGS)).prop_map(|(mut world, slug)| {
        world.need.slug = Some(KeySlug::parse(slug).unwrap());
        world
    })
}

/// Its id is for the caller to set.
fn route_key() -> impl Strategy<Value = RouteKey> {
    let owner = option::of(select(&USERS));
    let models = prop_oneof![3 => Just(Vec::new()), 1 => vec(model(), 1..3)];
    (owner, select(&PROVIDERS), select(&SLUGS), 0..3_i32, 1..4_i64, models, life()).prop_map(
        |(owner, provider, slug, priority, age, allowed_models, (state, expire_time, credential))| RouteKey {
            user: owner.map(|id| UserId::parse(id).unwrap()),
            priority,
            allowed_models,
            state,
            create_time: NOW - time::Duration::days(age),
            expire_time,
            last_test: None,
            credential,
            ..key(0, slug, provider)
        },
    )
}

/// Half of all keys can be used.
fn life() -> impl Strategy<Value = (KeyState, Option<OffsetDateTime>, CredentialState)> {
    use CredentialState::{Missing, Ready, Unreadable};
    use KeyState::{Active, Disabled, Invalid, Purged, Revoked};
    let state = select(&[Active, Active, Active, Active, Active, Active, Disabled, Invalid, Revoked, Purged]);
    let expire_time = select(&[None, None, None, None, Some(-1), Some(0), Some(1), Some(1)]);
    let credential = select(&[Ready, Ready, Ready, Ready, Ready, Ready, Unreadable, Missing]);
    let at = |nanoseconds| NOW + time::Duration::nanoseconds(nanoseconds);
    (state, expire_time, credential).prop_map(move |(state, expire, credential)| (state, expire.map(at), credential))
}

fn policy() -> impl Strategy<Value = Policy> {
    let allowed = prop_oneof![3 => Just(Vec::new()), 1 => vec(provider(), 1..4)];
    let mode = select(&[DefaultMode::Auto, DefaultMode::Auto, DefaultMode::Auto, DefaultMode::Metered]);
    (select(&CONSENTS), allowed, option::of(provider()), option::of(model()), mode).prop_map(
        |(consent, allowed_providers, default_provider, default_model, default_mode)| Policy {
            consent,
            default_mode,
            allowed_providers,
            default_provider,
            default_model,
            ..Policy::default()
        },
    )
}

/// What it excludes is for the caller to set.
fn need() -> impl Strategy<Value = Need> {
    (
        option::weighted(0.7, select(&USERS)),
        option::weighted(0.3, select(&SLUGS)),
        option::weighted(0.25, provider()),
        option::weighted(0.6, select(&[Category::Llm, Category::Llm, Category::Llm, Category::Image])),
        option::weighted(0.2, model()),
        option::weighted(0.3, select(&CONSENTS)),
    )
        .prop_map(|(user, slug, provider, category, model, consent)| Need {
            user: user.map(|id| UserId::parse(id).unwrap()),
            agent: Some(agent()),
            session: Some(session()),
            slug: slug.map(|slug| KeySlug::parse(slug).unwrap()),
            provider,
            category,
            model,
            exclude: Vec::new(),
            consent,
        })
}

fn provider() -> impl Strategy<Value = ProviderId> {
    select(&PROVIDERS).prop_map(|id| ProviderId::parse(id).unwrap())
}

fn model() -> impl Strategy<Value = ModelId> {
    select(&MODELS).prop_map(|id| ModelId::parse(id).unwrap())
}
