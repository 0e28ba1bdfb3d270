//! The service, put together.

mod audit;
pub(crate) mod storage;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use claviger_auth::{Gates, IdentityLayer, Mode, TrustDomain};
use claviger_core::catalog::{Catalog, EgressAllow};
use claviger_core::workspace::Plans;
use claviger_crypto::sha256_hex;
use claviger_proto::keyvault_v1::audit_log_server::AuditLogServer;
use claviger_proto::keyvault_v1::catalog_server::CatalogServer;
use claviger_proto::keyvault_v1::key_feed_server::KeyFeedServer;
use claviger_proto::keyvault_v1::key_vault_server::KeyVaultServer;
use claviger_proto::keyvault_v1::master_keys_server::MasterKeysServer;
use claviger_proto::keyvault_v1::usage_server::UsageServer;
use claviger_proto::keyvault_v1::workspaces_server::WorkspacesServer;
use claviger_proto::{DESCRIPTORS, ERROR_DETAILS, methods, status};
use claviger_runtime::layers::Calls;
use claviger_runtime::shell::{Listen, Listeners, Shell};
use claviger_runtime::{process, tls};
use secrecy::ExposeSecret;
use tonic::service::Routes;
use tower::Layer;

pub(crate) use storage::{Opened, open_existing};

use crate::config::Serve;
use crate::grpc::Mutations;
use crate::grpc::audit_log::AuditLogService;
use crate::grpc::catalog::CatalogService;
use crate::grpc::key_feed::KeyFeedService;
use crate::grpc::key_vault::{KeyVaultService, Show};
use crate::grpc::master_keys::MasterKeysService;
use crate::grpc::usage::UsageService;
use crate::grpc::workspaces::WorkspacesService;
use crate::refusals::Refusals;
use crate::store::Store;
use crate::usecase::audit::Audit;
use crate::usecase::custody::Custody;
use crate::usecase::journal::Journals;
use crate::usecase::keys::{Keys, LiveTests, suspects};
use crate::usecase::{feed::Feed, master_keys::MasterKeys, reload, usage::Usage, workspaces::Workspaces};
use crate::verify::{Client, Egress, EgressProxy, ExtraRoots, Outbound, Tokens, Verifier};

const PACKAGE: &str = "claviger.keyvault.v1";
const KEY_FEED: &str = "claviger.keyvault.v1.KeyFeed";
/// A service account's key file of 64 KiB, and the message around it.
const LARGEST_CREATE: usize = 128 * 1024;
/// A journal batch of 2,000 entries with the longest names.
const LARGEST_BATCH: usize = 2 * 1024 * 1024;

/// Runs the service until a signal.
///
/// # Errors
/// The setting or part that stops it.
pub fn run(settings: Serve) -> anyhow::Result<()> {
    process::block_on(serve(settings))?
}

async fn serve(settings: Serve) -> anyhow::Result<()> {
    let services = ["KeyVault", "Catalog", "Workspaces", "AuditLog", "MasterKeys", "Usage", "KeyFeed"];
    let services = services.map(|name| format!("{PACKAGE}.{name}"));
    let services = services.each_ref().map(String::as_str);
    let refusals = Arc::new(Refusals::default());
    let identity = identity(&settings, &refusals)?;
    let shell = Shell::start(settings.common.clone(), "claviger-keyvault", &services, listeners(&settings)).await?;
    let catalog = Arc::new(catalog(settings.catalog_file.as_deref())?);
    let verifier = verifier(&settings, catalog.clone())?;
    let plans = Arc::new(Plans::parse(&settings.byok_plans).context("CLAVIGER_BYOK_PLANS")?);
    let storage::Opened { store, writer, custody, watch } = storage::open(&settings).await?;
    let live = LiveTests::until(shell.supervisor.background());
    audit::spawn(&shell.supervisor, &store, writer, refusals, live.clone());
    if let Some(watch) = watch {
        let reload = reload::run(watch, store.clone(), custody.clone(), shell.supervisor.servers());
        shell.supervisor.spawn("keyring", reload);
    }
    let parts = Parts { store: store.clone(), custody, catalog, verifier, plans, live };
    let routes = routes(&settings, &shell, parts)?;
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

fn identity(settings: &Serve, refusals: &Arc<Refusals>) -> anyhow::Result<IdentityLayer> {
    let refuse = |error| status::of(&claviger_auth::fault(&error));
    if settings.common.dev {
        return Ok(IdentityLayer::new(Mode::Dev, tls::peer_certificates, refuse));
    }
    let domain = settings.trust_domain.as_deref().context("CLAVIGER_TRUST_DOMAIN: must be set outside --dev")?;
    let domain = TrustDomain::new(domain).context("CLAVIGER_TRUST_DOMAIN")?;
    let routing = settings.routing_id.as_deref().context("CLAVIGER_ROUTING_ID: must be set outside --dev")?;
    let gates = Gates::new().only(KEY_FEED, [routing.parse().context("CLAVIGER_ROUTING_ID")?]);
    let layer = IdentityLayer::new(Mode::Mtls(domain), tls::peer_certificates, refuse).with_gates(gates);
    Ok(layer.on_refusal(refusals.clone().hook()))
}

fn catalog(file: Option<&Path>) -> anyhow::Result<Catalog> {
    let builtin = Catalog::builtin()?;
    let Some(file) = file else { return Ok(builtin) };
    let text = std::fs::read_to_string(file).with_context(|| format!("CLAVIGER_CATALOG_FILE: {}", file.display()))?;
    builtin.with_overrides(&text).with_context(|| format!("CLAVIGER_CATALOG_FILE: {}", file.display()))
}

fn verifier(settings: &Serve, catalog: Arc<Catalog>) -> anyhow::Result<Verifier> {
    let allow = EgressAllow::parse(&settings.egress_allow).context("CLAVIGER_EGRESS_ALLOW")?;
    let client = Client::new(Egress::new(allow), &outbound(settings)?);
    // a certificate of the file's is all that can be at fault, if there is a file
    let client =
        if settings.egress_ca_file.is_some() { client.context("CLAVIGER_EGRESS_CA_FILE") } else { Ok(client?) };
    Ok(Verifier::new(catalog, client?))
}

fn outbound(settings: &Serve) -> anyhow::Result<Outbound> {
    let given = settings.egress_proxy.as_ref().filter(|url| !url.expose_secret().is_empty());
    let proxy = given.map(EgressProxy::parse).transpose().context("CLAVIGER_EGRESS_PROXY")?;
    let roots = match &settings.egress_ca_file {
        None => ExtraRoots::default(),
        Some(file) => {
            let pem = std::fs::read(file).context("CLAVIGER_EGRESS_CA_FILE: the file cannot be read")?;
            ExtraRoots::parse(&pem).context("CLAVIGER_EGRESS_CA_FILE")?
        }
    };
    Ok(Outbound { proxy, roots })
}

/// What the services are made of.
struct Parts {
    store: Store,
    custody: Arc<Custody>,
    catalog: Arc<Catalog>,
    verifier: Verifier,
    plans: Arc<Plans>,
    live: LiveTests,
}

fn routes(settings: &Serve, shell: &Shell, parts: Parts) -> anyhow::Result<Routes> {
    let Parts { store, custody, catalog, verifier, plans, live } = parts;
    let largest = settings.common.max_request_bytes;
    let (mutations, show) = (Mutations::new(custody.clone()), Show::new(catalog.clone()));
    let digest = sha256_hex(&catalog.canonical_text());
    let implicit = settings.implicit_workspaces();
    let tokens = Tokens::new(verifier.clone());
    let keys = Keys::new(store.clone(), custody.clone(), catalog.clone(), verifier, plans.clone(), implicit, live);
    let workspaces = Workspaces::new(store.clone(), custody.clone(), catalog.clone(), keys.clone());
    let workspaces = WorkspacesServer::new(WorkspacesService::new(workspaces, mutations.clone(), show.clone()));
    let audit = AuditLogService::new(Audit::new(store.clone(), custody.clone()), shell.supervisor.servers());
    let master_keys = MasterKeys::new(store.clone(), custody.clone());
    let master_keys = MasterKeysServer::new(MasterKeysService::new(master_keys, shell.supervisor.servers()));
    let usage = UsageServer::new(UsageService::new(Usage::new(store.clone(), custody.clone())));
    let (suspects, waiting) = suspects();
    shell.supervisor.spawn("rejected keys", waiting.run(keys.clone(), shell.supervisor.servers()));
    let journals = Journals::new(store.clone(), catalog.clone(), suspects);
    let feed = Feed::new(store, custody, plans, tokens);
    let feed = KeyFeedService::new(feed, journals, digest, shell.supervisor.servers());
    let key_vault = KeyVaultServer::new(KeyVaultService::new(keys, mutations, show));
    Ok(shell
        .routes(&[DESCRIPTORS, ERROR_DETAILS])?
        .add_service(key_vault.max_decoding_message_size(largest.max(LARGEST_CREATE)))
        .add_service(CatalogServer::new(CatalogService::new(catalog)).max_decoding_message_size(largest))
        .add_service(workspaces.max_decoding_message_size(largest.max(LARGEST_CREATE)))
        .add_service(AuditLogServer::new(audit).max_decoding_message_size(largest))
        .add_service(master_keys.max_decoding_message_size(largest))
        .add_service(usage.max_decoding_message_size(largest))
        .add_service(KeyFeedServer::new(feed).max_decoding_message_size(largest.max(LARGEST_BATCH))))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use clap::Parser;

    use super::*;
    use crate::config::{Cli, Command};

    fn settings(flag: &str, value: &str) -> Serve {
        let Command::Serve(serve) = Cli::parse_from(["claviger-keyvault", "serve", flag, value]).command else {
            unreachable!()
        };
        *serve
    }

    #[test]
    fn a_bad_way_out_stops_the_start_without_showing_it() {
        let _already = rustls_ring();
        let folder = tempfile::tempdir().unwrap();
        let hidden = folder.path().join("hidden.pem");
        std::fs::write(&hidden, "no certificate").unwrap();
        let broken = folder.path().join("hidden-broken.pem");
        std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\naGlkZGVu\n-----END CERTIFICATE-----\n").unwrap();
        for (flag, value, setting) in [
            ("--egress-proxy", "socks5://hidden:1", "CLAVIGER_EGRESS_PROXY: must be a URL"),
            ("--egress-proxy", "http://u:hidden@proxy:1/x", "CLAVIGER_EGRESS_PROXY: must be a URL"),
            ("--egress-ca-file", "/hidden", "CLAVIGER_EGRESS_CA_FILE: the file cannot be read"),
            ("--egress-ca-file", hidden.to_str().unwrap(), "CLAVIGER_EGRESS_CA_FILE: must be a PEM file"),
            ("--egress-ca-file", broken.to_str().unwrap(), "CLAVIGER_EGRESS_CA_FILE: "),
        ] {
            let catalog = Arc::new(Catalog::builtin().unwrap());
            let error = format!("{:#}", verifier(&settings(flag, value), catalog).unwrap_err());
            assert!(error.starts_with(setting) && !error.contains("hidden") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn no_proxy_is_needed() {
        assert!(outbound(&settings("--egress-proxy", "")).unwrap().proxy.is_none());
        assert!(outbound(&settings("--egress-proxy", "http://proxy:3128")).unwrap().proxy.is_some());
    }

    fn rustls_ring() -> bool {
        tokio_rustls::rustls::crypto::ring::default_provider().install_default().is_ok()
    }
}
