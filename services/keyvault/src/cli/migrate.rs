//! The command that brings the database to this release's schema.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Context, bail};

use crate::app::storage;
use crate::config::Migrate;
use crate::store::{Location, migrate, migrations};

/// Runs it, or with `--check` only looks; `out` gets a table of what ran.
///
/// # Errors
/// What stopped it; with `--check`, that something is pending.
pub(super) async fn run(of: &Migrate, out: &mut impl Write) -> anyhow::Result<()> {
    let (location, folder) = storage::location(&of.storage, false)?;
    if of.check {
        return check(&location, out).await;
    }
    storage::make(folder.as_deref())?;
    let ran = migrate(&location, of.service_role.as_deref()).await.context("nothing more was changed")?;
    let now: BTreeSet<_> = ran.into_iter().map(|migration| migration.name).collect();
    table(&location, out, |name| if now.contains(name) { "ran now" } else { "ran before" }).await?;
    if let Some(role) = &of.service_role {
        writeln!(out, "{role} may do what the service needs, and may only add to the audit log")?;
    }
    Ok(())
}

async fn check(location: &Location, out: &mut impl Write) -> anyhow::Result<()> {
    let pending = table(location, out, |_| "ran before").await?;
    if pending > 0 {
        bail!("{pending} migrations are pending: run `claviger-keyvault migrate` with the role that owns the tables");
    }
    Ok(())
}

/// Answers how many are pending.
async fn table(location: &Location, out: &mut impl Write, ran: impl Fn(&str) -> &str) -> anyhow::Result<usize> {
    let all = migrations(location).await?;
    writeln!(out, "{:<32} STATE", "MIGRATION")?;
    for migration in &all {
        let state = if migration.applied { ran(&migration.name) } else { "pending" };
        writeln!(out, "{:<32} {state}", migration.name)?;
    }
    Ok(all.iter().filter(|migration| !migration.applied).count())
}
