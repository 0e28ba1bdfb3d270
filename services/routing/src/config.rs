//! Settings: each is an environment variable and a flag.

use std::net::SocketAddr;
use std::path::PathBuf;

use claviger_runtime::args::Common;

/// Claviger's data plane: tells each runtime call which provider key to use.
#[derive(Debug, clap::Parser)]
#[command(name = "claviger-routing", version, about, max_term_width = 120)]
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
}

/// The service's settings.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Where to serve gRPC; port 0 takes a free one and logs it
    #[arg(long, env = "CLAVIGER_ROUTING_LISTEN", default_value = "127.0.0.1:50052", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Where to serve health alone, in plaintext, for kubelet's probes
    #[arg(long, env = "CLAVIGER_ROUTING_HEALTH_LISTEN", default_value = "127.0.0.1:50062", value_name = "ADDRESS")]
    pub health_listen: SocketAddr,

    /// Where to serve Prometheus metrics (HTTP, `/metrics`)
    #[arg(long, env = "CLAVIGER_ROUTING_METRICS_LISTEN", default_value = "127.0.0.1:9465", value_name = "ADDRESS")]
    pub metrics_listen: SocketAddr,

    /// Where keyvault is: `http://host:port` with --dev, else `https://host:port`
    #[arg(long, env = "CLAVIGER_KEYVAULT_URL", default_value = "http://127.0.0.1:50051", value_name = "URL")]
    pub keyvault_url: String,

    /// PEM file of the CAs that sign keyvault's certificate; the callers' CAs if left out
    #[arg(long, env = "CLAVIGER_KEYVAULT_CA", value_name = "FILE")]
    pub keyvault_ca: Option<PathBuf>,

    /// The DNS name in keyvault's certificate; the host of the URL if left out
    #[arg(long, env = "CLAVIGER_KEYVAULT_SERVER_NAME", value_name = "NAME")]
    pub keyvault_server_name: Option<String>,

    /// A TOML file that adds providers to the catalog or overrides them; give keyvault the same
    #[arg(long, env = "CLAVIGER_CATALOG_FILE", value_name = "FILE")]
    pub catalog_file: Option<PathBuf>,

    /// The SPIFFE trust domain of all callers, such as `example.org`; must be set outside --dev
    #[arg(long, env = "CLAVIGER_TRUST_DOMAIN", value_name = "DOMAIN")]
    pub trust_domain: Option<String>,

    /// Refuse workspaces without a record, instead of treating them as empty ones (always so outside --dev)
    #[arg(long, env = "CLAVIGER_EXPLICIT_WORKSPACES", value_parser = clap::builder::BoolishValueParser::new())]
    pub explicit_workspaces: bool,

    /// Settings that both services have.
    #[command(flatten)]
    pub common: Common,
}

impl Serve {
    /// Whether a workspace without a record is an empty one. Outside `--dev` no caller's identity names a workspace yet,
    /// so records are always asked for there.
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
