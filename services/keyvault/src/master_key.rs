//! Where the master keyring comes from: a file, or the environment.

mod edit;
mod watch;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use claviger_crypto::{Keyring, KeyringError};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

pub use self::edit::edit;
pub use self::watch::{RELOAD_INTERVAL, Watch};

/// Why there is no keyring. Each says which setting or file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// Neither source is set.
    #[error(
        "CLAVIGER_MASTER_KEY_FILE: must be set; `claviger-keyvault keyring generate --out master.key` makes such a file"
    )]
    Unset,
    /// Both sources are set.
    #[error("CLAVIGER_MASTER_KEY: must not be set together with CLAVIGER_MASTER_KEY_FILE")]
    Both,
    /// The file cannot be read.
    #[error("master key file {0} cannot be read")]
    Unreadable(PathBuf, #[source] io::Error),
    /// The file can be read by everyone.
    #[error("master key file {0} can be read by everyone: chmod o-rwx it")]
    WorldReadable(PathBuf),
    /// The file exists.
    #[error("{0} exists and is not overwritten: a master key that is gone takes all that it sealed with it")]
    Exists(PathBuf),
    /// The file cannot be made.
    #[error("{0} cannot be made")]
    NotMade(PathBuf, #[source] io::Error),
    /// The file cannot be replaced.
    #[error("{0} cannot be replaced")]
    NotReplaced(PathBuf, #[source] io::Error),
    /// The file, or what it lies on, is a mount that cannot be written to.
    #[error(
        "{0} is mounted and cannot be changed here: change a copy, and give it to what the mount comes from, such as the Kubernetes Secret"
    )]
    Mounted(PathBuf),
    /// The file's owner or group cannot be kept.
    #[error("{0} has an owner or a group that this user cannot give to a file: change it as its owner")]
    Owner(PathBuf, #[source] io::Error),
    /// The development key file is gone.
    #[error(
        "the database exists, but its master key file {0} does not: put the file back, or remove both to start anew"
    )]
    Lost(PathBuf),
    /// The text is not a keyring.
    #[error("the master key cannot be used")]
    Keyring(#[from] KeyringError),
}

/// Where to take the keyring from.
#[derive(Debug)]
pub struct Source<'a> {
    /// The file's setting.
    pub file: Option<&'a Path>,
    /// The environment's setting.
    pub bare: Option<&'a SecretString>,
    /// In development mode, the file to make where neither is set; and the database that must then be new too.
    pub development: Option<(&'a Path, &'a Path)>,
}

impl Source<'_> {
    /// The file that the keyring is read from; `None` where the environment holds it.
    fn key_file(&self) -> Option<&Path> {
        match (self.file, self.bare) {
            (None, Some(_)) => None,
            (file, _) => file.or(self.development.map(|(file, _)| file)),
        }
    }
}

/// Takes up the keyring.
///
/// # Errors
/// Says what to do.
pub fn keyring(source: &Source<'_>) -> Result<Keyring, MasterKeyError> {
    match (source.file, source.bare, source.development) {
        (Some(_), Some(_), _) => Err(MasterKeyError::Both),
        (Some(file), None, _) => read(file),
        (None, Some(text), _) => {
            tracing::warn!("the master key comes from CLAVIGER_MASTER_KEY: environments leak, prefer a file");
            Ok(Keyring::from_base64(text.expose_secret())?)
        }
        (None, None, None) => Err(MasterKeyError::Unset),
        (None, None, Some((file, database))) => {
            if !file.exists() {
                if database.exists() {
                    return Err(MasterKeyError::Lost(file.to_owned()));
                }
                generate(file)?;
                tracing::info!(file = %file.display(), "made a master key");
            }
            read(file)
        }
    }
}

/// Reads a key file that its group may read, but not everyone.
///
/// # Errors
/// Says what to do.
pub fn read(file: &Path) -> Result<Keyring, MasterKeyError> {
    Ok(Keyring::parse(&text_of(file)?)?)
}

fn text_of(file: &Path) -> Result<Zeroizing<String>, MasterKeyError> {
    let unreadable = |error| MasterKeyError::Unreadable(file.to_owned(), error);
    let mode = fs::metadata(file).map_err(unreadable)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(MasterKeyError::WorldReadable(file.to_owned()));
    }
    Ok(Zeroizing::new(fs::read_to_string(file).map_err(unreadable)?))
}

/// Makes a key file that its owner alone may read. It is on the disk when this returns.
///
/// # Errors
/// Says what to do.
pub fn generate(file: &Path) -> Result<(), MasterKeyError> {
    let not_made = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => MasterKeyError::Exists(file.to_owned()),
        _ => MasterKeyError::NotMade(file.to_owned(), error),
    };
    let text = fresh()?;
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(not_made)?;
    let written = out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).and_then(|()| sync_folder(file));
    written.map_err(|error| {
        let _ = fs::remove_file(file); // half a key file is none, and would be in the way
        not_made(error)
    })
}

/// The file's name is on the disk too.
fn sync_folder(file: &Path) -> io::Result<()> {
    fs::File::open(folder_of(file))?.sync_all()
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The text of a keyring with one new key.
///
/// # Errors
/// When the system has no randomness.
pub fn fresh() -> Result<Zeroizing<String>, MasterKeyError> {
    Ok(Keyring::generate(&create_time_now())?.to_text())
}

/// The present time as a key file has it.
#[must_use]
pub fn create_time_now() -> String {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    now.format(&Rfc3339).unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_generated_file_is_private_opens_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master.key");
        generate(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let id = read(&file).unwrap().primary().id().to_owned();
        assert!(matches!(generate(&file), Err(MasterKeyError::Exists(_))));
        assert_eq!(read(&file).unwrap().primary().id(), id);
    }

    #[test]
    fn a_world_readable_file_is_refused_and_a_group_readable_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master.key");
        generate(&file).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(read(&file).is_ok());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
        assert!(matches!(read(&file), Err(MasterKeyError::WorldReadable(_))));
    }

    #[test]
    fn outside_development_no_key_is_made() {
        let source = Source { file: None, bare: None, development: None };
        assert!(matches!(keyring(&source), Err(MasterKeyError::Unset)));
    }

    #[test]
    fn in_development_a_lost_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, database) = (folder.path().join("master.key"), folder.path().join("keyvault.db"));
        let source = Source { file: None, bare: None, development: Some((&file, &database)) };
        let id = keyring(&source).unwrap().primary().id().to_owned();
        fs::write(&database, "").unwrap();
        assert_eq!(keyring(&source).unwrap().primary().id(), id);
        fs::remove_file(&file).unwrap();
        assert!(matches!(keyring(&source), Err(MasterKeyError::Lost(_))));
    }
}
