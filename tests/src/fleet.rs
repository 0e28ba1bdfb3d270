//! Both services and a provider, wired together in `--dev`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use claviger_proto::keyvault_v1::audit_log_client::AuditLogClient;
use claviger_proto::keyvault_v1::catalog_client::CatalogClient;
use claviger_proto::keyvault_v1::key_vault_client::KeyVaultClient;
use claviger_proto::keyvault_v1::master_keys_client::MasterKeysClient;
use claviger_proto::keyvault_v1::workspaces_client::WorkspacesClient;
use claviger_proto::keyvault_v1::{CreateProviderKeyRequest, ProviderKey, Secret, secret};
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_proto::routing_v1::routing_client::RoutingClient;
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use wiremock::MockServer;

use crate::process::Process;
use crate::provider;

const READY: Duration = Duration::from_secs(20);

/// What a fleet is started with, beyond the usual.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More environment for keyvault.
    pub vault: Vec<(String, String)>,
    /// More environment for routing.
    pub routing: Vec<(String, String)>,
    /// The vault's database by its URL, in place of the embedded one.
    pub database: Option<String>,
}

/// Both services, a provider, and the folder that they share.
#[derive(Debug)]
pub struct Fleet {
    /// The data folder, the catalog file and whatever a test puts there.
    pub folder: TempDir,
    /// In the place of anthropic, openai, google, elevenlabs, serper and mistral.
    pub provider: MockServer,
    /// keyvault.
    pub vault: Process,
    /// routing.
    pub routing: Process,
    options: Options,
}

impl Fleet {
    /// Starts both services and waits until both are ready.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// The same with options.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start_with(options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let provider = provider::start().await;
        std::fs::write(folder.path().join("catalog.toml"), catalog(&provider.uri()))?;
        let vault = start_vault(folder.path(), &options)?;
        let routing = start_routing(folder.path(), &vault, &options)?;
        let fleet = Self { folder, provider, vault, routing, options };
        fleet.until_ready().await?;
        Ok(fleet)
    }

    /// Starts another keyvault on the same data, which a server must hold: SQLite is for one.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn second_vault(&self) -> anyhow::Result<Process> {
        let vault = start_vault(self.folder.path(), &self.options)?;
        until_serving(&vault, "claviger.keyvault.v1.KeyVault").await?;
        Ok(vault)
    }

    /// Starts keyvault again on the same data (on other ports), and routing with it.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.vault.kill()?;
        self.routing.kill()?;
        self.vault = start_vault(self.folder.path(), &self.options)?;
        self.routing = start_routing(self.folder.path(), &self.vault, &self.options)?;
        self.until_ready().await
    }

    /// Waits until both services say that they are ready.
    ///
    /// # Errors
    /// When one does not.
    pub async fn until_ready(&self) -> anyhow::Result<()> {
        until_serving(&self.vault, "claviger.keyvault.v1.KeyVault").await?;
        until_serving(&self.routing, "claviger.routing.v1.Routing").await
    }

    /// The database file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("data/keyvault.db")
    }

    /// A client of KeyVault.
    #[must_use]
    pub fn key_vault(&self) -> KeyVaultClient<Channel> {
        KeyVaultClient::new(channel(&self.vault))
    }

    /// A client of Workspaces.
    #[must_use]
    pub fn workspaces(&self) -> WorkspacesClient<Channel> {
        WorkspacesClient::new(channel(&self.vault))
    }

    /// A client of AuditLog.
    #[must_use]
    pub fn audit_log(&self) -> AuditLogClient<Channel> {
        AuditLogClient::new(channel(&self.vault))
    }

    /// A client of MasterKeys.
    #[must_use]
    pub fn master_keys(&self) -> MasterKeysClient<Channel> {
        MasterKeysClient::new(channel(&self.vault))
    }

    /// A client of Catalog.
    #[must_use]
    pub fn catalog(&self) -> CatalogClient<Channel> {
        CatalogClient::new(channel(&self.vault))
    }

    /// A client of Routing.
    #[must_use]
    pub fn routing(&self) -> RoutingClient<Channel> {
        RoutingClient::new(channel(&self.routing))
    }

    /// Stores a key with default settings.
    ///
    /// # Errors
    /// The service's.
    pub async fn create(&self, parent: &str, provider: &str, secret: &str) -> Result<ProviderKey, Status> {
        let request = create_request(parent, provider, secret);
        Ok(self.key_vault().create_provider_key(request).await?.into_inner())
    }
}

/// A request to store an API key.
#[must_use]
pub fn create_request(parent: &str, provider: &str, secret: &str) -> CreateProviderKeyRequest {
    CreateProviderKeyRequest {
        parent: parent.to_owned(),
        provider_key: Some(ProviderKey { provider: provider.to_owned(), ..Default::default() }),
        secret: Some(Secret { kind: Some(secret::Kind::ApiKey(secret.to_owned())) }),
        ..Default::default()
    }
}

/// A request to resolve for a workspace; add what narrows it.
#[must_use]
pub fn resolve_request(workspace: &str) -> ResolveKeyRequest {
    ResolveKeyRequest { workspace: workspace.to_owned(), ..Default::default() }
}

/// The environment of a development keyvault in a folder.
#[must_use]
pub fn vault_environment(folder: &Path) -> Vec<(String, String)> {
    environment(&[
        ("CLAVIGER_DEV", "1"),
        ("CLAVIGER_DATA_DIR", &folder.join("data").to_string_lossy()),
        ("CLAVIGER_CATALOG_FILE", &folder.join("catalog.toml").to_string_lossy()),
        ("CLAVIGER_EGRESS_ALLOW", "127.0.0.1"),
        ("CLAVIGER_KEYVAULT_LISTEN", "127.0.0.1:0"),
        ("CLAVIGER_KEYVAULT_HEALTH_LISTEN", "127.0.0.1:0"),
        ("CLAVIGER_KEYVAULT_METRICS_LISTEN", "127.0.0.1:0"),
    ])
}

/// What a keyvault is told besides, to work on a server's database. A master key file is made in the folder, once.
///
/// # Errors
/// When the file cannot be made.
pub fn database_environment(folder: &Path, url: &str) -> anyhow::Result<Vec<(String, String)>> {
    let file = folder.join("master.key");
    let path = file.to_string_lossy();
    if !file.exists() {
        let mut made = Process::spawn("claviger-keyvault", &["keyring", "generate", "--out", &path], &[])?;
        anyhow::ensure!(made.wait(READY)?.success(), "no master key: {}", made.log());
    }
    Ok(environment(&[("CLAVIGER_DATABASE_URL", url), ("CLAVIGER_MASTER_KEY_FILE", &path)]))
}

/// A client of a keyvault's KeyVault.
#[must_use]
pub fn key_vault_of(vault: &Process) -> KeyVaultClient<Channel> {
    KeyVaultClient::new(channel(vault))
}

/// A client of a keyvault's AuditLog.
#[must_use]
pub fn audit_log_of(vault: &Process) -> AuditLogClient<Channel> {
    AuditLogClient::new(channel(vault))
}

/// Pairs of texts as an environment.
#[must_use]
pub fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn start_vault(folder: &Path, options: &Options) -> anyhow::Result<Process> {
    let database = match &options.database {
        Some(url) => database_environment(folder, url)?,
        None => Vec::new(),
    };
    let environment = [vault_environment(folder), database, options.vault.clone()].concat();
    Process::start("claviger-keyvault", &["serve"], &environment)
}

fn start_routing(folder: &Path, vault: &Process, options: &Options) -> anyhow::Result<Process> {
    let usual = environment(&[
        ("CLAVIGER_DEV", "1"),
        ("CLAVIGER_CATALOG_FILE", &folder.join("catalog.toml").to_string_lossy()),
        ("CLAVIGER_KEYVAULT_URL", &format!("http://{}", vault.address("grpc"))),
        ("CLAVIGER_ROUTING_LISTEN", "127.0.0.1:0"),
        ("CLAVIGER_ROUTING_HEALTH_LISTEN", "127.0.0.1:0"),
        ("CLAVIGER_ROUTING_METRICS_LISTEN", "127.0.0.1:0"),
    ]);
    Process::start("claviger-routing", &["serve"], &[usual, options.routing.clone()].concat())
}

/// Waits until a service says on its health port that it is ready.
///
/// # Errors
/// When it does not.
pub async fn until_serving(process: &Process, service: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY;
    while !serving(process, service).await {
        if Instant::now() > deadline {
            bail!("{service} is not ready:\n{}", process.log());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Whether a service says on its health port that it is ready.
pub async fn serving(process: &Process, service: &str) -> bool {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{}", process.address("health"))) else { return false };
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(endpoint.connect_lazy()).check(request).await;
    answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
}

fn channel(process: &Process) -> Channel {
    let address = format!("http://{}", process.address("grpc"));
    Endpoint::from_shared(address).map(|endpoint| endpoint.connect_lazy()).unwrap_or_else(|_| unreachable!())
}

fn catalog(provider: &str) -> String {
    let providers = ["anthropic", "openai", "google", "elevenlabs", "mistral"];
    providers
        .map(|id| format!("[[provider]]\nid = \"{id}\"\nbase_url = {{ default = \"{provider}/{id}\" }}\n"))
        .join("\n")
        + &format!(
            "[[provider]]\nid = \"vertex\"\ntest = {{ kind = \"token_exchange\", url = \"{provider}/token\" }}\n"
        )
}
