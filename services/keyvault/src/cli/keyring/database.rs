//! What the commands ask of the database. A vault may be running on it, or none.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use claviger_core::audit::Origin;
use claviger_crypto::Keyring;
use secrecy::ExposeSecret;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::cli::progress::Progress;
use crate::config::Storage;
use crate::master_key;
use crate::store::{Database, Dependents, Inspection, Location};
use crate::usecase::custody::{self, Custody};
use crate::usecase::keyring_check::{self, Report};
use crate::usecase::master_keys::MasterKeys;

/// From this many keys and records on, `keyring check` shows how far it is.
const MANY: u64 = 20_000;

/// The database that the settings name; none if they name none.
pub(super) fn existing(storage: &Storage) -> anyhow::Result<Option<Location>> {
    match (&storage.database_url, &storage.data_dir) {
        (Some(url), _) if !url.expose_secret().is_empty() => {
            Location::parse(url.expose_secret(), false).context("CLAVIGER_DATABASE_URL").map(Some)
        }
        (_, Some(folder)) => Ok(Some(Location::Sqlite(folder.join("keyvault.db")))),
        _ => Ok(None),
    }
}

/// Opens all that the database holds, and shows how much that is.
///
/// # Errors
/// When something does not open.
pub(super) fn check(keyring: &Keyring, location: &Location, out: &mut impl Write) -> anyhow::Result<()> {
    let mut shown = Progress::of_at_least(MANY);
    let mut progress = |done, total| shown.show(done, total);
    let report = block_on(async {
        let database = Inspection::open(location).await?;
        let report = keyring_check::check(keyring, &database, &mut progress).await?;
        database.close().await?;
        anyhow::Ok(report)
    })?;
    drop(shown);
    table(keyring, &report, out)?;
    verdict(&report)
}

fn table(keyring: &Keyring, report: &Report, out: &mut impl Write) -> anyhow::Result<()> {
    let row = |out: &mut dyn Write, texts: [&str; 6]| {
        let [id, state, workspace_keys, service_keys, records, unreadable] = texts;
        writeln!(out, "{id:<24} {state:<14} {workspace_keys:>14} {service_keys:>12} {records:>12} {unreadable:>12}")
    };
    row(out, ["MASTER KEY", "STATE", "WORKSPACE KEYS", "SERVICE KEYS", "RECORDS", "UNREADABLE"])?;
    for (id, of) in &report.keys {
        let state = keyring.get(id).map_or("missing", |key| key.state().as_str());
        let [a, b, c, d] = [of.workspace_keys, of.service_keys, of.records, of.unreadable].map(|n| n.to_string());
        row(out, [id, state, &a, &b, &c, &d])?;
    }
    if report.shredded > 0 {
        writeln!(out, "{} revoked keys of deleted workspaces: destroyed, as they should be", report.shredded)?;
    }
    Ok(())
}

fn verdict(report: &Report) -> anyhow::Result<()> {
    let bad = report.keys.iter().filter(|(_, of)| of.unreadable > 0);
    let bad: Vec<_> = bad.map(|(id, of)| format!("{} under master key {id}", of.unreadable)).collect();
    if bad.is_empty() {
        return Ok(());
    }
    bail!("{} keys and records do not open: {}", report.unreadable(), bad.join(", "))
}

/// Makes the database forget a master key that nothing is wrapped under.
///
/// # Errors
/// Says what is wrapped under it.
pub(super) fn release(file: &Path, id: &str, location: &Location) -> anyhow::Result<()> {
    let left = block_on(async {
        let keyring = master_key::read(file)?;
        let database = Database::attach(location, |known| custody::admit(&keyring, known)).await?;
        let (custody, rows) = Custody::load(keyring, &database, OffsetDateTime::now_utc()).await?;
        let (store, writer) = database.into_store(rows);
        let writer = tokio::spawn(writer.run(CancellationToken::new()));
        let left = MasterKeys::new(store, custody.into()).release(id, &origin()).await;
        writer.await??; // the stores are gone: it ends, and the database is closed
        anyhow::Ok(left?)
    })?;
    if left.is_none() {
        return Ok(());
    }
    let Dependents { workspace_keys, service_keys, .. } = left;
    bail!(
        "{workspace_keys} workspace keys and {service_keys} service keys are still wrapped under {id}: call \
         claviger.keyvault.v1.MasterKeys/RewrapKeys until nothing remains"
    )
}

/// Whoever has the key file.
fn origin() -> Origin {
    Origin { actor: "keyring retire".to_owned(), ..Origin::vault() }
}

fn block_on<T>(task: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(task)
}
