//! Settings: each is an environment variable and a flag.

mod before;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use claviger_runtime::args::Common;
use secrecy::SecretString;

use crate::audit_file::Head;

pub use before::{Before, InvalidBefore};

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
    /// Bring the database to this release's schema, apart from serving, with the role that owns the tables
    Migrate(Migrate),
    /// Make, look at or change the master key file
    #[command(subcommand)]
    Keyring(Keyring),
    /// Verify an exported audit log, or move the oldest part of the log out of the database
    #[command(subcommand)]
    Audit(Audit),
    /// Ask a service on a plaintext port whether it is ready (exit code 0) or not (1)
    Health(Health),
}

/// Master keys.
#[derive(Debug, clap::Subcommand)]
pub enum Keyring {
    /// Make a master key file with one new key
    Generate(Generate),
    /// List the keys of a master key file; shows no secret
    List(KeyFile),
    /// Say what is wrong with a master key file, or else list its keys; with a database, open all that is in it, too. Shows
    /// no secret and changes nothing
    Check(Check),
    /// Add a key that nothing is sealed under yet: the first step of a rotation (docs/keyring.md)
    Add(KeyFile),
    /// Make a pending key the one that seals, once every replica has it: the second step
    Promote(OneKey),
    /// Remove a key that nothing is sealed under any more: the last step
    Retire(Retire),
}

/// Where a new master key file goes.
#[derive(Debug, clap::Args)]
pub struct Generate {
    /// The file to make, readable by its owner alone; an existing one is never overwritten. `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Which master key file.
#[derive(Debug, clap::Args)]
pub struct KeyFile {
    /// The file
    #[arg(long, env = "CLAVIGER_MASTER_KEY_FILE", value_name = "FILE")]
    pub file: PathBuf,
}

/// Which key of which master key file.
#[derive(Debug, clap::Args)]
pub struct OneKey {
    /// The file.
    #[command(flatten)]
    pub of: KeyFile,
    /// The key's id, as `keyring list` shows it
    #[arg(long, value_name = "ID")]
    pub id: String,
}

/// Which master key file, and perhaps which database.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The file.
    #[command(flatten)]
    pub of: KeyFile,
    /// The database.
    #[command(flatten)]
    pub storage: Storage,
}

/// Which key to remove, and how sure.
#[derive(Debug, clap::Args)]
pub struct Retire {
    /// The key.
    #[command(flatten)]
    pub key: OneKey,
    /// The database that must not need the key any more.
    #[command(flatten)]
    pub storage: Storage,
    /// Remove the key without asking a database. What is still sealed under it is then lost for ever
    #[arg(long)]
    pub without_database_check: bool,
}

/// The audit log.
#[derive(Debug, clap::Subcommand)]
pub enum Audit {
    /// Move the oldest events into a file and out of the database, sealed (docs/audit.md). The service may run meanwhile
    Seal(Seal),
    /// Verify an exported audit log (docs/audit.md); needs no database, network or master key
    Verify(Verify),
}

/// What to verify.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The files, in the order of their events; each continues the one before
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// An event's number and hash as the service logged them, which must be in the files; may be given several times
    #[arg(long = "head", value_name = "SEQ:HASH")]
    pub heads: Vec<Head>,
}

/// What to seal.
#[derive(Debug, clap::Args)]
pub struct Seal {
    /// Up to when: a time in RFC 3339, or an age such as `90d` or `36h`
    #[arg(long, value_name = "TIME")]
    pub before: Before,
    /// How many events to move out at most: the service's changes wait meanwhile, and fail after 5 s
    #[arg(long, value_name = "EVENTS", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_events: u64,
    /// The file to make; an existing one is never overwritten. From then on it is the only place of these events
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Where the database is.
    #[command(flatten)]
    pub storage: Storage,
    /// The service's master key file; the variable CLAVIGER_MASTER_KEY counts as it does for the service
    #[arg(long, env = "CLAVIGER_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
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

/// Which database to migrate, and for whom.
#[derive(Debug, clap::Args)]
pub struct Migrate {
    /// The database.
    #[command(flatten)]
    pub storage: Storage,

    /// The role of the database server that the service connects as: it may then do what the service needs, and nothing else.
    /// It must exist, and own nothing of the database
    #[arg(long, value_name = "NAME", conflicts_with = "check")]
    pub service_role: Option<String>,

    /// Change nothing: say which migrations ran, and end with code 1 if some are pending
    #[arg(long)]
    pub check: bool,
}

/// Where the database is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Storage {
    /// Folder of the embedded database; must be set outside --dev, where it is `.data`, unless there is a database URL
    #[arg(long, env = "CLAVIGER_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// The database, in place of the embedded one: `postgres://user:password@host/database?sslmode=verify-full`, or
    /// `sqlite:///path/to/file`. Prefer the variable: command lines can be read by every user of a machine
    #[arg(long, env = "CLAVIGER_DATABASE_URL", hide_env_values = true, value_name = "URL", value_parser = secret)]
    pub database_url: Option<SecretString>,
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

    /// Where the database is.
    #[command(flatten)]
    pub storage: Storage,

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

    /// The HTTP proxy that providers are reached through, `http://[user:password@]host:port`; none: directly, whatever
    /// HTTP_PROXY says. Prefer the variable: command lines can be read by every user of a machine
    #[arg(long, env = "CLAVIGER_EGRESS_PROXY", hide_env_values = true, value_name = "URL", value_parser = secret)]
    pub egress_proxy: Option<SecretString>,

    /// A PEM file of CAs that providers' certificates may come from, beside the public ones: those of a private gateway, or
    /// of a proxy that looks into TLS
    #[arg(long, env = "CLAVIGER_EGRESS_CA_FILE", value_name = "FILE")]
    pub egress_ca_file: Option<PathBuf>,

    /// The SPIFFE trust domain of all callers, such as `example.org`; must be set outside --dev
    #[arg(long, env = "CLAVIGER_TRUST_DOMAIN", value_name = "DOMAIN")]
    pub trust_domain: Option<String>,

    /// The one SPIFFE URI that KeyFeed admits, compared byte for byte; must be set outside --dev
    #[arg(long, env = "CLAVIGER_ROUTING_ID", value_name = "SPIFFE URI")]
    pub routing_id: Option<String>,

    /// The plans that include own keys, separated by commas; empty is all of them, and workspaces without a plan too
    #[arg(long, env = "CLAVIGER_BYOK_PLANS", default_value = "", value_name = "LIST")]
    pub byok_plans: String,

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

/// Takes any text: what cannot be used is refused later, by an error that does not repeat it as clap's would.
fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[test]
    fn a_proxy_s_password_is_not_shown() {
        let cli = Cli::parse_from(["claviger-keyvault", "serve", "--egress-proxy", "http://u:hidden@proxy:1"]);
        assert!(!format!("{cli:?}").contains("hidden"));
        let mut serve = Cli::command();
        let help = serve.find_subcommand_mut("serve").map(|serve| serve.render_long_help().to_string());
        assert!(help.is_some_and(|help| help.contains("[env: CLAVIGER_EGRESS_PROXY]")), "without a value");
    }

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

    #[test]
    fn an_audit_log_needs_a_file_and_may_have_many_files_and_heads() {
        let parse = |args: &[&str]| Cli::try_parse_from(["claviger-keyvault", "audit", "verify"].iter().chain(args));
        let (one, two) = (format!("1:{}", "ab".repeat(32)), format!("2:{}", "cd".repeat(32)));
        let Ok(Cli { command: Command::Audit(Audit::Verify(of)) }) =
            parse(&["--head", &one, "b.jsonl", "--head", &two, "a.jsonl"])
        else {
            unreachable!("well-formed")
        };
        assert_eq!(of.files, [PathBuf::from("b.jsonl"), "a.jsonl".into()]);
        assert_eq!(of.heads.iter().map(Head::to_string).collect::<Vec<_>>(), [one, two]);
        assert!(parse(&[]).is_err());
        assert!(parse(&["--head", "1:ab", "a.jsonl"]).is_err());
    }
}
