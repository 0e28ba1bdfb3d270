//! Requests that are pinned to one key: by their own slug, or by their session's binding.

use time::OffsetDateTime;

use super::judge::{credential_refused, has_expired, model_refused, plan_refused, provider_refused, unknown};
use super::{model_for, own_candidates, refused};
use crate::health::Health;
use crate::ids::{KeySlug, ModelId, ProviderId, UserId};
use crate::key::KeyState;
use crate::route::{Candidate, Choice, Decision, Directive, Facts, Need, Refusal, RouteKey, Verdict, WorkspaceView};
use crate::workspace::Consent;

/// What pins a request.
pub(super) struct Pin<'r> {
    directive: Directive,
    slug: &'r KeySlug,
    /// Whose personal keys the slug may name, before the workspace's.
    user: Option<&'r UserId>,
    /// The provider that the binding expects.
    provider: Option<&'r ProviderId>,
    model: Option<&'r ModelId>,
    /// It means the key of a person whom this call is not for.
    is_anothers: bool,
}

impl<'r> Pin<'r> {
    /// The request's slug, else the binding of its session. A request's own slug leaves the session's model to the session.
    pub(super) fn of(workspace: &'r WorkspaceView, need: &'r Need, now: OffsetDateTime) -> Option<Self> {
        let (user, model) = (need.user.as_ref(), need.model.as_ref());
        if let Some(slug) = &need.slug {
            return Some(Self { directive: Directive::Pinned, slug, user, provider: None, model, is_anothers: false });
        }
        let bound = workspace.sessions.get(need.session.as_ref()?).filter(|bound| bound.expire_time > now)?;
        // never another person's key, nor one of a person whom the binding does not mean
        let owner = bound.user.as_ref().filter(|bound| user.is_none_or(|user| user == *bound));
        Some(Self {
            directive: Directive::SessionBinding,
            slug: &bound.slug,
            is_anothers: owner.is_none() && bound.user.is_some(),
            user: owner,
            provider: bound.provider.as_ref(),
            model: model.or(bound.model.as_ref()),
        })
    }

    /// The key that the slug names: the user's own before the workspace's, and in either the unrevoked one before revoked
    /// ones.
    fn target(&self, candidates: &[Candidate<'_>]) -> Option<usize> {
        if self.is_anothers {
            return None; // nor the workspace's key of the same slug, which may not be meant
        }
        candidates
            .iter()
            .enumerate()
            .filter(|(_, c)| c.key.slug == *self.slug)
            .min_by_key(|(_, c)| (c.source, c.key.state.is_revoked(), std::cmp::Reverse(c.key.create_time)))
            .map(|(index, _)| index)
    }
}

/// A pin, with all that its key is judged by.
struct Judge<'r> {
    facts: Facts<'r>,
    pin: &'r Pin<'r>,
    need: &'r Need,
    now: OffsetDateTime,
}

type Check = fn(&Judge<'_>, &Candidate<'_>) -> Option<Verdict>;

/// Each in its turn: the first that finds something says the verdict. A pin ignores cooldowns.
const CHECKS: [Check; 12] = [
    |_, candidate| candidate.key.state.is_revoked().then_some(Verdict::Revoked),
    |judge, candidate| unknown(judge.facts.catalog, candidate.key),
    |judge, candidate| judge.is_of_another_provider(candidate.key).then_some(Verdict::WrongProvider),
    |judge, candidate| judge.is_of_another_category(candidate.key).then_some(Verdict::WrongCategory),
    |judge, candidate| provider_refused(judge.facts.workspace, candidate.key),
    |judge, candidate| plan_refused(judge.facts.workspace, candidate),
    |_, candidate| (candidate.key.state == KeyState::Disabled).then_some(Verdict::Disabled),
    |judge, candidate| has_expired(candidate.key, judge.now).then_some(Verdict::Expired),
    |_, candidate| (candidate.key.state == KeyState::Invalid).then_some(Verdict::Invalid),
    |_, candidate| credential_refused(candidate.key),
    |judge, candidate| model_refused(candidate.key, judge.pin.model),
    |judge, candidate| judge.need.exclude.contains(&candidate.key.id).then_some(Verdict::Excluded),
];

impl Judge<'_> {
    fn verdict(&self, candidate: &Candidate<'_>) -> Verdict {
        CHECKS.iter().find_map(|check| check(self, candidate)).unwrap_or(Verdict::Chosen)
    }

    fn is_of_another_provider(&self, key: &RouteKey) -> bool {
        [self.pin.provider, self.need.provider.as_ref()].into_iter().flatten().any(|provider| *provider != key.provider)
    }

    fn is_of_another_category(&self, key: &RouteKey) -> bool {
        let provider = self.facts.catalog.provider(key.provider.as_str());
        let serves = |category| provider.is_some_and(|provider| provider.categories.contains(&category));
        self.need.category.is_some_and(|category| !serves(category))
    }
}

/// A pin is exact: that key, or the reason why not. It never slides to another key, owner or the platform.
pub(super) fn pinned<'a>(
    facts: Facts<'a>,
    health: &Health,
    pin: &Pin<'_>,
    need: &Need,
    consent: Consent,
    now: OffsetDateTime,
) -> Decision<'a> {
    let directive = Some(pin.directive);
    let mut candidates = own_candidates(facts.workspace, pin.user);
    for candidate in &mut candidates {
        candidate.verdict = Verdict::NotPinned;
    }
    let Some(target) = pin.target(&candidates) else {
        return refused(directive, consent, Refusal::PinnedNotFound, candidates);
    };
    let target = &mut candidates[target];
    let (key, source) = (target.key, target.source);
    let model = model_for(facts.catalog, key, pin.model, need.category).map(str::to_owned);
    target.standing = health.standing(key, model.as_deref(), now);
    target.verdict = Judge { facts, pin, need, now }.verdict(target);
    if target.verdict != Verdict::Chosen {
        let refusal = Refusal::Pinned(target.verdict);
        return refused(directive, consent, refusal, candidates);
    }
    let choice = Choice { key, source, fallback: None, model, remaining: 0, is_probe: false };
    Decision { directive, consent, outcome: Ok(choice), candidates }
}

/// All that stands in the way of a pinned key.
pub(super) fn obstacles(
    facts: Facts<'_>,
    pin: &Pin<'_>,
    need: &Need,
    candidate: &Candidate<'_>,
    now: OffsetDateTime,
) -> Vec<Verdict> {
    let judge = Judge { facts, pin, need, now };
    CHECKS.iter().filter_map(|check| check(&judge, candidate)).collect()
}
