//! The commands.

mod audit;
pub mod keyring;
mod migrate;
mod progress;

use anyhow::{Context, bail};
use claviger_runtime::process;

use crate::app;
use crate::config::{Audit, Cli, Command, Health};

/// Runs a command.
///
/// # Errors
/// What stopped it, in a line that says what to do.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    process::harden()?;
    match cli.command {
        Command::Serve(settings) => app::run(*settings),
        Command::Keyring(command) => keyring::run(&command, &mut std::io::stdout().lock()),
        Command::Audit(Audit::Verify(of)) => audit::verify(&of),
        Command::Audit(Audit::Seal(of)) => audit::seal(&of),
        Command::Migrate(of) => process::block_on(migrate::run(&of, &mut std::io::stdout()))?,
        Command::Health(of) => health(&of),
    }
}

fn health(of: &Health) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serving = runtime
        .block_on(claviger_runtime::health::ask(of.address, &of.service))
        .with_context(|| format!("no answer from {}", of.address))?;
    if !serving {
        bail!("not serving");
    }
    Ok(())
}
