//! The one decision that the product exists for: which key does this call use?
//!
//! A pure function. `ResolveKey` and `ExplainRoute` both run it; time is an argument.

use time::OffsetDateTime;

use crate::catalog::{Catalog, Category, Provider};
use crate::ids::{ModelId, ProviderId};
use crate::key::KeyState;
use crate::route::{
    Candidate, Choice, CredentialState, Decision, Directive, Fallback, Need, Refusal, RouteKey, Source, Verdict,
    WorkspaceView,
};
use crate::workspace::{Consent, Policy};

/// Decides which key a call uses.
///
/// Directives in order: the request's slug (exact: that key or an error), what the request names, the workspace's
/// defaults. Unpinned candidates are the user's personal keys, then the workspace's, by priority and age; the platform's
/// keys follow as far as the tightest consent allows.
#[must_use]
pub fn decide<'a>(
    catalog: &Catalog,
    workspace: &'a WorkspaceView,
    platform: &'a [RouteKey],
    need: &Need,
    now: OffsetDateTime,
) -> Decision<'a> {
    let consent = need.consent.unwrap_or_default().min(workspace.policy.consent);
    let own = own_candidates(workspace, need);
    if need.slug.is_some() {
        return pinned(catalog, workspace, own, need, consent, now);
    }
    let (directive, filter) = Filter::of(catalog, need, &workspace.policy);
    if filter.is_open() {
        return refused(None, consent, Refusal::NeedUnspecified, Vec::new());
    }
    let judge = Judge { catalog, workspace, filter, need, now };
    unpinned(&judge, directive, own, platform, consent)
}

/// What narrows an unpinned request: the provider, else the model, else the category.
struct Filter<'r> {
    provider: Option<&'r ProviderId>,
    model: Option<&'r ModelId>,
    implied: Vec<&'r ProviderId>,
    category: Option<Category>,
}

impl<'r> Filter<'r> {
    fn of(catalog: &'r Catalog, need: &'r Need, policy: &'r Policy) -> (Directive, Self) {
        let named = need.provider.is_some() || need.model.is_some() || need.category.is_some();
        let (directive, provider, model) = if named {
            (Directive::Request, need.provider.as_ref(), need.model.as_ref())
        } else {
            (Directive::WorkspaceDefault, policy.default_provider.as_ref(), policy.default_model.as_ref())
        };
        let implied = match (provider, model) {
            (None, Some(model)) => catalog.providers_for_model(model.as_str()),
            _ => Vec::new(),
        };
        (directive, Self { provider, model, implied, category: need.category })
    }

    fn is_open(&self) -> bool {
        self.provider.is_none() && self.model.is_none() && self.category.is_none()
    }

    /// Why a key is not for this need at all, if so.
    fn misses(&self, key: &RouteKey, categories: &[Category]) -> Option<Verdict> {
        match (self.provider, self.model, self.category) {
            (Some(provider), _, _) => (key.provider != *provider).then_some(Verdict::WrongProvider),
            (None, Some(model), _) => (!self.implied.contains(&&key.provider) && !key.allowed_models.contains(model))
                .then_some(Verdict::WrongProvider),
            (None, None, Some(category)) => (!categories.contains(&category)).then_some(Verdict::WrongCategory),
            (None, None, None) => None,
        }
    }
}

/// Judges single keys, all by the same rules.
struct Judge<'r> {
    catalog: &'r Catalog,
    workspace: &'r WorkspaceView,
    filter: Filter<'r>,
    need: &'r Need,
    now: OffsetDateTime,
}

impl Judge<'_> {
    fn verdict(&self, candidate: &Candidate<'_>) -> Verdict {
        let key = candidate.key;
        let provider = self.catalog.provider(key.provider.as_str());
        let categories = provider.map(|provider| &*provider.categories).unwrap_or_default();
        self.filter
            .misses(key, categories)
            .or_else(|| provider.is_none_or(|p| leads_nowhere(p, key)).then_some(Verdict::UnknownProvider))
            .or_else(|| policy_refused(self.workspace, candidate))
            .or_else(|| model_refused(key, self.filter.model))
            .or_else(|| state_refused(key, self.now))
            .or_else(|| self.need.exclude.contains(&key.id).then_some(Verdict::Excluded))
            .unwrap_or(Verdict::Eligible)
    }

    fn model_for(&self, key: &RouteKey) -> Option<String> {
        model_for(self.catalog, key, self.filter.model, self.filter.category)
    }
}

fn unpinned<'a>(
    judge: &Judge<'_>,
    directive: Directive,
    mut own: Vec<Candidate<'a>>,
    platform: &'a [RouteKey],
    consent: Consent,
) -> Decision<'a> {
    for candidate in &mut own {
        candidate.verdict = judge.verdict(candidate);
    }
    let own_keys = own.iter().filter(|c| is_for_the_need(c.verdict)).count();
    let allowed = match consent {
        Consent::Never => false,
        Consent::NoKey => own_keys == 0,
        Consent::Any => true,
    };
    let fallback = if own_keys == 0 { Fallback::NoOwnKey } else { Fallback::OwnKeysStruckOut };
    let mut candidates = own;
    for mut candidate in ordered(platform.iter().map(|key| (key, Source::Platform))) {
        candidate.verdict = match judge.verdict(&candidate) {
            Verdict::Eligible if !allowed => Verdict::NoConsent,
            verdict => verdict,
        };
        candidates.push(candidate);
    }
    let Some(winner) = candidates.iter_mut().find(|c| c.verdict == Verdict::Eligible) else {
        return refused(Some(directive), consent, Refusal::NoEligibleKey, candidates);
    };
    winner.verdict = Verdict::Chosen;
    let winner = *winner;
    let choice = Choice {
        key: winner.key,
        source: winner.source,
        fallback: (winner.source == Source::Platform).then_some(fallback),
        model: judge.model_for(winner.key),
        remaining: candidates.iter().filter(|c| c.verdict == Verdict::Eligible).count(),
    };
    Decision { directive: Some(directive), consent, outcome: Ok(choice), candidates }
}

/// Whether a key counts as an own key for the need: all that pass the filter but revoked ones, even those that cannot be
/// used now or for this model.
fn is_for_the_need(verdict: Verdict) -> bool {
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
        | Verdict::UnknownProvider => true,
        Verdict::Revoked
        | Verdict::WrongProvider
        | Verdict::WrongCategory
        | Verdict::NotPinned
        | Verdict::NoConsent => false,
    }
}

/// A pin is exact: that key, or the reason why not. It never slides to another key, owner or the platform.
fn pinned<'a>(
    catalog: &Catalog,
    workspace: &WorkspaceView,
    mut candidates: Vec<Candidate<'a>>,
    need: &Need,
    consent: Consent,
    now: OffsetDateTime,
) -> Decision<'a> {
    let directive = Some(Directive::Pinned);
    for candidate in &mut candidates {
        candidate.verdict = Verdict::NotPinned;
    }
    let Some(target) = pin_target(&candidates, need) else {
        return refused(directive, consent, Refusal::PinnedNotFound, candidates);
    };
    let verdict = pin_verdict(catalog, workspace, &candidates[target], need, now);
    candidates[target].verdict = verdict;
    if verdict != Verdict::Chosen {
        return refused(directive, consent, Refusal::Pinned(verdict), candidates);
    }
    let Candidate { key, source, .. } = candidates[target];
    let model = model_for(catalog, key, need.model.as_ref(), need.category);
    let choice = Choice { key, source, fallback: None, model, remaining: 0 };
    Decision { directive, consent, outcome: Ok(choice), candidates }
}

/// The key that a slug names: the user's own before the workspace's, and in either the unrevoked one before revoked ones.
fn pin_target(candidates: &[Candidate<'_>], need: &Need) -> Option<usize> {
    let slug = need.slug.as_ref()?;
    candidates
        .iter()
        .enumerate()
        .filter(|(_, c)| c.key.slug == *slug)
        .min_by_key(|(_, c)| (c.source, c.key.state.is_revoked(), std::cmp::Reverse(c.key.create_time)))
        .map(|(index, _)| index)
}

fn pin_verdict(
    catalog: &Catalog,
    workspace: &WorkspaceView,
    candidate: &Candidate<'_>,
    need: &Need,
    now: OffsetDateTime,
) -> Verdict {
    let key = candidate.key;
    if key.state.is_revoked() {
        return Verdict::Revoked;
    }
    let Some(provider) = catalog.provider(key.provider.as_str()).filter(|p| !leads_nowhere(p, key)) else {
        return Verdict::UnknownProvider;
    };
    if need.provider.as_ref().is_some_and(|p| *p != key.provider) {
        return Verdict::WrongProvider;
    }
    if need.category.is_some_and(|c| !provider.categories.contains(&c)) {
        return Verdict::WrongCategory;
    }
    policy_refused(workspace, candidate)
        .or_else(|| state_refused(key, now))
        .or_else(|| model_refused(key, need.model.as_ref()))
        .or_else(|| need.exclude.contains(&key.id).then_some(Verdict::Excluded))
        .unwrap_or(Verdict::Chosen)
}

/// Whether this catalog cannot tell where a key's calls go, though the vault's could: a catalog that lags behind. Handing
/// the key out all the same might send it to another host than its own.
fn leads_nowhere(provider: &Provider, key: &RouteKey) -> bool {
    let known = provider.effective_base_url(key.base_url.as_deref(), key.location.as_deref());
    known.is_none() && (key.base_url.is_some() || provider.base_url.required || provider.base_url.default.is_some())
}

/// What the workspace's policy and plan rule out, whatever the key itself is like.
fn policy_refused(workspace: &WorkspaceView, candidate: &Candidate<'_>) -> Option<Verdict> {
    if !workspace.policy.allows(&candidate.key.provider) {
        return Some(Verdict::ProviderNotAllowed);
    }
    (workspace.byok_excluded && candidate.source != Source::Platform).then_some(Verdict::PlanRequired)
}

fn state_refused(key: &RouteKey, now: OffsetDateTime) -> Option<Verdict> {
    match key.state {
        KeyState::Revoked | KeyState::Purged => Some(Verdict::Revoked),
        KeyState::Disabled => Some(Verdict::Disabled),
        _ if key.expire_time.is_some_and(|at| at <= now) => Some(Verdict::Expired),
        KeyState::Invalid => Some(Verdict::Invalid),
        KeyState::Active => match key.credential {
            CredentialState::Ready => None,
            CredentialState::Unreadable => Some(Verdict::Unreadable),
            CredentialState::Missing => Some(Verdict::NoCredential),
        },
    }
}

fn model_refused(key: &RouteKey, model: Option<&ModelId>) -> Option<Verdict> {
    let model = model?;
    (!key.allowed_models.is_empty() && !key.allowed_models.contains(model)).then_some(Verdict::ModelNotAllowed)
}

/// The model of the answer: the named one, else the provider's default for the category (its first, if none is named),
/// else, where the key may not be used for that, the first model that it may be used for.
fn model_for(catalog: &Catalog, key: &RouteKey, named: Option<&ModelId>, category: Option<Category>) -> Option<String> {
    if let Some(model) = named {
        return Some(model.to_string());
    }
    let provider = catalog.provider(key.provider.as_str())?;
    let category = category.or_else(|| provider.categories.first().copied())?;
    let may_use =
        |model: &&str| key.allowed_models.is_empty() || key.allowed_models.iter().any(|m| m.as_str() == *model);
    let default = provider.default_model(category).filter(may_use);
    default.or_else(|| key.allowed_models.first().map(ModelId::as_str)).map(str::to_owned)
}

/// The user's personal keys, then the workspace's. Other users' keys are not looked at.
fn own_candidates<'a>(workspace: &'a WorkspaceView, need: &Need) -> Vec<Candidate<'a>> {
    ordered(workspace.keys.iter().filter_map(|key| match &key.user {
        None => Some((key, Source::Workspace)),
        user if *user == need.user => Some((key, Source::Personal)),
        Some(_) => None,
    }))
}

/// Personal before workspace, then by priority, the oldest first; ids make the order total.
fn ordered<'a>(keys: impl Iterator<Item = (&'a RouteKey, Source)>) -> Vec<Candidate<'a>> {
    let mut candidates: Vec<_> =
        keys.map(|(key, source)| Candidate { key, source, verdict: Verdict::Eligible }).collect();
    candidates.sort_by_key(|c| (c.source, c.key.priority, c.key.create_time, c.key.id));
    candidates
}

fn refused(
    directive: Option<Directive>,
    consent: Consent,
    refusal: Refusal,
    candidates: Vec<Candidate<'_>>,
) -> Decision<'_> {
    Decision { directive, consent, outcome: Err(refusal), candidates }
}

#[cfg(test)]
mod tests;
