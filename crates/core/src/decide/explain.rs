//! What would change a decision: which keys would rather win, and all that stands in the way of each.

use time::OffsetDateTime;

use super::judge::{Judge, is_for_the_need};
use super::pinned::{self, Pin};
use super::{Directive, decide};
use crate::health::{Health, Standing};
use crate::ids::ProviderId;
use crate::route::{Candidate, Decision, Facts, Need, RouteKey, Source, Verdict};

/// How many changes an explanation names, at most.
const MOST: usize = 20;
/// How many other providers it tries.
const MOST_TRIED: usize = 5;

/// What would make another key win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// Which key.
    pub key: &'a RouteKey,
    /// Whose it is.
    pub source: Source,
    /// All that stands in its way. Once all of it is gone, the key wins.
    pub obstacles: Vec<Verdict>,
    /// When that goes by itself, if it does.
    pub until: Option<OffsetDateTime>,
    /// What to do, for people.
    pub advice: String,
}

/// What would change a decision that was made from these facts at this time; the most preferred keys first.
#[must_use]
pub fn changes<'a>(
    facts: Facts<'a>,
    health: &Health,
    need: &Need,
    now: OffsetDateTime,
    decision: &Decision<'a>,
) -> Vec<Change<'a>> {
    let preferred = decision.candidates.iter().take_while(|candidate| candidate.verdict != Verdict::Chosen);
    let all = preferred.zip(obstacles(facts, health, need, now, decision));
    let ends = |candidate: &Candidate<'_>, obstacle| advice(obstacle, decision.directive, candidate.source).is_some();
    let may_go = all.filter(|(candidate, obstacles)| obstacles.iter().all(|obstacle| ends(candidate, *obstacle)));
    let mut changes: Vec<Change<'a>> = Vec::new();
    for (candidate, obstacles) in may_go {
        // what lets a more preferred key in as well is told of that one alone
        if changes.len() < MOST && !changes.iter().any(|earlier| earlier.comes_with(candidate.key, &obstacles)) {
            changes.push(change(candidate, obstacles, decision.directive));
        }
    }
    let has_own = decision.outcome.as_ref().is_ok_and(|choice| choice.source != Source::Platform);
    if !has_own && !is_pinned(decision.directive) {
        let room = MOST - changes.len();
        let if_asked = |verdict, provider: &_| if_asked_for(verdict, provider, facts, health, need, now);
        changes.extend(elsewhere(decision, if_asked).into_iter().take(room));
    }
    changes
}

fn is_pinned(directive: Option<Directive>) -> bool {
    matches!(directive, Some(Directive::Pinned | Directive::SessionBinding))
}

/// Own keys of other providers than the call is for, each of which would win if the request named its provider. That is
/// what whoever asks why a key is not used has often overlooked.
fn elsewhere<'a>(
    decision: &Decision<'a>,
    if_asked_for: impl Fn(Verdict, &ProviderId) -> Option<Change<'a>>,
) -> Vec<Change<'a>> {
    let is_elsewhere = |verdict| matches!(verdict, Verdict::WrongProvider | Verdict::WrongCategory);
    let mut tried: Vec<&ProviderId> = Vec::new();
    let mut changes = Vec::new();
    let own = decision.candidates.iter().filter(|c| c.source != Source::Platform && is_elsewhere(c.verdict));
    for candidate in own {
        if tried.len() < MOST_TRIED && !tried.contains(&&candidate.key.provider) {
            tried.push(&candidate.key.provider);
            changes.extend(if_asked_for(candidate.verdict, &candidate.key.provider));
        }
    }
    changes
}

/// The own key that wins if the request names this provider, and leaves the rest to it.
fn if_asked_for<'a>(
    obstacle: Verdict,
    provider: &ProviderId,
    facts: Facts<'a>,
    health: &Health,
    need: &Need,
    now: OffsetDateTime,
) -> Option<Change<'a>> {
    let asked = Need { provider: Some(provider.clone()), model: None, category: None, ..need.clone() };
    let choice = decide(facts, health, &asked, now).outcome.ok().filter(|choice| choice.source != Source::Platform)?;
    let advice = format!(
        "name its provider in the request ({provider}): the request, the agent's route or a default names another"
    );
    Some(Change { key: choice.key, source: choice.source, obstacles: vec![obstacle], until: None, advice })
}

impl Change<'_> {
    /// Whether what makes way for another key makes way for this one too.
    fn comes_with(&self, other: &RouteKey, obstacles: &[Verdict]) -> bool {
        self.obstacles.iter().all(|obstacle| {
            let of_all = match obstacle {
                Verdict::Metered | Verdict::PlanRequired | Verdict::NoConsent => true,
                Verdict::ProviderNotAllowed => self.key.provider == other.provider,
                _ => false,
            };
            of_all && obstacles.contains(obstacle)
        })
    }
}

/// All that stands in the way of each candidate.
fn obstacles(
    facts: Facts<'_>,
    health: &Health,
    need: &Need,
    now: OffsetDateTime,
    decision: &Decision<'_>,
) -> Vec<Vec<Verdict>> {
    let candidates = &decision.candidates;
    if let Some(pin) = Pin::of(facts.workspace, need, now) {
        let of_pinned = |candidate| pinned::obstacles(facts, &pin, need, candidate, now);
        let is_meant = |candidate: &Candidate<'_>| candidate.verdict != Verdict::NotPinned;
        return candidates.iter().map(|c| if is_meant(c) { of_pinned(c) } else { vec![Verdict::NotPinned] }).collect();
    }
    let mut judge = Judge::of(facts, health, need, decision.consent, now);
    let own = candidates.iter().filter(|c| c.source != Source::Platform);
    judge.open_platform(own.filter(|c| is_for_the_need(c.verdict)).count());
    candidates.iter().map(|candidate| judge.obstacles(candidate)).collect()
}

fn change<'a>(candidate: &Candidate<'a>, obstacles: Vec<Verdict>, directive: Option<Directive>) -> Change<'a> {
    let until = match candidate.standing {
        Standing::Cooling(cooling) if obstacles == [Verdict::Cooling] => Some(cooling.until),
        _ => None,
    };
    let mut advice: Vec<_> =
        obstacles.iter().filter_map(|obstacle| advice(*obstacle, directive, candidate.source)).collect();
    advice.dedup();
    Change { key: candidate.key, source: candidate.source, obstacles, until, advice: advice.join("; ") }
}

/// What to do about it; none where nothing helps, or where another key was asked for.
fn advice(obstacle: Verdict, directive: Option<Directive>, source: Source) -> Option<&'static str> {
    Some(match obstacle {
        Verdict::Disabled
        | Verdict::Expired
        | Verdict::Invalid
        | Verdict::ModelNotAllowed
        | Verdict::Unreadable
        | Verdict::NoCredential
            if source == Source::Platform =>
        {
            "ask the operator, whose key it is"
        }
        Verdict::Disabled => "switch it on (UpdateProviderKey, disabled = false)",
        Verdict::Expired => "give it a later expire_time (UpdateProviderKey)",
        Verdict::Invalid => "test it again (TestProviderKey) or give it another secret (ReplaceProviderKeySecret)",
        Verdict::Excluded => "leave it out of exclude_key_ids",
        Verdict::ProviderNotAllowed => "add its provider to the workspace's allowed_providers (UpdateWorkspace)",
        Verdict::PlanRequired => "move the workspace to a plan that includes own keys (UpdateWorkspace, plan)",
        Verdict::ModelNotAllowed => "add the model to its allowed_models (UpdateProviderKey), or name another model",
        Verdict::Unreadable => "give it its secret again (ReplaceProviderKeySecret)",
        Verdict::NoCredential => "see keyvault's log for why its provider issues no access token",
        Verdict::Metered if directive == Some(Directive::AgentRoute) => {
            "let the agent use own keys (SetAgentRoute, mode = AUTO or BYOK)"
        }
        Verdict::Metered => {
            "let calls use own keys (UpdateWorkspace, default_mode = AUTO), or pin one, or give the agent a BYOK route"
        }
        Verdict::NoConsent => {
            "loosen fallback_consent, of which the tightest of workspace, agent route and request counts"
        }
        Verdict::Cooling if source == Source::Platform => "wait until its cooldown ends",
        Verdict::Cooling => "wait until its cooldown ends, or pin it",
        Verdict::WrongProvider | Verdict::WrongCategory if is_pinned(directive) => {
            "name the provider and category of the key that is pinned, or neither"
        }
        Verdict::Chosen
        | Verdict::Eligible
        | Verdict::Revoked
        | Verdict::WrongProvider
        | Verdict::WrongCategory
        | Verdict::UnknownProvider
        | Verdict::NotPinned => return None,
    })
}
