//! The one decision that the product exists for: which key does this call use?
//!
//! A pure function. `ResolveKey` and `ExplainRoute` both run it; time is an argument.

mod explain;
mod filter;
mod judge;
mod pinned;

use time::OffsetDateTime;

use crate::catalog::{Catalog, Category};
use crate::health::{Health, Standing};
use crate::ids::{ModelId, UserId};
use crate::route::{
    AgentOrder, Candidate, Choice, Decision, Directive, Facts, Fallback, Need, Refusal, RouteKey, Source, Verdict,
    WorkspaceView,
};
use crate::workspace::{AgentMode, Consent, DefaultMode, Policy};

pub use explain::{Change, changes};
use filter::Filter;
use judge::{Judge, is_for_the_need};
use pinned::{Pin, pinned};

/// Decides which key a call uses.
///
/// Directives in order: the request's slug and the session's binding (exact: that key or an error), the agent's order, the
/// workspace's default mode. What none of them names is filled from the next. Unpinned candidates are the key that the
/// agent's order prefers, the user's personal keys, then the workspace's, by priority and age; the platform's keys follow as
/// far as the tightest consent allows. A key that cools is passed over, unless it is pinned.
#[must_use]
pub fn decide<'a>(facts: Facts<'a>, health: &Health, need: &Need, now: OffsetDateTime) -> Decision<'a> {
    let workspace = facts.workspace;
    let order = order(workspace, need);
    let consent = consent(workspace, need);
    if let Some(pin) = Pin::of(workspace, need, now) {
        return pinned(facts, health, &pin, need, consent, now);
    }
    let judge = Judge::of(facts, health, need, consent, now);
    if judge.filter.is_open() {
        return refused(None, consent, Refusal::NeedUnspecified, Vec::new());
    }
    let directive = match order {
        Some(order) if order.mode == AgentMode::Auto && judge.is_metered => Directive::WorkspaceMetered,
        Some(_) => Directive::AgentRoute,
        None if judge.is_metered => Directive::WorkspaceMetered,
        None if need.provider.is_some() || need.model.is_some() || need.category.is_some() => Directive::Request,
        None if has_defaults(&workspace.policy) => Directive::WorkspaceDefault,
        None => Directive::PlatformDefault,
    };
    let mut own = own_candidates(workspace, need.user.as_ref());
    put_first(&mut own, order);
    unpinned(judge, directive, own, facts.platform)
}

fn has_defaults(policy: &Policy) -> bool {
    policy.default_provider.is_some() || policy.default_model.is_some()
}

/// The standing order of the calling agent.
fn order<'a>(workspace: &'a WorkspaceView, need: &Need) -> Option<&'a AgentOrder> {
    need.agent.as_ref().and_then(|agent| workspace.agents.get(agent))
}

/// The tightest consent of workspace, agent's order and request.
fn consent(workspace: &WorkspaceView, need: &Need) -> Consent {
    let tightening = [need.consent, order(workspace, need).and_then(|order| order.consent)];
    tightening.into_iter().flatten().fold(workspace.policy.consent, Consent::min)
}

/// Whether own keys are not to be used.
fn is_metered(workspace: &WorkspaceView, need: &Need) -> bool {
    match order(workspace, need).map(|order| order.mode) {
        Some(AgentMode::Metered) => true,
        Some(AgentMode::Byok) => false,
        Some(AgentMode::Auto) | None => workspace.policy.default_mode == DefaultMode::Metered,
    }
}

/// The workspace key that an agent's order names comes first.
fn put_first(own: &mut [Candidate<'_>], order: Option<&AgentOrder>) {
    let Some(slug) = order.and_then(|order| order.slug.as_ref()) else { return };
    let preferred =
        |c: &Candidate<'_>| c.source == Source::Workspace && c.key.slug == *slug && !c.key.state.is_revoked();
    own.sort_by_key(|candidate| !preferred(candidate)); // the others stay in their order
}

fn unpinned<'a>(
    mut judge: Judge<'_>,
    directive: Directive,
    own: Vec<Candidate<'a>>,
    platform: &'a [RouteKey],
) -> Decision<'a> {
    let mut candidates = own;
    candidates.iter_mut().for_each(|candidate| judge.judge(candidate));
    let own_keys = candidates.iter().filter(|c| is_for_the_need(c.verdict)).count();
    judge.open_platform(own_keys);
    let fallback = match own_keys {
        _ if judge.is_metered => Fallback::Metered,
        0 => Fallback::NoOwnKey,
        _ => Fallback::OwnKeysStruckOut,
    };
    for mut candidate in ordered(platform.iter().map(|key| (key, Source::Platform))) {
        judge.judge(&mut candidate);
        candidates.push(candidate);
    }
    let (directive, consent) = (Some(directive), judge.consent);
    let Some(winner) = candidates.iter_mut().find(|c| c.verdict == Verdict::Eligible) else {
        return refused(directive, consent, none_left(&candidates), candidates);
    };
    winner.verdict = Verdict::Chosen;
    let Candidate { key, source, standing, .. } = *winner;
    let choice = Choice {
        key,
        source,
        fallback: (source == Source::Platform).then_some(fallback),
        model: judge.model_for(key).map(str::to_owned),
        remaining: candidates.iter().filter(|c| c.verdict == Verdict::Eligible).count(),
        is_probe: standing == Standing::HalfOpen,
    };
    Decision { directive, consent, outcome: Ok(choice), candidates }
}

/// Why nobody wins: what cools comes back by itself.
fn none_left(candidates: &[Candidate<'_>]) -> Refusal {
    let cooling = candidates.iter().filter(|c| c.verdict == Verdict::Cooling);
    let ends = cooling.filter_map(|c| match c.standing {
        Standing::Cooling(cooling) => Some(cooling.until),
        _ => None,
    });
    ends.min().map_or(Refusal::NoEligibleKey, Refusal::AllCooling)
}

/// The model of the answer: the named one, else the provider's default for the category (its first, if none is named),
/// else, where the key may not be used for that, the first model that it may be used for.
fn model_for<'a>(
    catalog: &'a Catalog,
    key: &'a RouteKey,
    named: Option<&'a ModelId>,
    category: Option<Category>,
) -> Option<&'a str> {
    if let Some(model) = named {
        return Some(model.as_str());
    }
    let provider = catalog.provider(key.provider.as_str())?;
    let category = category.or_else(|| provider.categories.first().copied())?;
    let may_use =
        |model: &&str| key.allowed_models.is_empty() || key.allowed_models.iter().any(|m| m.as_str() == *model);
    let default = provider.default_model(category).filter(may_use);
    default.or_else(|| key.allowed_models.first().map(ModelId::as_str))
}

/// The user's personal keys, then the workspace's. Other users' keys are not looked at.
fn own_candidates<'a>(workspace: &'a WorkspaceView, user: Option<&UserId>) -> Vec<Candidate<'a>> {
    ordered(workspace.keys.iter().filter_map(|key| match &key.user {
        None => Some((key, Source::Workspace)),
        owner if owner.as_ref() == user => Some((key, Source::Personal)),
        Some(_) => None,
    }))
}

/// Personal before workspace, then by priority, the oldest first; ids make the order total.
fn ordered<'a>(keys: impl Iterator<Item = (&'a RouteKey, Source)>) -> Vec<Candidate<'a>> {
    let mut candidates: Vec<_> = keys
        .map(|(key, source)| Candidate { key, source, verdict: Verdict::Eligible, standing: Standing::Ready })
        .collect();
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
pub(crate) mod tests;
