//! Settings: each is an environment variable and a flag.

use std::net::SocketAddr;
use std::path::PathBuf;

use claviger_runtime::args::Common;
use secrecy::SecretString;

/// Claviger's control plane: stores provider keys sealed, tests them live, and feeds them to routing.
#[derive(Debug, clap::Parser)]
#[command(name = "claviger-keyvault", version, about, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the service
    Serve(Box<Serve>),
    /// Make or look at the master key file
    #[command(subcommand)]
    Keyring(Keyring),
    /// Ask a service on a plaintext port whether it is ready (exit code 0) or not (1)
    Health(Health),
}

/// Master keys.
#[derive(Debug, clap::Subcommand)]
pub enum Keyring {
    /// Make a master key file with one new key
    Generate(Generate),
    /// Check a master key file and list its keys; shows no secret
    List(List),
}

/// Where a new master key file goes.
#[derive(Debug, clap::Args)]
pub struct Generate {
    /// The file to make, readable by its owner alone; an existing one is never overwritten. `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Which master key file to look at.
#[derive(Debug, clap::Args)]
pub struct List {
    /// The file
    #[arg(long, env = "CLAVIGER_MASTER_KEY_FILE", value_name = "FILE")]
    pub file: PathBuf,
}

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub struct Health {
    /// Where the service's plaintext (health or --dev) port is
    #[arg(long, default_value = "127.0.0.1:50061", value_name = "ADDRESS")]
    pub address: SocketAddr,
    /// Which service; the default asks for the process as a whole
    #[arg(long, default_value = "", value_name = "NAME")]
    pub service: String,
}

/// The service's settings.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Where to serve gRPC; port 0 takes a free one and logs it
    #[arg(long, env = "CLAVIGER_KEYVAULT_LISTEN", default_value = "127.0.0.1:50051", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Where to serve health alone, in plaintext, for kubelet's probes
    #[arg(long, env = "CLAVIGER_KEYVAULT_HEALTH_LISTEN", default_value = "127.0.0.1:50061", value_name = "ADDRESS")]
    pub health_listen: SocketAddr,

    /// Where to serve Prometheus metrics (HTTP, `/metrics`)
    #[arg(long, env = "CLAVIGER_KEYVAULT_METRICS_LISTEN", default_value = "127.0.0.1:9464", value_name = "ADDRESS")]
    pub metrics_listen: SocketAddr,

    /// Folder of the embedded database; must be set outside --dev, where it is `.data`
    #[arg(long, env = "CLAVIGER_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// The master key file (`claviger-keyvault keyring generate` makes one); with --dev one is made in the data folder.
    /// Instead of a file, the variable CLAVIGER_MASTER_KEY may hold a base64 key of 32 bytes; prefer the file
    #[arg(long, env = "CLAVIGER_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,

    /// A TOML file that adds providers to the catalog or overrides them (docs/catalog.md)
    #[arg(long, env = "CLAVIGER_CATALOG_FILE", value_name = "FILE")]
    pub catalog_file: Option<PathBuf>,

    /// Hosts (host or host:port) or CIDRs, separated by commas, that keys may be for and tests may reach although they are
    /// private (a local Ollama, say); to listed hosts plain HTTP is allowed too
    #[arg(long, env = "CLAVIGER_EGRESS_ALLOW", default_value = "", value_name = "LIST")]
    pub egress_allow: String,

    /// The SPIFFE trust domain of all callers, such as `example.org`; must be set outside --dev
    #[arg(long, env = "CLAVIGER_TRUST_DOMAIN", value_name = "DOMAIN")]
    pub trust_domain: Option<String>,

    /// The one SPIFFE URI that KeyFeed admits, compared byte for byte; must be set outside --dev
    #[arg(long, env = "CLAVIGER_ROUTING_ID", value_name = "SPIFFE URI")]
    pub routing_id: Option<String>,

    /// Refuse keys for workspaces without a record, instead of making the record with the first key (always so outside --dev)
    #[arg(long, env = "CLAVIGER_EXPLICIT_WORKSPACES", value_parser = clap::builder::BoolishValueParser::new())]
    pub explicit_workspaces: bool,

    /// Settings that both services have.
    #[command(flatten)]
    pub common: Common,
}

impl Serve {
    /// The bare master key of the environment. It is no flag: command lines can be read by every user of a machine.
    /// What is no text becomes a text that is no key, and so an error.
    #[must_use]
    pub fn bare_master_key() -> Option<SecretString> {
        let key = std::env::var_os("CLAVIGER_MASTER_KEY").filter(|key| !key.is_empty())?;
        Some(key.into_string().unwrap_or_else(|_| "?".to_owned()).into())
    }

    /// Whether a workspace's first key makes its record. Outside `--dev` no caller's identity names a workspace yet, so
    /// records are always explicit there.
    #[must_use]
    pub fn implicit_workspaces(&self) -> bool {
        self.common.dev && !self.explicit_workspaces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed_and_each_setting_is_a_flag_and_a_variable() {
        Cli::command().debug_assert();
        let cli = Cli::command();
        let serve = cli.find_subcommand("serve").into_iter().flat_map(clap::Command::get_arguments);
        let mut settings = 0;
        for arg in serve {
            settings += 1;
            assert!(
                arg.get_long().is_some() && arg.get_env().is_some() && arg.get_help().is_some(),
                "{}",
                arg.get_id()
            );
        }
        assert!(settings > 12, "{settings}");
    }
}
