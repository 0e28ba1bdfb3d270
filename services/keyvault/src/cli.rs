//! The commands.

use std::io::Write;

use anyhow::{Context, bail};
use claviger_runtime::process;

use crate::config::{Cli, Command, Generate, Health, Keyring, List};
use crate::{app, master_key};

/// Runs a command.
///
/// # Errors
/// What stopped it, in a line that says what to do.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    process::harden()?;
    match cli.command {
        Command::Serve(settings) => app::run(*settings),
        Command::Keyring(Keyring::Generate(to)) => generate(&to),
        Command::Keyring(Keyring::List(of)) => list(&of),
        Command::Health(of) => health(&of),
    }
}

fn generate(to: &Generate) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    if to.out.as_os_str() == "-" {
        return Ok(stdout.write_all(master_key::fresh()?.as_bytes())?);
    }
    master_key::generate(&to.out)?;
    writeln!(stdout, "made {}; keep a copy where the database's backups are not", to.out.display())?;
    Ok(())
}

fn list(of: &List) -> anyhow::Result<()> {
    let keyring = master_key::read(&of.file)?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{:<24} {:<14} CREATED", "ID", "STATE")?;
    for key in keyring.iter() {
        writeln!(stdout, "{:<24} {:<14} {}", key.id(), key.state().as_str(), key.create_time())?;
    }
    Ok(())
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
