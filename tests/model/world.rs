//! A vault in this process, without its sockets: handlers, use-cases, store and writer are the real ones.

use std::pin::pin;
use std::sync::Arc;

use claviger_core::catalog::{Catalog, EgressAllow};
use claviger_core::ids::Tenant;
use claviger_core::position::session_binding;
use claviger_core::workspace::Plans;
use claviger_crypto::{Handshake, Keyring, RecordContext};
use claviger_keyvault::grpc::Mutations;
use claviger_keyvault::grpc::key_vault::{KeyVaultService, Show};
use claviger_keyvault::grpc::workspaces::WorkspacesService;
use claviger_keyvault::store::{Database, Location, Prepared};
use claviger_keyvault::usecase::audit::Audit;
use claviger_keyvault::usecase::custody::{self, Custody};
use claviger_keyvault::usecase::feed::Feed;
use claviger_keyvault::usecase::keys::{Keys, LiveTests};
use claviger_keyvault::usecase::workspaces::Workspaces;
use claviger_keyvault::verify::{Client, Egress, Outbound, Tokens, Verifier};
use futures::StreamExt;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// The vault.
pub(crate) struct World {
    pub(crate) keys: KeyVaultService,
    pub(crate) workspaces: WorkspacesService,
    feed: Feed,
    audit: Audit,
}

impl World {
    pub(crate) async fn open(location: &Location) -> Self {
        // the HTTP client of live tests needs one; it stands already when another test was first
        let _ = rustls::crypto::ring::default_provider().install_default();
        let keyring = Keyring::generate("2026-01-01T00:00:00Z").unwrap();
        let database =
            Database::open(location, Prepared::ByItself, |known| custody::admit(&keyring, known)).await.unwrap();
        let (custody, rows) = Custody::load(keyring, &database, OffsetDateTime::now_utc()).await.unwrap();
        let (store, writer) = database.into_store(rows);
        tokio::spawn(writer.run(CancellationToken::new()));
        let (custody, plans) = (Arc::new(custody), Arc::new(Plans::default()));
        let catalog = Arc::new(Catalog::builtin().unwrap());
        let client = Client::new(Egress::new(EgressAllow::default()), &Outbound::default()).unwrap();
        let verifier = Verifier::new(catalog.clone(), client);
        let tokens = Tokens::new(verifier.clone());
        let keys = Keys::new(
            store.clone(),
            custody.clone(),
            catalog.clone(),
            verifier,
            plans.clone(),
            true,
            LiveTests::default(),
        );
        let (mutations, show) = (Mutations::new(custody.clone()), Show::new(catalog.clone()));
        let workspaces = Workspaces::new(store.clone(), custody.clone(), catalog, keys.clone());
        Self {
            keys: KeyVaultService::new(keys, mutations.clone(), show.clone()),
            workspaces: WorkspacesService::new(workspaces, mutations, show),
            feed: Feed::new(store.clone(), custody.clone(), plans, tokens),
            audit: Audit::new(store, custody),
        }
    }

    /// What routing is given of a workspace: each usable key's name and secret. None for a deleted workspace.
    pub(crate) async fn fed(&self, workspace: &str) -> Option<Vec<(String, String)>> {
        let tenant = Tenant::parse(workspace).unwrap();
        let handshake = Handshake::new().unwrap();
        let subscription = self.feed.subscribe(&handshake.public_key()).unwrap();
        let binding = session_binding(subscription.session, subscription.epoch);
        let opener = handshake.accept(&subscription.encapsulated_key, &binding).unwrap();
        let loaded = match subscription.load(&tenant.clone().into()).await {
            Ok(loaded) => loaded,
            Err(fault) if fault.reason.as_str() == "WORKSPACE_NOT_FOUND" => return None,
            Err(fault) => panic!("{fault:?}"),
        };
        let mut secrets = Vec::new();
        for sealed in loaded.keys {
            assert!(!sealed.unreadable, "{}", sealed.key.name);
            if sealed.key.state.is_revoked() {
                assert!(sealed.secret.is_empty(), "{}", sealed.key.name);
                continue;
            }
            let key = &sealed.key;
            let context = RecordContext {
                tenant: workspace,
                owner: key.name.owner.user_str(),
                key_id: *key.name.id.uuid().as_bytes(),
                version: key.secret_version,
                provider: key.provider.as_str(),
                auth_type: key.auth_type.as_str(),
                base_url: key.base_url.as_deref(),
                location: key.location.as_deref(),
            };
            let opened = opener.open(&context, &sealed.secret).unwrap();
            secrets.push((key.name.to_string(), String::from_utf8(opened.to_vec()).unwrap()));
        }
        secrets.sort();
        Some(secrets)
    }

    /// At the end of all sequences: the log is whole, and every row is as its newest event left it.
    pub(crate) async fn assert_sound(&self) {
        let mut verification = pin!(self.audit.verify());
        let mut last = None;
        while let Some(progress) = verification.next().await {
            last = Some(progress.unwrap());
        }
        let last = last.unwrap();
        assert!(matches!(last.outcome, Some(Ok(_))), "{last:?}");
        assert!(last.events > 0 && last.rows > 0, "{last:?}");
    }
}
