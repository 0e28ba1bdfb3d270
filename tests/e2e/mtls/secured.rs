//! Both services outside `--dev`.

use std::path::Path;
use std::time::Duration;

use claviger_tests::Process;
use claviger_tests::fleet::{environment, until_serving};
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::pki::{Authority, Identity};
use crate::startup::place::{Refusal, refuse};

pub(crate) const ROUTING: &str = "spiffe://example.org/claviger/routing";
pub(crate) const RUNTIME: &str = "spiffe://example.org/agents/runtime";

/// Both services, the authority of all certificates, and the folder that holds everything.
pub(crate) struct Secured {
    pub(crate) folder: TempDir,
    pub(super) authority: Authority,
    pub(crate) vault: Process,
    pub(super) routing: Process,
}

impl Secured {
    /// Starts both services under mTLS and waits until routing is linked to the vault.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[], &[]).await
    }

    /// The same with more environment: for both, and for the vault alone.
    pub(crate) async fn start_with(both: &[(String, String)], vault: &[(String, String)]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        authority.issue(&["spiffe://example.org/claviger/keyvault"]).write(folder.path(), "vault");
        authority.issue(&[ROUTING]).write(folder.path(), "routing");
        let vault = start_vault(&folder, &[both, vault].concat());
        let routing = start_routing(&folder, &vault, both);
        until_serving(&vault, "claviger.keyvault.v1.KeyVault").await.unwrap();
        until_serving(&routing, "claviger.routing.v1.Routing").await.unwrap();
        Self { folder, authority, vault, routing }
    }

    /// Both services, each with its package.
    pub(super) fn services(&self) -> [(&Process, &'static str); 2] {
        [(&self.vault, "claviger.keyvault.v1"), (&self.routing, "claviger.routing.v1")]
    }

    /// A channel over TLS; without a certificate of its own if there is none.
    pub(super) fn channel(&self, process: &Process, identity: Option<&Identity>) -> Channel {
        let ca = Certificate::from_pem(self.authority.pem());
        let mut tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost");
        if let Some(Identity { certificate, key }) = identity {
            tls = tls.identity(tonic::transport::Identity::from_pem(certificate, key));
        }
        let address = format!("https://{}", process.address("grpc"));
        Endpoint::from_shared(address).unwrap().tls_config(tls).unwrap().connect_lazy()
    }

    /// A channel of a caller that the authority names with these URIs.
    pub(crate) fn channel_as(&self, process: &Process, uris: &[&str]) -> Channel {
        self.channel(process, Some(&self.authority.issue(uris)))
    }
}

fn start_vault(folder: &TempDir, more: &[(String, String)]) -> Process {
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let mut generate =
        Process::spawn("claviger-keyvault", &["keyring", "generate", "--out", &place("master.key")], &[]).unwrap();
    assert!(generate.wait(Duration::from_secs(10)).unwrap().success());
    let own = environment(&[
        ("CLAVIGER_MASTER_KEY_FILE", &place("master.key")),
        ("CLAVIGER_DATA_DIR", &place("data")),
        ("CLAVIGER_ROUTING_ID", ROUTING),
    ]);
    let environment = [usual(folder.path(), "vault", "KEYVAULT"), own, more.to_vec()].concat();
    Process::start("claviger-keyvault", &["serve"], &environment).unwrap()
}

fn start_routing(folder: &TempDir, vault: &Process, more: &[(String, String)]) -> Process {
    let url = format!("https://localhost:{}", vault.address("grpc").port());
    let own = environment(&[("CLAVIGER_KEYVAULT_URL", &url)]);
    Process::start(
        "claviger-routing",
        &["serve"],
        &[usual(folder.path(), "routing", "ROUTING"), own, more.to_vec()].concat(),
    )
    .unwrap()
}

fn usual(folder: &Path, name: &str, service: &str) -> Vec<(String, String)> {
    let place = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let free_port = |listener: &str| (format!("CLAVIGER_{service}_{listener}"), "127.0.0.1:0".to_owned());
    let tls = environment(&[
        ("CLAVIGER_TLS_CERT", &place(&format!("{name}.crt"))),
        ("CLAVIGER_TLS_KEY", &place(&format!("{name}.key"))),
        ("CLAVIGER_TLS_CLIENT_CA", &place("ca.pem")),
        ("CLAVIGER_TRUST_DOMAIN", "example.org"),
    ]);
    [tls, ["LISTEN", "HEALTH_LISTEN", "METRICS_LISTEN"].map(free_port).to_vec()].concat()
}

/// A vault outside `--dev` that must not start.
pub(crate) fn refused(folder: &Path, more: &[(String, String)]) -> Refusal {
    let authority = Authority::new();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    authority.issue(&["spiffe://example.org/claviger/keyvault"]).write(folder, "vault");
    let own = environment(&[("CLAVIGER_ROUTING_ID", ROUTING)]);
    refuse(&[usual(folder, "vault", "KEYVAULT"), own, more.to_vec()].concat())
}
