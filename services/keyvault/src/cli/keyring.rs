//! The commands that make, show and change the master key file.

mod database;

use std::io::Write;

use anyhow::{Context, anyhow};
use claviger_crypto::RootKey;

use crate::config::{Check, Generate, KeyFile, Keyring, OneKey, Retire};
use crate::master_key;

/// Runs one of them; `out` gets what it has to say.
///
/// # Errors
/// What stopped it, in a line that says what to do.
pub fn run(command: &Keyring, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        Keyring::Generate(to) => generate(to, out),
        Keyring::List(of) => list(of, out),
        Keyring::Check(of) => check(of, out),
        Keyring::Add(to) => add(to, out),
        Keyring::Promote(key) => promote(key, out),
        Keyring::Retire(of) => retire_from(of, out),
    }
}

fn generate(to: &Generate, out: &mut impl Write) -> anyhow::Result<()> {
    if to.out.as_os_str() == "-" {
        return Ok(out.write_all(master_key::fresh()?.as_bytes())?);
    }
    master_key::generate(&to.out)?;
    writeln!(out, "made {}; keep a copy where the database's backups are not", to.out.display())?;
    Ok(())
}

fn list(of: &KeyFile, out: &mut impl Write) -> anyhow::Result<()> {
    let keyring = master_key::read(&of.file)?;
    writeln!(out, "{:<24} {:<14} CREATED", "ID", "STATE")?;
    for key in keyring.iter() {
        writeln!(out, "{:<24} {:<14} {}", key.id(), key.state().as_str(), key.create_time())?;
    }
    Ok(())
}

fn check(of: &Check, out: &mut impl Write) -> anyhow::Result<()> {
    match database::existing(&of.storage)? {
        None => list(&of.of, out),
        Some(location) => database::check(&master_key::read(&of.of.file)?, &location, out),
    }
}

fn add(to: &KeyFile, out: &mut impl Write) -> anyhow::Result<()> {
    let id = master_key::edit(&to.file, |keyring| anyhow::Ok(keyring.add_pending(&master_key::create_time_now())?))?;
    let file = to.file.display();
    writeln!(out, "added {id}: pending, nothing is sealed under it yet")?;
    writeln!(out, "next: keep a copy of {file}, give it to every replica, and when all have it:")?;
    writeln!(out, "  claviger-keyvault keyring promote --file {file} --id {id}")?;
    Ok(())
}

fn promote(OneKey { of, id }: &OneKey, out: &mut impl Write) -> anyhow::Result<()> {
    let old = master_key::edit(&of.file, |keyring| {
        let old = keyring.primary().id().to_owned();
        keyring.promote(id).context(UNCHANGED)?;
        anyhow::Ok(old)
    })?;
    let file = of.file.display();
    writeln!(out, "{id} is primary, {old} is decrypt-only")?;
    writeln!(out, "next: keep a copy of {file}, give it to every replica, and when all have it:")?;
    writeln!(out, "  call claviger.keyvault.v1.MasterKeys/RewrapKeys until nothing remains, then:")?;
    writeln!(out, "  claviger-keyvault keyring retire --file {file} --id {old} --database-url URL")?;
    Ok(())
}

fn retire_from(of: &Retire, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(location) = database::existing(&of.storage)?.filter(|_| !of.without_database_check) else {
        return retire(of, None, out);
    };
    let nothing_left = |key: &RootKey| database::release(&of.key.of.file, key.id(), &location);
    retire(of, Some(&nothing_left), out)
}

/// Asks a database whether nothing is left under a key. Its error says what is.
pub type NothingLeft<'a> = &'a dyn Fn(&RootKey) -> anyhow::Result<()>;

/// Removes a key that is not primary. `nothing_left` is asked while the file is locked, and nothing is written when it
/// refuses.
///
/// # Errors
/// When the key cannot be removed, `nothing_left` refuses, or there is no such check and the settings do not waive it.
pub fn retire(of: &Retire, nothing_left: Option<NothingLeft<'_>>, out: &mut impl Write) -> anyhow::Result<()> {
    let OneKey { of: to, id } = &of.key;
    master_key::edit(&to.file, |keyring| {
        let key = keyring.retire(id).context(UNCHANGED)?;
        match nothing_left {
            _ if of.without_database_check => Ok(()),
            Some(check) => check(&key).context(UNCHANGED),
            None => Err(anyhow!(UNCHECKED).context(UNCHANGED)),
        }
    })?;
    let file = to.file.display();
    if of.without_database_check {
        writeln!(out, "warning: no database was asked; what was still sealed under {id} needs a copy of that key")?;
    }
    writeln!(out, "removed {id} from {file}")?;
    writeln!(out, "next: give the file to every replica; keep a copy of the old one as long as older backups of the")?;
    writeln!(out, "  database, which need it, and then destroy it")?;
    Ok(())
}

const UNCHANGED: &str = "nothing was changed";

const UNCHECKED: &str = "no database was asked whether something is still sealed under that key, \
    and what is would be lost for ever; name the database with --data-dir or --database-url, or waive that with \
    --without-database-check";

#[cfg(test)]
mod tests;
