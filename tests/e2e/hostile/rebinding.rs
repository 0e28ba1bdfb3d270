//! Names that lead inside, and names that change their mind. The vault runs with a hosts file of its own, in a mount
//! namespace, so that a public-looking name can lead anywhere.

use std::net::TcpListener;
use std::path::Path;

use claviger_proto::keyvault_v1::key_vault_client::KeyVaultClient;
use claviger_proto::keyvault_v1::{CreateProviderKeyRequest, TestProviderKeyRequest, Verification};
use claviger_tests::fleet::{create_request, until_serving, vault_environment};
use claviger_tests::{Process, key_for};
use tonic::transport::{Channel, Endpoint};

use super::assert_refused;
use crate::flow::edit;

const NOT_ALLOWED: &str = "BASE_URL_NOT_ALLOWED";
const NAMESPACE: [&str; 5] = ["--user", "--map-root-user", "--mount", "sh", "-c"];

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_inside_is_refused_whenever_it_does() {
    let without = std::env::var_os("CLAVIGER_TESTS_WITHOUT_NAMESPACES").is_some();
    if without {
        return; // said by whoever runs the tests, not found out by them
    }
    assert!(
        namespaces_are_permitted(),
        "this system permits no user namespaces; CLAVIGER_TESTS_WITHOUT_NAMESPACES=1 leaves this test out"
    );
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 inside.example\n169.254.169.254 meta.example\n1.1.1.1 turns.example\n").unwrap();
    let vault = start(folder.path());
    until_serving(&vault, "claviger.keyvault.v1.KeyVault").await.unwrap();
    let mut client = client(&vault);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();

    for url in [format!("https://inside.example:{port}/canary"), "https://meta.example/canary".to_owned()] {
        for verification in [Verification::Require, Verification::Skip] {
            let refused = client.create_provider_key(request(&url, verification)).await.unwrap_err();
            assert_refused(&url, &refused, NOT_ALLOWED);
        }
    }

    let outside = request(&format!("https://turns.example:{port}/canary"), Verification::Skip);
    let name = client.create_provider_key(outside).await.unwrap().into_inner().name;
    std::fs::write(&hosts, "127.0.0.1 turns.example\n").unwrap();
    let refused = client.test_provider_key(TestProviderKeyRequest { name, ..Default::default() }).await.unwrap_err();
    assert_refused("turned", &refused, NOT_ALLOWED);
    assert!(listener.accept().is_err(), "someone connected");
}

fn request(base_url: &str, verification: Verification) -> CreateProviderKeyRequest {
    let mut request = create_request("workspaces/acme", "custom", &key_for("", "canary"));
    edit(&mut request).base_url = base_url.to_owned();
    request.verification = verification.into();
    request
}

fn namespaces_are_permitted() -> bool {
    let mut command = std::process::Command::new("unshare");
    command.args(NAMESPACE).arg("mount --bind /dev/null /etc/hosts");
    command.output().is_ok_and(|output| output.status.success())
}

/// keyvault with `folder/hosts` in the place of /etc/hosts, and no address allowed.
fn start(folder: &Path) -> Process {
    std::fs::write(folder.join("catalog.toml"), "").unwrap();
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("claviger-keyvault");
    let mut environment = vault_environment(folder);
    for (name, value) in [
        ("CLAVIGER_EGRESS_ALLOW", String::new()),
        ("PATH", std::env::var("PATH").unwrap()),
        ("HOSTS", folder.join("hosts").display().to_string()),
        ("PROGRAM", program.display().to_string()),
    ] {
        environment.push((name.to_owned(), value));
    }
    let script = "mount --bind \"$HOSTS\" /etc/hosts && exec \"$PROGRAM\" serve";
    let arguments = [&NAMESPACE[..], &[script]].concat();
    Process::start("/usr/bin/unshare", &arguments, &environment).unwrap()
}

fn client(vault: &Process) -> KeyVaultClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", vault.address("grpc"))).unwrap();
    KeyVaultClient::new(endpoint.connect_lazy())
}
