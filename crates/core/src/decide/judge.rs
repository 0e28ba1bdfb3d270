//! What stands in a key's way: single keys are judged one by one, all by the same rules.

use time::OffsetDateTime;

use super::{Filter, is_metered, model_for, order};
use crate::catalog::{Catalog, Category, Provider};
use crate::health::Health;
use crate::ids::ModelId;
use crate::key::KeyState;
use crate::route::{Candidate, CredentialState, Facts, Need, RouteKey, Source, Verdict, WorkspaceView};
use crate::workspace::Consent;

/// Judges the keys of an unpinned request.
pub(super) struct Judge<'r> {
    facts: Facts<'r>,
    health: &'r Health,
    need: &'r Need,
    pub(super) filter: Filter<'r>,
    pub(super) consent: Consent,
    /// Own keys are not to be used.
    pub(super) is_metered: bool,
    is_platform_open: bool,
    now: OffsetDateTime,
}

type Check = fn(&Judge<'_>, &Candidate<'_>) -> Option<Verdict>;

/// Each in its turn: the first that finds something says the verdict.
const CHECKS: [Check; 14] = [
    |judge, candidate| judge.filter.misses(candidate.key, judge.categories(candidate.key)),
    |_, candidate| candidate.key.state.is_revoked().then_some(Verdict::Revoked),
    |judge, candidate| unknown(judge.facts.catalog, candidate.key),
    |judge, candidate| provider_refused(judge.facts.workspace, candidate.key),
    |judge, candidate| plan_refused(judge.facts.workspace, candidate),
    |judge, candidate| model_refused(candidate.key, judge.filter.model),
    |_, candidate| (candidate.key.state == KeyState::Disabled).then_some(Verdict::Disabled),
    |judge, candidate| has_expired(candidate.key, judge.now).then_some(Verdict::Expired),
    |_, candidate| (candidate.key.state == KeyState::Invalid).then_some(Verdict::Invalid),
    |_, candidate| credential_refused(candidate.key),
    |judge, candidate| judge.need.exclude.contains(&candidate.key.id).then_some(Verdict::Excluded),
    |judge, candidate| (judge.is_metered && candidate.source != Source::Platform).then_some(Verdict::Metered),
    |judge, candidate| (!judge.is_platform_open && candidate.source == Source::Platform).then_some(Verdict::NoConsent),
    |_, candidate| candidate.standing.is_cooling().then_some(Verdict::Cooling),
];

impl<'r> Judge<'r> {
    pub(super) fn of(
        facts: Facts<'r>,
        health: &'r Health,
        need: &'r Need,
        consent: Consent,
        now: OffsetDateTime,
    ) -> Self {
        let workspace = facts.workspace;
        let filter = Filter::of(facts.catalog, need, order(workspace, need), &workspace.policy);
        let is_metered = is_metered(workspace, need);
        Self { facts, health, need, filter, consent, is_metered, is_platform_open: false, now }
    }

    /// Lets platform keys in as far as the consent goes, where there are so many own keys for the need.
    pub(super) fn open_platform(&mut self, own_keys: usize) {
        self.is_platform_open = match self.consent {
            Consent::Never => false,
            Consent::NoKey => own_keys == 0,
            Consent::Any => true,
        };
    }

    pub(super) fn judge(&self, candidate: &mut Candidate<'_>) {
        candidate.standing = self.health.standing(candidate.key, self.model_for(candidate.key), self.now);
        let first = CHECKS.iter().find_map(|check| check(self, candidate));
        candidate.verdict = first.unwrap_or(Verdict::Eligible);
    }

    /// All that stands in the way of a key that has been judged.
    pub(super) fn obstacles(&self, candidate: &Candidate<'_>) -> Vec<Verdict> {
        CHECKS.iter().filter_map(|check| check(self, candidate)).collect()
    }

    pub(super) fn model_for<'k>(&'k self, key: &'k RouteKey) -> Option<&'k str> {
        model_for(self.facts.catalog, key, self.filter.model, self.filter.category)
    }

    fn categories(&self, key: &RouteKey) -> &'r [Category] {
        let provider = self.facts.catalog.provider(key.provider.as_str());
        provider.map(|provider| &*provider.categories).unwrap_or_default()
    }
}

/// Whether a key counts as an own key for the need: all that pass the filter but revoked ones, even those that cannot be
/// used now or for this model.
pub(super) fn is_for_the_need(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Chosen
        | Verdict::Eligible
        | Verdict::Disabled
        | Verdict::Expired
        | Verdict::Invalid
        | Verdict::Excluded
        | Verdict::ProviderNotAllowed
        | Verdict::PlanRequired
        | Verdict::ModelNotAllowed
        | Verdict::Unreadable
        | Verdict::NoCredential
        | Verdict::UnknownProvider
        | Verdict::Metered
        | Verdict::Cooling => true,
        Verdict::Revoked
        | Verdict::WrongProvider
        | Verdict::WrongCategory
        | Verdict::NotPinned
        | Verdict::NoConsent => false,
    }
}

/// A key whose provider this catalog does not know, or whose destination it cannot tell.
pub(super) fn unknown(catalog: &Catalog, key: &RouteKey) -> Option<Verdict> {
    let provider = catalog.provider(key.provider.as_str());
    provider.is_none_or(|p| leads_nowhere(p, key)).then_some(Verdict::UnknownProvider)
}

/// Whether this catalog cannot tell where a key's calls go, though the vault's could: a catalog that lags behind. Handing
/// the key out all the same might send it to another host than its own.
fn leads_nowhere(provider: &Provider, key: &RouteKey) -> bool {
    let known = provider.effective_base_url(key.base_url.as_deref(), key.location.as_deref());
    known.is_none() && (key.base_url.is_some() || provider.base_url.required || provider.base_url.default.is_some())
}

/// The workspace may not use the key's provider.
pub(super) fn provider_refused(workspace: &WorkspaceView, key: &RouteKey) -> Option<Verdict> {
    (!workspace.policy.allows(&key.provider)).then_some(Verdict::ProviderNotAllowed)
}

/// The workspace's plan does not include own keys.
pub(super) fn plan_refused(workspace: &WorkspaceView, candidate: &Candidate<'_>) -> Option<Verdict> {
    (workspace.byok_excluded && candidate.source != Source::Platform).then_some(Verdict::PlanRequired)
}

pub(super) fn has_expired(key: &RouteKey, now: OffsetDateTime) -> bool {
    key.expire_time.is_some_and(|at| at <= now)
}

/// There is nothing to hand out.
pub(super) fn credential_refused(key: &RouteKey) -> Option<Verdict> {
    match key.credential {
        CredentialState::Ready => None,
        CredentialState::Unreadable => Some(Verdict::Unreadable),
        CredentialState::Missing => Some(Verdict::NoCredential),
    }
}

pub(super) fn model_refused(key: &RouteKey, model: Option<&ModelId>) -> Option<Verdict> {
    let model = model?;
    (!key.allowed_models.is_empty() && !key.allowed_models.contains(model)).then_some(Verdict::ModelNotAllowed)
}
