//! A real PostgreSQL in SQLite's place. keyvault's own tests have the same from the crate itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

pub use claviger_testing_postgres::{Schema, schema};

/// A server for one test alone, which may stop it. Dropped, it ends and its data goes.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    /// Where to connect to.
    pub url: String,
}

impl Server {
    /// Starts one that keeps its data in a folder, which is made, or where the script says instead.
    ///
    /// # Errors
    /// What the script said.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let url = script("url", folder)?.trim_end().to_owned();
        Ok(Self { folder: folder.to_owned(), url })
    }

    /// Starts it again, after [`Server::stop`].
    ///
    /// # Errors
    /// What the script said.
    pub fn start_again(&self) -> anyhow::Result<()> {
        script("start", &self.folder).map(drop)
    }

    /// Stops it: connections end, committed data stays.
    ///
    /// # Errors
    /// What the script said.
    pub fn stop(&self) -> anyhow::Result<String> {
        script("stop", &self.folder)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Ok(said) = self.stop() else { return };
        if let Some((_, data)) = said.trim_end().split_once("the data stays in ") {
            let _ = std::fs::remove_dir_all(data); // a temporary folder goes by itself
        }
    }
}

fn script(command: &str, folder: &Path) -> anyhow::Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/postgres.sh");
    let done = Command::new(script).arg(command).arg(folder).output().context("cannot run scripts/postgres.sh")?;
    ensure!(done.status.success(), "scripts/postgres.sh {command}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}
