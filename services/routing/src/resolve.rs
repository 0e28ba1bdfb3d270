//! Resolving: load, decide, open one record, answer.

use std::sync::Arc;
use std::time::Duration;

use claviger_core::catalog::Catalog;
use claviger_core::decide::decide;
use claviger_core::fault::Fault;
use claviger_core::ids::Tenant;
use claviger_core::position::Position;
use claviger_core::reason::Reason;
use claviger_core::route::{Choice, Decision, RouteKey, Source, WorkspaceView};
use claviger_proto::routing::Ask;
use secrecy::SecretString;
use time::OffsetDateTime;

use crate::feed::{Feed, TenantView};

/// How long a resolution may be used. Asking again costs little and sees every change.
pub const LONGEST_USE: Duration = Duration::from_secs(60);

/// The use-cases of routing.
#[derive(Debug, Clone)]
pub struct Resolver {
    feed: Feed,
    catalog: Arc<Catalog>,
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
    /// Over a feed. With `implicit_workspaces` a workspace without a record is an empty one.
    #[must_use]
    pub fn new(feed: Feed, catalog: Arc<Catalog>, implicit_workspaces: bool) -> Self {
        Self { feed, catalog, implicit_workspaces }
    }

    /// The providers that it knows.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Checks a request against the catalog and loads what its decision needs.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `WORKSPACE_NOT_FOUND`, `VAULT_UNAVAILABLE`, `VAULT_REWOUND`.
    pub async fn load(&self, ask: &mut Ask) -> Result<Scene, Fault> {
        if let Some(given) = &ask.need.provider {
            let unknown = || Fault::field("provider", "is not in the catalog; Catalog.ListProviders lists what is");
            ask.need.provider = Some(self.catalog.provider(given.as_str()).ok_or_else(unknown)?.id.clone());
        }
        let tenant = Tenant::Workspace(ask.workspace.clone());
        let (workspace, platform) = tokio::try_join!(self.feed.load(&tenant), self.feed.load(&Tenant::Platform))?;
        if !workspace.exists && !self.implicit_workspaces {
            return Err(Fault::new(Reason::WorkspaceNotFound, "the workspace has no record")
                .resource("claviger.dev/Workspace", tenant.to_string()));
        }
        if let Some(after) = ask.after {
            check_position(after, workspace.at)?;
        }
        Ok(Scene { workspace, platform })
    }

    /// Decides which key the call uses.
    #[must_use]
    pub fn decide<'a>(&self, scene: &'a Scene, ask: &Ask, now: OffsetDateTime) -> Decision<'a> {
        decide(&self.catalog, &scene.workspace.view, &scene.platform.view.keys, &ask.need, now)
    }

    /// Opens the winner's secret, and no other.
    ///
    /// # Errors
    /// The decision's refusal; `INTERNAL` when the record does not open.
    pub fn open<'a>(
        &self,
        scene: &'a Scene,
        decision: Decision<'a>,
        now: OffsetDateTime,
    ) -> Result<Resolved<'a>, Fault> {
        let choice = decision.outcome.map_err(|refusal| refusal.fault())?;
        let holder = match choice.source {
            Source::Platform => &scene.platform,
            Source::Personal | Source::Workspace => &scene.workspace,
        };
        let secret = holder.expose(choice.key)?;
        let ends = [choice.key.expire_time, choice.key.credential_expire_time];
        let expire_time = ends.into_iter().flatten().fold(now + LONGEST_USE, OffsetDateTime::min);
        Ok(Resolved { base_url: self.base_url(choice.key), choice, secret, expire_time })
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

impl Scene {
    /// The workspace's policy and keys.
    #[must_use]
    pub fn workspace(&self) -> &WorkspaceView {
        &self.workspace.view
    }
}
