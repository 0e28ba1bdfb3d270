//! The vault as a process, called over gRPC.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_proto::keyvault_v1::Verification;
use claviger_proto::keyvault_v1::key_vault_client::KeyVaultClient;
use claviger_tests::fleet::{
    create_request, database_environment, environment, key_vault_of, until_serving, vault_environment,
};
use claviger_tests::{Process, key, postgres};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::{Kind, WORKSPACES};

/// A vault on a database of its own.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) vault: Process,
    next: Arc<AtomicU64>,
    pub(crate) folder: TempDir,
    pub(crate) url: String,
}

/// A client with a connection of its own.
#[derive(Debug)]
pub(crate) struct Client {
    stub: KeyVaultClient<Channel>,
    next: Arc<AtomicU64>,
}

impl Service {
    pub(crate) async fn start(kind: Kind) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("catalog.toml"), "")?;
        let (url, database) = match kind {
            Kind::Sqlite => (format!("sqlite://{}/data/keyvault.db?mode=rw", folder.path().display()), Vec::new()),
            Kind::Postgres => {
                let url = postgres::schema().await?.url;
                let database = database_environment(folder.path(), &url)?;
                (url, database)
            }
        };
        let quiet = environment(&[("CLAVIGER_LOG", "warn,claviger_runtime::server=info")]); // nobody reads the lines of each call
        let environment = [vault_environment(folder.path()), database, quiet].concat();
        let vault = Process::start("claviger-keyvault", &["serve"], &environment)?;
        until_serving(&vault, "claviger.keyvault.v1.KeyVault").await?;
        Ok(Self { vault, next: Arc::default(), folder, url })
    }

    /// A client that has made its connection.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let mut client = Client { stub: key_vault_of(&self.vault), next: self.next.clone() };
        client.create().await?;
        Ok(client)
    }

    /// Stores the first key of each workspace, with which the workspace itself is made.
    pub(crate) async fn fill(&self) -> anyhow::Result<()> {
        let mut client = self.client().await?;
        for _ in 0..WORKSPACES {
            client.create().await?;
        }
        Ok(())
    }
}

impl Client {
    /// Stores a key without a live test, which is the providers' time.
    pub(crate) async fn create(&mut self) -> anyhow::Result<()> {
        let workspace = self.next.fetch_add(1, Ordering::Relaxed) % WORKSPACES;
        let mut request = create_request(&format!("workspaces/w{workspace}"), "anthropic", &key("good"));
        request.set_verification(Verification::Skip);
        self.stub.create_provider_key(request).await?;
        Ok(())
    }
}
