//! What of worlds and decisions the properties speak of.

use super::world::World;
use super::*;
use crate::route::SessionPin;

pub(super) fn kind(decision: &Decision<'_>) -> &'static str {
    let pinned = is_pinned(decision);
    match &decision.outcome {
        Ok(choice) => match (pinned, choice.source, choice.fallback) {
            (_, Source::Platform, Some(Fallback::Metered)) => "metered",
            _ if decision.directive == Some(Directive::SessionBinding) => "bound",
            (true, Source::Personal, _) => "pinned personal",
            (true, ..) => "pinned workspace",
            (false, Source::Personal, _) => "personal",
            (false, Source::Workspace, _) => "workspace",
            (false, Source::Platform, Some(Fallback::NoOwnKey)) => "platform without own keys",
            (false, Source::Platform, _) => "platform past own keys",
        },
        Err(Refusal::Pinned(_)) => "pin refused",
        Err(Refusal::PinnedNotFound) => "pin not found",
        Err(Refusal::NeedUnspecified) => "unspecified",
        Err(Refusal::AllCooling(_)) => "all cooling",
        Err(Refusal::NoEligibleKey) => {
            let barred = decision.candidates.iter().any(|c| c.verdict == Verdict::NoConsent);
            if barred && decision.consent == Consent::NoKey { "barred by own keys" } else { "none eligible" }
        }
    }
}

pub(super) fn is_pinned(decision: &Decision<'_>) -> bool {
    matches!(decision.directive, Some(Directive::Pinned | Directive::SessionBinding))
}

impl World {
    /// The binding that rules the call, if one does.
    pub(super) fn binding(&self) -> Option<&SessionPin> {
        let bound = self.workspace.sessions.values().next().filter(|bound| bound.expire_time > NOW);
        bound.filter(|_| self.need.slug.is_none())
    }

    pub(super) fn order(&self) -> Option<&AgentOrder> {
        self.workspace.agents.values().next()
    }

    /// Whose personal keys may be used.
    pub(super) fn person(&self) -> Option<&UserId> {
        let bound = self.binding().and_then(|bound| bound.user.as_ref());
        self.need.user.as_ref().or(bound)
    }

    /// Whether the agent's order puts a key first.
    pub(super) fn prefers(&self, key: &RouteKey) -> bool {
        let is_own = self.workspace.keys.contains(key) && key.user.is_none() && !key.state.is_revoked();
        is_own && self.order().is_some_and(|order| order.slug.as_ref() == Some(&key.slug))
    }

    pub(super) fn consenting(&self, policy: Consent, request: Option<Consent>) -> Self {
        let mut world = self.clone();
        world.workspace.policy.consent = policy;
        world.need.consent = request;
        world
    }

    /// This world once what stands in a key's way is gone.
    pub(super) fn without(&self, change: &Change<'_>) -> Self {
        let mut world = self.clone();
        let id = change.key.id;
        for obstacle in &change.obstacles {
            let keys = world.workspace.keys.iter_mut().chain(&mut world.platform);
            let key = keys.into_iter().find(|key| key.id == id).unwrap();
            match obstacle {
                Verdict::Disabled | Verdict::Invalid => key.state = KeyState::Active,
                Verdict::Expired => key.expire_time = None,
                Verdict::Unreadable | Verdict::NoCredential => key.credential = CredentialState::Ready,
                Verdict::Excluded => world.need.exclude.retain(|tried| *tried != id),
                Verdict::ProviderNotAllowed => {
                    world.workspace.policy.allowed_providers.push(key.provider.clone());
                }
                Verdict::PlanRequired => world.workspace.byok_excluded = false,
                Verdict::ModelNotAllowed => key.allowed_models.clear(),
                Verdict::Metered => {
                    world.workspace.policy.default_mode = DefaultMode::Auto;
                    world.workspace.agents.values_mut().for_each(|order| order.mode = AgentMode::Auto);
                }
                Verdict::NoConsent => {
                    world.workspace.policy.consent = Consent::Any;
                    world.need.consent = None;
                    world.workspace.agents.values_mut().for_each(|order| order.consent = None);
                }
                Verdict::Cooling => world.health.forget(id),
                Verdict::WrongProvider | Verdict::WrongCategory if !is_pinned(&self.decide()) => {
                    (world.need.provider, world.need.model, world.need.category) =
                        (Some(change.key.provider.clone()), None, None);
                }
                Verdict::WrongProvider => {
                    world.need.provider = None;
                    world.workspace.sessions.values_mut().for_each(|bound| bound.provider = None);
                }
                Verdict::WrongCategory => world.need.category = None,
                other => panic!("{other:?} is nothing that could go"),
            }
        }
        world
    }

    /// Every key usable that is not revoked.
    pub(super) fn mended(&self) -> Self {
        let mut world = self.clone();
        for key in world.workspace.keys.iter_mut().filter(|key| !key.state.is_revoked()) {
            (key.state, key.expire_time, key.credential) = (KeyState::Active, None, CredentialState::Ready);
        }
        world
    }
}

pub(super) fn winner(decision: &Decision<'_>) -> Option<crate::ids::KeyId> {
    decision.outcome.as_ref().ok().map(|choice| choice.key.id)
}

/// Its key and model, if the winner is not the platform's.
pub(super) fn own_winner(decision: &Decision<'_>) -> Option<(crate::ids::KeyId, Option<String>)> {
    let choice = decision.outcome.as_ref().ok().filter(|choice| choice.source != Source::Platform)?;
    Some((choice.key.id, choice.model.clone()))
}

pub(super) fn remaining(decision: &Decision<'_>) -> usize {
    decision.outcome.as_ref().map_or(0, |choice| choice.remaining)
}

/// The key that a pin's slug means.
pub(super) fn meant(decision: &Decision<'_>) -> Option<crate::ids::KeyId> {
    decision.candidates.iter().find(|c| c.verdict != Verdict::NotPinned).map(|c| c.key.id)
}

pub(super) fn eligible(decision: &Decision<'_>) -> Vec<crate::ids::KeyId> {
    let usable = |c: &&Candidate<'_>| matches!(c.verdict, Verdict::Chosen | Verdict::Eligible);
    decision.candidates.iter().filter(usable).map(|c| c.key.id).collect()
}

pub(super) fn reachable_platform(decision: &Decision<'_>) -> Vec<crate::ids::KeyId> {
    let usable = |c: &&Candidate<'_>| matches!(c.verdict, Verdict::Chosen | Verdict::Eligible);
    let reachable = decision.candidates.iter().filter(|c| c.source == Source::Platform).filter(usable);
    reachable.map(|c| c.key.id).collect()
}

/// Own keys that are of the provider, category and model that are needed, but for revoked ones.
pub(super) fn own_keys_for_the_need(decision: &Decision<'_>) -> usize {
    decision.candidates.iter().filter(|c| is_own_for_the_need(c)).count()
}

pub(super) fn is_own_for_the_need(candidate: &Candidate<'_>) -> bool {
    candidate.source != Source::Platform
        && !candidate.key.state.is_revoked()
        && !matches!(candidate.verdict, Verdict::WrongProvider | Verdict::WrongCategory)
}

pub(super) fn last_that_bars_the_platform(decision: &Decision<'_>, loser: &Candidate<'_>) -> bool {
    decision.consent == Consent::NoKey
        && matches!(decision.outcome, Err(Refusal::NoEligibleKey | Refusal::AllCooling(_)))
        && is_own_for_the_need(loser)
        && own_keys_for_the_need(decision) == 1
}
