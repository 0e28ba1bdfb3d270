//! Changing a key file: whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use claviger_crypto::Keyring;

use super::{MasterKeyError, folder_of, read, sync_folder};

/// Changes the keyring of a file; where `file` is a symbolic link, of the file that it leads to.
///
/// Who reads meanwhile, and who reads after a crash, finds the old file or the new one, each whole. Owner, group and
/// mode stay. Other edits wait: the lock (`flock`) is on the file's folder, which stays while the file is replaced.
/// When `change` refuses, nothing is written.
///
/// # Errors
/// Says what to do, or what `change` says.
pub fn edit<T, E: From<MasterKeyError>>(
    file: &Path,
    change: impl FnOnce(&mut Keyring) -> Result<T, E>,
) -> Result<T, E> {
    let real = fs::canonicalize(file).map_err(|error| MasterKeyError::Unreadable(file.to_owned(), error))?;
    let _held_to_the_end = lock(&real)?;
    let mut keyring = read(&real)?;
    let done = change(&mut keyring)?;
    replace(&real, |out| out.write_all(keyring.to_text().as_bytes()))?;
    Ok(done)
}

fn lock(file: &Path) -> Result<File, MasterKeyError> {
    let lock = || {
        let folder = File::open(folder_of(file))?;
        folder.lock()?;
        Ok(folder)
    };
    lock().map_err(|error| not_replaced(file, error))
}

fn replace(file: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), MasterKeyError> {
    let draft = draft_of(file);
    let written = write_draft(file, &draft, write);
    let moved = written.and_then(|()| fs::rename(&draft, file).map_err(|error| not_replaced(file, error)));
    if moved.is_err() {
        let _ = fs::remove_file(&draft); // the error that came first is the one to tell
    }
    moved.and_then(|()| sync_folder(file).map_err(|error| not_replaced(file, error)))
}

/// One name for all edits, so that the next one clears away what a killed one left behind.
fn draft_of(file: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".new");
    file.with_file_name(name)
}

/// At no time may anyone read the draft who could not read the file.
fn write_draft(
    file: &Path,
    draft: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), MasterKeyError> {
    let before = fs::metadata(file).map_err(|error| MasterKeyError::Unreadable(file.to_owned(), error))?;
    let mode = before.mode() & 0o777;
    let mut out = create(draft, mode).map_err(|error| not_replaced(file, error))?;
    give(&out, before.uid(), before.gid()).map_err(|error| MasterKeyError::Owner(file.to_owned(), error))?;
    let written = out
        .set_permissions(Permissions::from_mode(mode)) // after the owner: the group's bits are meant for that group
        .and_then(|()| write(&mut out))
        .and_then(|()| out.sync_all());
    written.map_err(|error| not_replaced(file, error))
}

/// Its owner's alone: it has no group yet.
fn create(draft: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(mode & 0o700).open(draft)
}

fn give(out: &File, uid: u32, gid: u32) -> io::Result<()> {
    let now = out.metadata()?;
    if (now.uid(), now.gid()) == (uid, gid) {
        return Ok(()); // who owns the file may not even be allowed to say so
    }
    fchown(out, Some(uid), Some(gid))
}

fn not_replaced(file: &Path, error: io::Error) -> MasterKeyError {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::ResourceBusy => MasterKeyError::Mounted(file.to_owned()),
        _ => MasterKeyError::NotReplaced(file.to_owned(), error),
    }
}

#[cfg(test)]
mod tests;
