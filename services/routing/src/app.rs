//! The service, put together.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use claviger_auth::{IdentityLayer, Mode, TrustDomain};
use claviger_core::catalog::Catalog;
use claviger_crypto::{ResolutionSealer, sha256_hex};
use claviger_proto::routing_v1::routing_server::RoutingServer;
use claviger_proto::{DESCRIPTORS, ERROR_DETAILS, methods, status};
use claviger_runtime::layers::Calls;
use claviger_runtime::shell::{Listen, Listeners, Shell};
use claviger_runtime::{client, process, tls};
use tonic::service::Routes;
use tower::Layer;

use crate::config::Serve;
use crate::feed::{self, Link, Shipper};
use crate::grpc::RoutingService;
use crate::health::HealthBook;
use crate::journal::Journal;
use crate::report::Reports;
use crate::resolve::Resolver;

const PACKAGE: &str = "claviger.routing.v1";
const ROUTING: &str = "claviger.routing.v1.Routing";

/// Runs the service until a signal.
///
/// # Errors
/// The setting or part that stops it.
pub fn run(settings: Serve) -> anyhow::Result<()> {
    process::harden()?;
    process::block_on(serve(settings))?
}

async fn serve(settings: Serve) -> anyhow::Result<()> {
    let identity = identity(&settings)?;
    let shell = Shell::start(settings.common.clone(), "claviger-routing", &[ROUTING], listeners(&settings)).await?;
    let catalog = Arc::new(catalog(settings.catalog_file.as_deref())?);
    let channel = client::channel(&vault(&settings)?).map_err(unusable)?;
    let (feed, asks) = feed::feed();
    let (health, journal) = (Arc::<HealthBook>::default(), Arc::<Journal>::default());
    let sealer = Arc::new(ResolutionSealer::new(unix_millis())?);
    let digest = sha256_hex(&catalog.canonical_text());
    let link = Link::new(settings.keyvault_url.clone(), channel.clone(), sealer.origin(), digest);
    shell.supervisor.spawn("feed", link.run(asks, shell.supervisor.background()));
    let shipper = Shipper::new(channel, journal.clone());
    shell.supervisor.spawn("journal", shipper.run(shell.supervisor.background()));
    let reports = Reports::new(feed.clone(), catalog.clone(), health.clone(), journal.clone());
    let resolver = Resolver::new(feed.clone(), catalog, health, journal, sealer, settings.implicit_workspaces());
    let routes = routes(&settings, &shell, RoutingService::new(resolver, reports))?;
    let methods = methods::methods(PACKAGE);
    let calls = Calls { methods: methods.all, streams: methods.streams, uniform: status::of_transport };
    let ready = move || std::future::ready(if feed.is_connected() { Ok(()) } else { Err("no link to the vault") });
    Ok(shell.run(identity.layer(routes.prepare()), calls, ready).await?)
}

fn listeners(settings: &Serve) -> Listeners {
    Listeners {
        grpc: Listen { setting: "CLAVIGER_ROUTING_LISTEN", address: settings.listen },
        health: Listen { setting: "CLAVIGER_ROUTING_HEALTH_LISTEN", address: settings.health_listen },
        metrics: Listen { setting: "CLAVIGER_ROUTING_METRICS_LISTEN", address: settings.metrics_listen },
    }
}

fn identity(settings: &Serve) -> anyhow::Result<IdentityLayer> {
    let refuse = |error| status::of(&claviger_auth::fault(&error));
    if settings.common.dev {
        return Ok(IdentityLayer::new(Mode::Dev, tls::peer_certificates, refuse));
    }
    let domain = settings.trust_domain.as_deref().context("CLAVIGER_TRUST_DOMAIN: must be set outside --dev")?;
    let domain = TrustDomain::new(domain).context("CLAVIGER_TRUST_DOMAIN")?;
    Ok(IdentityLayer::new(Mode::Mtls(domain), tls::peer_certificates, refuse))
}

fn catalog(file: Option<&Path>) -> anyhow::Result<Catalog> {
    let builtin = Catalog::builtin()?;
    let Some(file) = file else { return Ok(builtin) };
    let text = std::fs::read_to_string(file).with_context(|| format!("CLAVIGER_CATALOG_FILE: {}", file.display()))?;
    builtin.with_overrides(&text).with_context(|| format!("CLAVIGER_CATALOG_FILE: {}", file.display()))
}

fn vault(settings: &Serve) -> anyhow::Result<client::Config> {
    let target = settings.keyvault_url.clone();
    let uri: http::Uri = target.parse().context("CLAVIGER_KEYVAULT_URL: must be a URL")?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let security = match settings.common.tls.files()? {
        _ if settings.common.dev && !is_loopback(host) => {
            anyhow::bail!("CLAVIGER_KEYVAULT_URL: with --dev, keyvault must be on this machine (127.0.0.1)")
        }
        _ if settings.common.dev => client::Security::Plaintext,
        None => anyhow::bail!("CLAVIGER_TLS_CERT: must be set outside --dev"),
        Some(files) => {
            let server_ca = settings.keyvault_ca.clone().unwrap_or_else(|| files.client_ca.clone());
            let server_name = settings.keyvault_server_name.clone().unwrap_or_else(|| host.to_owned());
            client::Security::Mtls { files, server_ca, server_name }
        }
    };
    Ok(client::Config { target, security })
}

/// Names the setting that is at fault.
fn unusable(error: client::Error) -> anyhow::Error {
    let setting = match error {
        client::Error::Target => "CLAVIGER_KEYVAULT_URL",
        client::Error::ServerName => "CLAVIGER_KEYVAULT_SERVER_NAME",
        client::Error::Tls(_) => "CLAVIGER_TLS_CERT, CLAVIGER_TLS_KEY, CLAVIGER_KEYVAULT_CA",
    };
    anyhow::Error::new(error).context(setting)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Milliseconds since 1970.
fn unix_millis() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

fn routes(settings: &Serve, shell: &Shell, routing: RoutingService) -> anyhow::Result<Routes> {
    let routing = RoutingServer::new(routing);
    Ok(shell
        .routes(&[DESCRIPTORS, ERROR_DETAILS])?
        .add_service(routing.max_decoding_message_size(settings.common.max_request_bytes)))
}
