//! Resolving: load, decide, open one record, answer.

use std::sync::Arc;
use std::time::Duration;

use claviger_core::catalog::Catalog;
use claviger_core::decide::{Change, changes, decide};
use claviger_core::fault::Fault;
use claviger_core::ids::{AgentId, ModelId, SessionId, Tenant, UserId};
use claviger_core::journal::{Entry, Use};
use claviger_core::position::Position;
use claviger_core::reason::Reason;
use claviger_core::route::{Choice, Decision, Facts, Need, RouteKey, Source, Wanted};
use claviger_crypto::ResolutionSealer;
use claviger_proto::routing::Ask;
use secrecy::SecretString;
use time::OffsetDateTime;

use crate::feed::{self, Feed, TenantView};
use crate::health::HealthBook;
use crate::journal::Journal;
use crate::ticket;

/// How long a resolution may be used. Asking again costs little and sees every change.
pub const LONGEST_USE: Duration = Duration::from_secs(60);

/// The use-cases of resolving.
#[derive(Debug, Clone)]
pub struct Resolver {
    feed: Feed,
    catalog: Arc<Catalog>,
    health: Arc<HealthBook>,
    journal: Arc<Journal>,
    sealer: Arc<ResolutionSealer>,
    implicit_workspaces: bool,
}

/// All that a decision is made from, as of one moment.
#[derive(Debug)]
pub struct Scene {
    workspace: TenantView,
    platform: TenantView,
}

/// A key that won, ready to be used.
#[derive(Debug)]
pub struct Resolved<'a> {
    /// Names the resolution in reports.
    pub id: String,
    /// The decision's winner.
    pub choice: Choice<'a>,
    /// Where its calls go.
    pub base_url: String,
    /// Its secret; none for a key that has none.
    pub secret: Option<SecretString>,
    /// When to ask again at the latest.
    pub expire_time: OffsetDateTime,
}

impl Resolver {
    /// Over what this process knows. With `implicit_workspaces` a workspace without a record is an empty one.
    #[must_use]
    pub fn new(
        feed: Feed,
        catalog: Arc<Catalog>,
        health: Arc<HealthBook>,
        journal: Arc<Journal>,
        sealer: Arc<ResolutionSealer>,
        implicit_workspaces: bool,
    ) -> Self {
        Self { feed, catalog, health, journal, sealer, implicit_workspaces }
    }

    /// The providers that it knows.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Checks a request against the catalog and loads what its decision needs.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `WORKSPACE_NOT_FOUND`, `WORKSPACE_ALTERED`, `VAULT_UNAVAILABLE`, `VAULT_REWOUND`.
    pub async fn load(&self, ask: &mut Ask) -> Result<Scene, Fault> {
        if let Some(given) = &ask.need.provider {
            let unknown = || Fault::field("provider", "is not in the catalog; Catalog.ListProviders lists what is");
            ask.need.provider = Some(self.catalog.provider(given.as_str()).ok_or_else(unknown)?.id.clone());
        }
        self.check_ids(&ask.need)?;
        let tenant = Tenant::Workspace(ask.workspace.clone());
        let (agent, session) = (ask.need.agent.clone(), ask.need.session.clone());
        let wanted = Wanted { tenant: tenant.clone(), agent, session };
        let (workspace, platform) = tokio::try_join!(self.feed.load(wanted), self.feed.load(Tenant::Platform.into()))?;
        if !workspace.exists && !self.implicit_workspaces {
            return Err(Fault::new(Reason::WorkspaceNotFound, "the workspace has no record")
                .resource("claviger.dev/Workspace", tenant.to_string()));
        }
        if let Some(after) = ask.after {
            check_position(after, workspace.at)?;
        }
        Ok(Scene { workspace, platform })
    }

    /// Ids are put on record: a key that slipped into the wrong field must not be.
    fn check_ids(&self, need: &Need) -> Result<(), Fault> {
        let ids = [
            ("user", need.user.as_ref().map(UserId::as_str)),
            ("agent", need.agent.as_ref().map(AgentId::as_str)),
            ("session", need.session.as_ref().map(SessionId::as_str)),
            ("model", need.model.as_ref().map(ModelId::as_str)),
        ];
        match ids.into_iter().find(|(_, id)| id.is_some_and(|id| self.catalog.resembles_key(id))) {
            Some((field, _)) => Err(Fault::field(field, "looks like a provider's key; nothing of it was kept")),
            None => Ok(()),
        }
    }

    /// Decides which key a call would use, and what would change that.
    #[must_use]
    pub fn explain<'a>(&'a self, scene: &'a Scene, ask: &Ask, now: OffsetDateTime) -> (Decision<'a>, Vec<Change<'a>>) {
        let (facts, health) = (self.facts(scene), self.health.read());
        let decision = decide(facts, &health, &ask.need, now);
        let changes = changes(facts, &health, &ask.need, now, &decision);
        (decision, changes)
    }

    /// Decides which key the call uses, opens that key's secret and no other, and puts the use on record.
    ///
    /// # Errors
    /// The decision's refusal; `VAULT_UNAVAILABLE` when too much waits to be put on record; `INTERNAL` when the key's
    /// record does not open.
    pub fn resolve<'a>(&'a self, scene: &'a Scene, ask: &Ask, now: OffsetDateTime) -> Result<Resolved<'a>, Fault> {
        let choice = self.choose(scene, ask, now)?;
        let (key, is_probe) = (choice.key.id, choice.is_probe);
        self.hand_out(scene, choice, ask, now).inspect_err(|_| {
            if is_probe {
                self.health.release(key, now);
            }
        })
    }

    fn hand_out<'a>(
        &self,
        scene: &'a Scene,
        choice: Choice<'a>,
        ask: &Ask,
        now: OffsetDateTime,
    ) -> Result<Resolved<'a>, Fault> {
        let resolved = self.open(scene, choice, now)?;
        let key = self.feed.resolution_key().ok_or_else(feed::unavailable)?;
        let of = use_of(ask, &resolved.choice, now);
        let (id, _) = ticket::seal(&self.sealer, &key, &of)?;
        self.journal.append(Entry::Resolved(of))?;
        Ok(Resolved { id, ..resolved })
    }

    /// The winner. Where it is to be tried out for the others, this call is the one that does.
    fn choose<'a>(&'a self, scene: &'a Scene, ask: &Ask, now: OffsetDateTime) -> Result<Choice<'a>, Fault> {
        loop {
            let decision = decide(self.facts(scene), &self.health.read(), &ask.need, now);
            let choice = decision.outcome.map_err(|refusal| refusal.fault(now))?;
            // who comes too late decides again, and finds that key struck out
            if !choice.is_probe || self.health.claim(choice.key, choice.model.as_deref(), now) {
                return Ok(choice);
            }
        }
    }

    fn facts<'a>(&'a self, scene: &'a Scene) -> Facts<'a> {
        Facts { catalog: &self.catalog, workspace: &scene.workspace.view, platform: &scene.platform.view.keys }
    }

    fn open<'a>(&self, scene: &'a Scene, choice: Choice<'a>, now: OffsetDateTime) -> Result<Resolved<'a>, Fault> {
        let holder = match choice.source {
            Source::Platform => &scene.platform,
            Source::Personal | Source::Workspace => &scene.workspace,
        };
        let secret = holder.expose(choice.key)?;
        let ends = [choice.key.expire_time, choice.key.credential_expire_time];
        let expire_time = ends.into_iter().flatten().fold(now + LONGEST_USE, OffsetDateTime::min);
        Ok(Resolved { id: String::new(), base_url: self.base_url(choice.key), choice, secret, expire_time })
    }

    /// Where a key's calls go; empty where neither key nor catalog knows.
    #[must_use]
    pub fn base_url(&self, key: &RouteKey) -> String {
        self.catalog
            .provider(key.provider.as_str())
            .and_then(|provider| provider.effective_base_url(key.base_url.as_deref(), key.location.as_deref()))
            .unwrap_or_default()
    }
}

/// What a key is handed out for.
fn use_of(ask: &Ask, choice: &Choice<'_>, now: OffsetDateTime) -> Use {
    let need = &ask.need;
    Use {
        workspace: ask.workspace.clone(),
        user: need.user.clone(),
        agent: need.agent.clone(),
        session: need.session.clone(),
        key: choice.key.id,
        secret_version: choice.key.secret_version,
        provider: choice.key.provider.clone(),
        model: choice.model.as_deref().and_then(|model| ModelId::parse(model).ok()),
        payer: choice.source,
        time: now,
    }
}

/// A caller that has seen a change must not get an answer from before it.
fn check_position(after: Position, at: Position) -> Result<(), Fault> {
    if after.epoch != at.epoch {
        return Err(Fault::field("consistency_token", "is of another vault's history"));
    }
    if after.seq > at.seq {
        return Err(Fault::new(Reason::VaultRewound, "the vault lies behind the change that the token stands for"));
    }
    Ok(())
}

#[cfg(test)]
impl Scene {
    pub(crate) fn of(workspace: TenantView, platform: TenantView) -> Self {
        Self { workspace, platform }
    }

    pub(crate) fn keys_mut(&mut self) -> &mut Vec<RouteKey> {
        &mut self.workspace.view.keys
    }
}
