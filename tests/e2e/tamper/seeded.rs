//! A vault with something of every kind in it, ready to be altered and put back as it was.

use claviger_core::audit::{Action, Event, Origin};
use claviger_core::ids::{AgentId, KeyName, KeySlug, Owner, SessionId, WorkspaceId};
use claviger_core::key::KeyState;
use claviger_core::workspace::{AgentMode, AgentRoute, SessionBinding};
use claviger_keyvault::store::Store;
use claviger_proto::keyvault_v1::{FallbackConsent, Workspace};
use time::{Duration, OffsetDateTime};

use super::stored::{Stored, store};
use crate::audit::stage::Stage;

const TABLES: [&str; 8] = [
    "audit_head",
    "audit_events",
    "audit_segments",
    "workspaces",
    "agent_routes",
    "session_bindings",
    "workspace_keys",
    "provider_keys",
];
pub(super) const ROUTE: &str = "workspaces/acme/agents/bot/route";
pub(super) const BINDING: &str = "workspaces/acme/sessions/s1/binding";

/// The vault, and the keys that are altered. The events of all but the last two things are in a sealed segment.
pub(super) struct Seeded {
    pub(super) stage: Stage,
    /// Tested after its first copy was made, which is in the table `old`.
    pub(super) plain: Stored,
    pub(super) twin: Stored,
    pub(super) revoked: Stored,
    /// Its row before that is in `old` too.
    pub(super) purged: Stored,
    pub(super) custom: Stored,
    pub(super) located: Stored,
    /// Its second test is the newest event of all.
    pub(super) last: Stored,
}

impl Seeded {
    pub(super) async fn new(stage: Stage) -> Self {
        let fleet = &stage.fleet;
        let acme = async |provider: &str, slug: &str| store(fleet, "workspaces/acme", provider, slug).await;
        let (plain, twin) = (acme("anthropic", "plain").await, acme("anthropic", "twin").await);
        let (revoked, purged) = (acme("anthropic", "revoked").await, acme("anthropic", "purged").await);
        let (custom, located) = (acme("custom", "custom").await, acme("bedrock", "located").await);
        store(fleet, "workspaces/other", "anthropic", "other").await;
        let mut strict = Workspace { read_only: true, ..Default::default() };
        strict.set_fallback_consent(FallbackConsent::Never);
        fleet.make_workspace("strict", strict).await.unwrap();
        let (done, said) = stage.seal("0h", &stage.path("sealed.jsonl"));
        assert!(done, "{said}");

        stage.alter("CREATE TABLE old AS SELECT * FROM provider_keys").await;
        fleet.test(&plain.name()).await.unwrap();
        for key in [&revoked, &purged] {
            fleet.revoke(&key.name()).await.unwrap();
        }
        let inside = stage.inside().await.store;
        purge(&inside, &purged).await;
        order(&inside).await;
        let last = acme("anthropic", "last").await;
        fleet.test(&last.name()).await.unwrap();
        let seeded = Self { stage, plain, twin, revoked, purged, custom, located, last };
        seeded.keep().await;
        seeded
    }

    /// Copies everything, and takes away what guards the log from who cannot drop triggers.
    async fn keep(&self) {
        for table in TABLES {
            self.stage.alter(&format!("CREATE TABLE good_{table} AS SELECT * FROM {table}")).await;
        }
        self.stage.unguard().await;
    }

    /// Puts everything back.
    pub(super) async fn put_back(&self) {
        for table in TABLES {
            self.stage.alter(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM good_{table}")).await;
        }
    }

    /// The newest event of a resource.
    pub(super) async fn newest(&self, target: &str) -> u64 {
        let sql = format!("SELECT MAX(seq) FROM good_audit_events WHERE target = '{target}'");
        self.stage.number(&sql).await.cast_unsigned()
    }
}

fn event(action: Action, name: &str) -> Event {
    let tenant = Owner::parse("workspaces/acme").unwrap().tenant;
    Event { time: now(), tenant, action, target: name.to_owned(), origin: Origin::vault(), details: Vec::new() }
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc().replace_nanosecond(0).unwrap()
}

/// Destroys a revoked key's ciphertext as the vault does.
async fn purge(store: &Store, key: &Stored) {
    let name = KeyName::parse(&key.name()).unwrap();
    let job = store.write(move |txn| {
        Box::pin(async move {
            let mut stored = txn.key(&name).await?.unwrap();
            stored.key.state = KeyState::Purged;
            stored.sealed.clear();
            let stamp = txn.record(&event(Action::KeyPurged, &name.to_string())).await?;
            Ok(txn.update_key(&mut stored, &stamp).await?)
        })
    });
    job.await.unwrap();
}

/// An agent's route and a session's binding.
async fn order(store: &Store) {
    let workspace = WorkspaceId::parse("acme").unwrap();
    let route = AgentRoute {
        workspace: workspace.clone(),
        agent: AgentId::parse("bot").unwrap(),
        mode: AgentMode::Auto,
        provider: None,
        slug: None,
        model: None,
        consent: None,
        create_time: now(),
        update_time: now(),
        updater: "test".to_owned(),
    };
    let binding = SessionBinding {
        workspace,
        session: SessionId::parse("s1").unwrap(),
        slug: KeySlug::parse("plain").unwrap(),
        user: None,
        provider: None,
        model: None,
        create_time: now(),
        creator: "test".to_owned(),
        expire_time: now() + Duration::hours(1),
    };
    let job = store.write(move |txn| {
        Box::pin(async move {
            let stamp = txn.record(&event(Action::AgentRouteSet, &route.name())).await?;
            txn.put_agent_route(&route, &stamp).await?;
            let stamp = txn.record(&event(Action::SessionBound, &binding.name())).await?;
            Ok(txn.put_session_binding(&binding, &stamp).await?)
        })
    });
    job.await.unwrap();
}
