//! What a decision is made from and what it says: the words of [`crate::decide::decide`].

use std::collections::HashMap;

use time::OffsetDateTime;

use crate::catalog::{AuthType, Catalog, Category};
use crate::fault::Fault;
use crate::health::Standing;
use crate::ids::{AgentId, KeyId, KeySlug, ModelId, ProviderId, SessionId, Tenant, UserId};
use crate::key::{KeyState, TestResult};
use crate::reason::Reason;
use crate::workspace::{AgentMode, Consent, Policy};

/// What routing knows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteKey {
    /// Which key.
    pub id: KeyId,
    /// Set for a personal key.
    pub user: Option<UserId>,
    /// Its provider.
    pub provider: ProviderId,
    /// How its secret authenticates.
    pub auth_type: AuthType,
    /// What callers pin it by.
    pub slug: KeySlug,
    /// For people.
    pub label: String,
    /// For people.
    pub masked: String,
    /// 0 is tried first.
    pub priority: i32,
    /// Its own destination.
    pub base_url: Option<String>,
    /// Its cloud region.
    pub location: Option<String>,
    /// The only models it may be used for; empty is all.
    pub allowed_models: Vec<ModelId>,
    /// Where it is in its life.
    pub state: KeyState,
    /// Bound into its seal.
    pub secret_version: u32,
    /// Breaks ties of priority.
    pub create_time: OffsetDateTime,
    /// When it stops being used.
    pub expire_time: Option<OffsetDateTime>,
    /// What its newest live test showed, and when.
    pub last_test: Option<(TestResult, OffsetDateTime)>,
    /// Whether routing holds a credential for it.
    pub credential: CredentialState,
    /// When that credential ends, for a short-lived one.
    pub credential_expire_time: Option<OffsetDateTime>,
}

/// Whether routing holds a key's credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialState {
    /// It does, or the key needs none.
    Ready,
    /// The stored secret does not open under the vault's keyring.
    Unreadable,
    /// The vault has none to hand out: a service account's short-lived token, say, that could not be had.
    Missing,
}

/// What a decision needs of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Whose policy and keys.
    pub tenant: Tenant,
    /// The agent whose standing order.
    pub agent: Option<AgentId>,
    /// The session whose binding.
    pub session: Option<SessionId>,
}

impl From<Tenant> for Wanted {
    fn from(tenant: Tenant) -> Self {
        Self { tenant, agent: None, session: None }
    }
}

/// A workspace's policy, standing orders and keys at one moment. A workspace without a record is the default.
#[derive(Debug, Clone, Default)]
pub struct WorkspaceView {
    /// Its policy.
    pub policy: Policy,
    /// Its plan does not include own keys.
    pub byok_excluded: bool,
    /// All its keys, personal and revoked ones too, in any order.
    pub keys: Vec<RouteKey>,
    /// What its agents' calls use.
    pub agents: HashMap<AgentId, AgentOrder>,
    /// What its sessions are bound to, expired bindings perhaps among them.
    pub sessions: HashMap<SessionId, SessionPin>,
}

/// An agent's standing order: it prefers, and does not pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOrder {
    /// Whose keys its calls use.
    pub mode: AgentMode,
    /// The provider of calls that name neither provider nor model.
    pub provider: Option<ProviderId>,
    /// The workspace key that comes first.
    pub slug: Option<KeySlug>,
    /// The model of calls that name none.
    pub model: Option<ModelId>,
    /// Tightens the workspace's consent.
    pub consent: Option<Consent>,
}

/// What a session is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPin {
    /// The key.
    pub slug: KeySlug,
    /// Whose personal keys the slug may name, before the workspace's.
    pub user: Option<UserId>,
    /// Must be the key's.
    pub provider: Option<ProviderId>,
    /// The model of calls that name none.
    pub model: Option<ModelId>,
    /// When it ends.
    pub expire_time: OffsetDateTime,
}

/// All that a decision is made from, but how keys do, what the call needs, and the time.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The providers.
    pub catalog: &'a Catalog,
    /// The call's workspace.
    pub workspace: &'a WorkspaceView,
    /// The operator's keys.
    pub platform: &'a [RouteKey],
}

/// What a call needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// The person the call is made for.
    pub user: Option<UserId>,
    /// The agent that calls.
    pub agent: Option<AgentId>,
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// Pins one key.
    pub slug: Option<KeySlug>,
    /// A filter, and with a pin a safety check.
    pub provider: Option<ProviderId>,
    /// A filter, where neither provider nor model is named, and with a pin a safety check.
    pub category: Option<Category>,
    /// Implies the providers that serve it, where none is named.
    pub model: Option<ModelId>,
    /// Keys that this call already tried.
    pub exclude: Vec<KeyId>,
    /// Tightens the workspace's consent.
    pub consent: Option<Consent>,
}

/// Whose key it is, and so who pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The user's own.
    Personal,
    /// The workspace's.
    Workspace,
    /// The operator's.
    Platform,
}

/// Why the platform was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// There is no own key for the need.
    NoOwnKey,
    /// None of the own keys for the need can be used now.
    OwnKeysStruckOut,
    /// It was not fallen to: the agent's order or the workspace's default mode is to use the platform.
    Metered,
}

/// What ruled a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// The request's slug.
    Pinned,
    /// The binding of the request's session.
    SessionBinding,
    /// The standing order of the request's agent.
    AgentRoute,
    /// The workspace's default mode: to use the platform.
    WorkspaceMetered,
    /// What the request named.
    Request,
    /// The workspace's default provider or model.
    WorkspaceDefault,
    /// The operator's default provider or model.
    PlatformDefault,
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The winner.
    Chosen,
    /// The next fallback.
    Eligible,
    /// Revoked.
    Revoked,
    /// Switched off.
    Disabled,
    /// Past its expire time.
    Expired,
    /// Rejected by its provider.
    Invalid,
    /// Excluded by the request.
    Excluded,
    /// Of a provider that was not asked for.
    WrongProvider,
    /// Of a provider that does not serve the category.
    WrongCategory,
    /// Of a provider that the workspace may not use.
    ProviderNotAllowed,
    /// An own key of a workspace whose plan does not include own keys.
    PlanRequired,
    /// The model is not among its allowed ones.
    ModelNotAllowed,
    /// Does not open under the vault's keyring.
    Unreadable,
    /// The vault has no credential of it to hand out.
    NoCredential,
    /// Its provider is not in the catalog, or the catalog cannot tell where the key's calls go.
    UnknownProvider,
    /// The request pins another key.
    NotPinned,
    /// A platform key without consent.
    NoConsent,
    /// An own key, where the order is to use the platform.
    Metered,
    /// It cools after what was reported of it, or a call is trying it out.
    Cooling,
}

/// One key that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Which key.
    pub key: &'a RouteKey,
    /// Whose it is.
    pub source: Source,
    /// What became of it.
    pub verdict: Verdict,
    /// Whether it cools, for the model that it would be used for.
    pub standing: Standing,
}

/// The key that won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice<'a> {
    /// Which key.
    pub key: &'a RouteKey,
    /// Whose it is.
    pub source: Source,
    /// Why the platform was reached; none for an own key.
    pub fallback: Option<Fallback>,
    /// The model to call, where one is known.
    pub model: Option<String>,
    /// How many further keys an excluded retry could still get.
    pub remaining: usize,
    /// Its cooldown has run out: whoever gets it tries it out for the others.
    pub is_probe: bool,
}

/// Why no key is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Nothing narrows the request.
    NeedUnspecified,
    /// No own key has the pinned slug.
    PinnedNotFound,
    /// The pinned key cannot be used; the verdict says why.
    Pinned(Verdict),
    /// No key is left but ones that cool, the first of them until then.
    AllCooling(OffsetDateTime),
    /// No key is left, and no consent reaches further.
    NoEligibleKey,
}

impl Refusal {
    /// As the caller hears it.
    #[must_use]
    pub fn fault(self, now: OffsetDateTime) -> Fault {
        let (reason, message) = match self {
            Self::NeedUnspecified => (
                Reason::NeedUnspecified,
                "name a key_slug, provider, category or model: nothing says which key is needed",
            ),
            Self::PinnedNotFound => (Reason::KeyNotFound, "no key of this workspace or user has the slug"),
            Self::Pinned(verdict) => pinned(verdict),
            Self::AllCooling(_) => (
                Reason::AllKeysCooling,
                "every key that would do for this call cools; ExplainRoute shows each and until when",
            ),
            Self::NoEligibleKey => {
                (Reason::NoEligibleKey, "no key can be used for this call; ExplainRoute shows every candidate and why")
            }
        };
        let fault = Fault::new(reason, message);
        match self {
            Self::PinnedNotFound => fault.resource("claviger.dev/ProviderKey", ""),
            Self::AllCooling(until) => fault.retry_after((until - now).try_into().unwrap_or_default()),
            _ => fault,
        }
    }
}

fn pinned(verdict: Verdict) -> (Reason, &'static str) {
    match verdict {
        Verdict::Revoked => (Reason::KeyRevoked, "the pinned key is revoked"),
        Verdict::Disabled => (Reason::KeyDisabled, "the pinned key is disabled"),
        Verdict::Expired => (Reason::KeyExpired, "the pinned key has expired"),
        Verdict::Invalid => (Reason::KeyInvalid, "the pinned key was rejected by its provider"),
        Verdict::Unreadable => (Reason::KeyUnreadable, "the pinned key does not open under the vault's keyring"),
        Verdict::NoCredential => {
            (Reason::CredentialUnavailable, "the vault has no credential of the pinned key to hand out")
        }
        Verdict::WrongProvider | Verdict::WrongCategory => {
            (Reason::ProviderMismatch, "the pinned key is of another provider or category than the request names")
        }
        Verdict::UnknownProvider => {
            (Reason::ProviderMismatch, "routing's catalog does not know the pinned key's provider or destination")
        }
        Verdict::ProviderNotAllowed => {
            (Reason::ProviderNotAllowed, "the workspace may not use the pinned key's provider")
        }
        Verdict::PlanRequired => (Reason::PlanRequired, "the workspace's plan does not include own keys"),
        Verdict::ModelNotAllowed => (Reason::ModelNotAllowed, "the pinned key may not be used for this model"),
        Verdict::Excluded => (Reason::NoEligibleKey, "the request excludes the key that it pins"),
        Verdict::Chosen
        | Verdict::Eligible
        | Verdict::NotPinned
        | Verdict::NoConsent
        | Verdict::Metered
        | Verdict::Cooling => (Reason::NoEligibleKey, "the pinned key cannot be used"),
    }
}

/// A decision, with all that it looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'a> {
    /// What ruled it; none when nothing did.
    pub directive: Option<Directive>,
    /// The tightest consent.
    pub consent: Consent,
    /// The winner, or why there is none.
    pub outcome: Result<Choice<'a>, Refusal>,
    /// Every key that was looked at, in the order of preference.
    pub candidates: Vec<Candidate<'a>>,
}
