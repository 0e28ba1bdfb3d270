//! The service, put together.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use claviger_auth::{Gates, IdentityLayer, Mode, TrustDomain};
use claviger_core::catalog::{Catalog, EgressAllow};
use claviger_crypto::sha256_hex;
use claviger_proto::keyvault_v1::catalog_server::CatalogServer;
use claviger_proto::keyvault_v1::key_feed_server::KeyFeedServer;
use claviger_proto::keyvault_v1::key_vault_server::KeyVaultServer;
use claviger_proto::keyvault_v1::workspaces_server::WorkspacesServer;
use claviger_proto::{DESCRIPTORS, ERROR_DETAILS, methods, status};
use claviger_runtime::layers::Calls;
use claviger_runtime::shell::{Listen, Listeners, Shell};
use claviger_runtime::{process, tls};
use time::OffsetDateTime;
use tonic::service::Routes;
use tower::Layer;

use crate::config::Serve;
use crate::grpc::{
    catalog::CatalogService, key_feed::KeyFeedService, key_vault::KeyVaultService, workspaces::WorkspacesService,
};
use crate::master_key;
use crate::store::{Location, Store};
use crate::usecase::custody::{self, Custody};
use crate::usecase::{feed::Feed, keys::Keys, workspaces::Workspaces};
use crate::verify::{Client, Egress, Verifier};

const PACKAGE: &str = "claviger.keyvault.v1";
const KEY_VAULT: &str = "claviger.keyvault.v1.KeyVault";
const KEY_FEED: &str = "claviger.keyvault.v1.KeyFeed";
/// A service account's key file of 64 KiB, and the message around it.
const LARGEST_CREATE: usize = 128 * 1024;

/// Runs the service until a signal.
///
/// # Errors
/// The setting or part that stops it.
pub fn run(settings: Serve) -> anyhow::Result<()> {
    process::block_on(serve(settings))?
}

async fn serve(settings: Serve) -> anyhow::Result<()> {
    let services = [KEY_VAULT, "claviger.keyvault.v1.Catalog", "claviger.keyvault.v1.Workspaces", KEY_FEED];
    let identity = identity(&settings)?;
    let shell = Shell::start(settings.common.clone(), "claviger-keyvault", &services, listeners(&settings)).await?;
    let catalog = Arc::new(catalog(settings.catalog_file.as_deref())?);
    let verifier = verifier(&settings, catalog.clone())?;
    let (store, custody) = open(&settings).await?;
    let routes = routes(&settings, &shell, &store, custody, catalog, verifier)?;
    let methods = methods::methods(PACKAGE);
    let calls = Calls { methods: methods.all, streams: methods.streams, uniform: status::of_transport };
    let ready = move || {
        let store = store.clone();
        async move { store.ping().await }
    };
    Ok(shell.run(identity.layer(routes.prepare()), calls, ready).await?)
}

fn listeners(settings: &Serve) -> Listeners {
    Listeners {
        grpc: Listen { setting: "CLAVIGER_KEYVAULT_LISTEN", address: settings.listen },
        health: Listen { setting: "CLAVIGER_KEYVAULT_HEALTH_LISTEN", address: settings.health_listen },
        metrics: Listen { setting: "CLAVIGER_KEYVAULT_METRICS_LISTEN", address: settings.metrics_listen },
    }
}

fn identity(settings: &Serve) -> anyhow::Result<IdentityLayer> {
    let refuse = |error| status::of(&claviger_auth::fault(&error));
    if settings.common.dev {
        return Ok(IdentityLayer::new(Mode::Dev, tls::peer_certificates, refuse));
    }
    let domain = settings.trust_domain.as_deref().context("CLAVIGER_TRUST_DOMAIN: must be set outside --dev")?;
    let domain = TrustDomain::new(domain).context("CLAVIGER_TRUST_DOMAIN")?;
    let routing = settings.routing_id.as_deref().context("CLAVIGER_ROUTING_ID: must be set outside --dev")?;
    let gates = Gates::new().only(KEY_FEED, [routing.parse().context("CLAVIGER_ROUTING_ID")?]);
    Ok(IdentityLayer::new(Mode::Mtls(domain), tls::peer_certificates, refuse).with_gates(gates))
}

fn catalog(file: Option<&Path>) -> anyhow::Result<Catalog> {
    let builtin = Catalog::builtin()?;
    let Some(file) = file else { return Ok(builtin) };
    let text = std::fs::read_to_string(file).with_context(|| format!("CLAVIGER_CATALOG_FILE: {}", file.display()))?;
    builtin.with_overrides(&text).with_context(|| format!("CLAVIGER_CATALOG_FILE: {}", file.display()))
}

fn verifier(settings: &Serve, catalog: Arc<Catalog>) -> anyhow::Result<Verifier> {
    let allow = EgressAllow::parse(&settings.egress_allow).context("CLAVIGER_EGRESS_ALLOW")?;
    Ok(Verifier::new(catalog, Client::new(Egress::new(allow))?))
}

/// Opens the database under the master keys. A wrong key stops the start before anything is touched.
async fn open(settings: &Serve) -> anyhow::Result<(Store, Arc<Custody>)> {
    let folder = match (&settings.data_dir, settings.common.dev) {
        (Some(folder), _) => folder.clone(),
        (None, true) => ".data".into(),
        (None, false) => anyhow::bail!("CLAVIGER_DATA_DIR: must be set outside --dev"),
    };
    let private = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    private.with_context(|| format!("CLAVIGER_DATA_DIR: {}", folder.display()))?;
    let (database, key_file) = (folder.join("keyvault.db"), folder.join("master.key"));
    let bare = Serve::bare_master_key();
    let source = master_key::Source {
        file: settings.master_key_file.as_deref(),
        bare: bare.as_ref(),
        development: settings.common.dev.then_some((&*key_file, &*database)),
    };
    let keyring = master_key::keyring(&source)?;
    let store = Store::open(&Location::Sqlite(database), |known| custody::admit(&keyring, known)).await?;
    let custody = Custody::load(keyring, &store, OffsetDateTime::now_utc()).await?;
    Ok((store, Arc::new(custody)))
}

fn routes(
    settings: &Serve,
    shell: &Shell,
    store: &Store,
    custody: Arc<Custody>,
    catalog: Arc<Catalog>,
    verifier: Verifier,
) -> anyhow::Result<Routes> {
    let largest = settings.common.max_request_bytes;
    let digest = sha256_hex(&catalog.canonical_text());
    let implicit = settings.implicit_workspaces();
    let keys = Keys::new(store.clone(), custody.clone(), catalog.clone(), verifier, implicit);
    let workspaces = Workspaces::new(store.clone(), catalog.clone());
    let feed = KeyFeedService::new(Feed::new(store.clone(), custody), digest, shell.supervisor.servers());
    let key_vault = KeyVaultServer::new(KeyVaultService::new(keys));
    Ok(shell
        .routes(&[DESCRIPTORS, ERROR_DETAILS])?
        .add_service(key_vault.max_decoding_message_size(largest.max(LARGEST_CREATE)))
        .add_service(CatalogServer::new(CatalogService::new(catalog)).max_decoding_message_size(largest))
        .add_service(WorkspacesServer::new(WorkspacesService::new(workspaces)).max_decoding_message_size(largest))
        .add_service(KeyFeedServer::new(feed).max_decoding_message_size(largest)))
}
