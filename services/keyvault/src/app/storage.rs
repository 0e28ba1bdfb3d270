//! The database and the master keys, taken up together.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use crate::config::{Serve, Storage};
use crate::master_key;
use crate::store::{Database, Location, MasterKeyRow, Prepared, Store, Writer};
use crate::usecase::custody::{self, Custody};

/// What the service stores with.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) custody: Arc<Custody>,
    /// Of the key file, if there is one.
    pub(crate) watch: Option<master_key::Watch>,
}

/// Opens the database under the master keys. A wrong key stops the start before anything is touched.
pub(super) async fn open(settings: &Serve) -> anyhow::Result<Opened> {
    let dev = settings.common.dev;
    let (location, folder) = location(&settings.storage, dev)?;
    make(folder.as_deref().filter(|_| matches!(location, Location::Sqlite(_))))?;
    let key_file = folder.as_ref().map(|folder| folder.join("master.key"));
    let prepared = if dev { Prepared::ByItself } else { Prepared::Before };
    let key_file = development(dev, key_file.as_deref(), &location);
    take_up(&location, Some(prepared), settings.master_key_file.as_deref(), key_file).await
}

/// Opens the database that a service made, for a command beside it. The key file that a service made in the data folder in
/// development mode is found there too. Nothing is made.
pub(crate) async fn open_existing(storage: &Storage, master_key_file: Option<&Path>) -> anyhow::Result<Opened> {
    let (location, folder) = location(storage, false)?;
    if let Location::Sqlite(file) = &location
        && !file.exists()
    {
        anyhow::bail!("there is no database at {}", file.display());
    }
    let made = folder.map(|folder| folder.join("master.key")).filter(|file| file.exists());
    take_up(&location, None, master_key_file, development(true, made.as_deref(), &location)).await
}

/// Without `prepared`, the database is one that a service made.
async fn take_up(
    location: &Location,
    prepared: Option<Prepared>,
    file: Option<&Path>,
    development: Option<(&Path, &Path)>,
) -> anyhow::Result<Opened> {
    let bare = Serve::bare_master_key();
    let source = master_key::Source { file, bare: bare.as_ref(), development };
    let keyring = master_key::keyring(&source)?;
    let watch = master_key::Watch::new(&source, &keyring, master_key::RELOAD_INTERVAL);
    let admit = |known: &[MasterKeyRow]| custody::admit(&keyring, known);
    let database = match prepared {
        Some(prepared) => Database::open(location, prepared, admit).await?,
        None => Database::attach(location, admit).await?,
    };
    let (custody, rows) = Custody::load(keyring, &database, OffsetDateTime::now_utc()).await?;
    let (store, writer) = database.into_store(rows);
    Ok(Opened { store, writer, custody: Arc::new(custody), watch })
}

/// In development mode a key file is made in the data folder, together with the embedded database.
fn development<'a>(dev: bool, key_file: Option<&'a Path>, location: &'a Location) -> Option<(&'a Path, &'a Path)> {
    match (dev, key_file, location) {
        (true, Some(file), Location::Sqlite(database)) => Some((file, database)),
        _ => None,
    }
}

/// Where the database is, and the data folder if there is one.
pub(crate) fn location(storage: &Storage, dev: bool) -> anyhow::Result<(Location, Option<PathBuf>)> {
    if let Some(url) = storage.database_url.as_ref().filter(|url| !url.expose_secret().is_empty()) {
        let location = Location::parse(url.expose_secret(), dev).context("CLAVIGER_DATABASE_URL")?;
        return Ok((location, storage.data_dir.clone()));
    }
    let folder = match (&storage.data_dir, dev) {
        (Some(folder), _) => folder.clone(),
        (None, true) => ".data".into(),
        (None, false) => anyhow::bail!("CLAVIGER_DATABASE_URL or CLAVIGER_DATA_DIR: must be set outside --dev"),
    };
    Ok((Location::Sqlite(folder.join("keyvault.db")), Some(folder)))
}

/// Makes the data folder, for its owner alone.
pub(crate) fn make(folder: Option<&Path>) -> anyhow::Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    let private = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    private.with_context(|| format!("CLAVIGER_DATA_DIR: {}", folder.display()))
}
