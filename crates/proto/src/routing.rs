//! `claviger.routing.v1`: requests become needs, decisions become messages.

mod report;

use claviger_core::catalog::Category;
use claviger_core::decide::Change;
use claviger_core::fault::Fault;
use claviger_core::health::Standing;
use claviger_core::ids::{
    AgentId, KeyId, KeyName, KeySlug, ModelId, Owner, ProviderId, SessionId, Tenant, UserId, WorkspaceId,
};
use claviger_core::position::Position;
use claviger_core::route::{Candidate, Choice, Decision, Directive, Fallback, Need, RouteKey, Source, Verdict};
use time::OffsetDateTime;

use crate::convert::{self, filled, optional, timestamp};
use crate::keyvault_v1 as kv;
use crate::routing_v1 as rt;
use crate::{keyvault, status};

pub use report::{Answer, CallResult, Report, report_message};

/// More than a workspace's keys and a pool's, and as many as fit a request.
const MOST_EXCLUDED: usize = 1_500;

/// A resolve request whose form has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whose call.
    pub workspace: WorkspaceId,
    /// What it needs; its provider is as given, maybe an alias.
    pub need: Need,
    /// A change that the call must see.
    pub after: Option<Position>,
}

impl TryFrom<rt::ResolveKeyRequest> for Ask {
    type Error = Fault;

    fn try_from(request: rt::ResolveKeyRequest) -> Result<Self, Fault> {
        let workspace = keyvault::workspace_name(&request.workspace)
            .map_err(|_| Fault::field("workspace", "must be a resource name of the form workspaces/{workspace}"))?;
        if request.exclude_key_ids.len() > MOST_EXCLUDED {
            return Err(Fault::field("exclude_key_ids", "must name at most 1,500 keys"));
        }
        let exclude = request.exclude_key_ids.iter().map(|id| KeyId::parse(id).map_err(Fault::id("exclude_key_ids")));
        let need = Need {
            user: optional("user", &request.user, UserId::parse)?,
            agent: optional("agent", &request.agent, AgentId::parse)?,
            session: optional("session", &request.session, SessionId::parse)?,
            slug: optional("key_slug", &request.key_slug, KeySlug::parse)?,
            provider: optional("provider", &request.provider, ProviderId::parse)?,
            category: filled(&request.category).map(category).transpose()?,
            model: optional("model", &request.model, ModelId::parse)?,
            exclude: exclude.collect::<Result<_, _>>()?,
            consent: convert::consent_from("fallback_consent", request.fallback_consent)?,
        };
        Ok(Self { workspace, need, after: filled(&request.consistency_token).map(token).transpose()? })
    }
}

fn category(name: &str) -> Result<Category, Fault> {
    Category::parse(name).ok_or_else(|| Fault::field("category", "must be one of llm, image, video, audio, research"))
}

fn token(text: &str) -> Result<Position, Fault> {
    Position::parse(text).ok_or_else(|| Fault::field("consistency_token", "must be a token that the vault returned"))
}

/// Whose key a candidate is, told to people.
#[must_use]
pub fn key_summary(key: &RouteKey, source: Source, workspace: &WorkspaceId) -> rt::KeySummary {
    let tenant = match source {
        Source::Platform => Tenant::Platform,
        Source::Personal | Source::Workspace => Tenant::Workspace(workspace.clone()),
    };
    let name = KeyName { owner: Owner { tenant, user: key.user.clone() }, id: key.id };
    // how the operator labels its keys, and what they look like, is no tenant's business
    let own = |text: &str| if source == Source::Platform { String::new() } else { text.to_owned() };
    rt::KeySummary {
        name: name.to_string(),
        uid: key.id.to_string(),
        key_slug: key.slug.to_string(),
        label: own(&key.label),
        masked_secret: own(&key.masked),
    }
}

/// Who pays.
#[must_use]
pub fn source_message(source: Source) -> rt::Source {
    match source {
        Source::Personal => rt::Source::PersonalKey,
        Source::Workspace => rt::Source::WorkspaceKey,
        Source::Platform => rt::Source::PlatformKey,
    }
}

/// Why the platform was reached.
#[must_use]
pub fn fallback_message(fallback: Option<Fallback>) -> rt::Fallback {
    match fallback {
        None => rt::Fallback::Unspecified,
        Some(Fallback::NoOwnKey) => rt::Fallback::NoOwnKey,
        Some(Fallback::OwnKeysStruckOut) => rt::Fallback::OwnKeysStruckOut,
        Some(Fallback::Metered) => rt::Fallback::Metered,
    }
}

/// A decision that was made now, laid open, with what would change it. `base_url` tells where a key's calls go.
#[must_use]
pub fn explanation(
    decision: &Decision<'_>,
    changes: &[Change<'_>],
    workspace: &WorkspaceId,
    base_url: impl Fn(&RouteKey) -> String,
    now: OffsetDateTime,
) -> rt::ExplainRouteResponse {
    let result = match &decision.outcome {
        Ok(choice) => rt::explain_route_response::Result::Winner(winner(choice, workspace, base_url(choice.key))),
        Err(refusal) => rt::explain_route_response::Result::Refusal(refusal_message(&refusal.fault(now))),
    };
    rt::ExplainRouteResponse {
        directive: directive(decision.directive).into(),
        result: Some(result),
        // which keys the operator once had is no tenant's business
        candidates: decision
            .candidates
            .iter()
            .filter(|c| c.source != Source::Platform || c.verdict != Verdict::Revoked)
            .map(|c| candidate(c, workspace))
            .collect(),
        fallback_consent: convert::consent(decision.consent).into(),
        changes: changes.iter().map(|change| change_message(change, workspace)).collect(),
    }
}

fn winner(choice: &Choice<'_>, workspace: &WorkspaceId, base_url: String) -> rt::Winner {
    rt::Winner {
        key: Some(key_summary(choice.key, choice.source, workspace)),
        source: source_message(choice.source).into(),
        fallback: fallback_message(choice.fallback).into(),
        provider: choice.key.provider.to_string(),
        model: choice.model.clone().unwrap_or_default(),
        base_url,
        remaining_candidates: count(choice.remaining),
    }
}

/// A count of keys as the wire has it.
#[must_use]
pub fn count(keys: usize) -> i32 {
    i32::try_from(keys).unwrap_or(i32::MAX)
}

fn change_message(change: &Change<'_>, workspace: &WorkspaceId) -> rt::Change {
    rt::Change {
        key: Some(key_summary(change.key, change.source, workspace)),
        verdicts: change.obstacles.iter().map(|obstacle| verdict(*obstacle).into()).collect(),
        message: change.advice.clone(),
        until: change.until.map(timestamp),
    }
}

/// A refusal that is part of an answer.
#[must_use]
pub fn refusal_message(fault: &Fault) -> rt::Refusal {
    rt::Refusal {
        code: status::code_name(status::code(fault.reason)).to_owned(),
        reason: fault.reason.as_str().to_owned(),
        message: fault.message.to_string(),
    }
}

fn candidate(candidate: &Candidate<'_>, workspace: &WorkspaceId) -> rt::Candidate {
    let cooling = match candidate.standing {
        Standing::Cooling(cooling) => Some(cooling),
        Standing::Ready | Standing::HalfOpen => None,
    };
    rt::Candidate {
        key: Some(key_summary(candidate.key, candidate.source, workspace)),
        source: source_message(candidate.source).into(),
        provider: candidate.key.provider.to_string(),
        rotation_priority: candidate.key.priority,
        verdict: verdict(candidate.verdict).into(),
        until: cooling.map(|cooling| timestamp(cooling.until)),
        cause: cooling.map_or(kv::Outcome::Unspecified, |cooling| convert::outcome(cooling.cause)).into(),
        probe: candidate.standing == Standing::HalfOpen,
    }
}

fn directive(directive: Option<Directive>) -> rt::Directive {
    match directive {
        None => rt::Directive::Unspecified,
        Some(Directive::Pinned) => rt::Directive::Pinned,
        Some(Directive::SessionBinding) => rt::Directive::SessionBinding,
        Some(Directive::AgentRoute) => rt::Directive::AgentRoute,
        Some(Directive::WorkspaceMetered) => rt::Directive::WorkspaceMetered,
        Some(Directive::Request) => rt::Directive::Request,
        Some(Directive::WorkspaceDefault) => rt::Directive::WorkspaceDefault,
        Some(Directive::PlatformDefault) => rt::Directive::PlatformDefault,
    }
}

fn verdict(verdict: Verdict) -> rt::candidate::Verdict {
    use rt::candidate::Verdict as Wire;
    match verdict {
        Verdict::Chosen => Wire::Chosen,
        Verdict::Eligible => Wire::Eligible,
        Verdict::Revoked => Wire::Revoked,
        Verdict::Disabled => Wire::Disabled,
        Verdict::Expired => Wire::Expired,
        Verdict::Invalid => Wire::Invalid,
        Verdict::Excluded => Wire::Excluded,
        Verdict::WrongProvider => Wire::WrongProvider,
        Verdict::WrongCategory => Wire::WrongCategory,
        Verdict::ModelNotAllowed => Wire::ModelNotAllowed,
        Verdict::Unreadable => Wire::Unreadable,
        Verdict::NoCredential => Wire::NoCredential,
        Verdict::UnknownProvider => Wire::UnknownProvider,
        Verdict::NotPinned => Wire::NotPinned,
        Verdict::NoConsent => Wire::NoConsent,
        Verdict::ProviderNotAllowed => Wire::ProviderNotAllowed,
        Verdict::PlanRequired => Wire::PlanRequired,
        Verdict::Metered => Wire::Metered,
        Verdict::Cooling => Wire::Cooling,
    }
}
