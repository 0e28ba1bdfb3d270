//! Noticing that the key file was given new content.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;

use claviger_crypto::{KeyState, Keyring};
use zeroize::Zeroizing;

use super::{MasterKeyError, Source, text_of};

/// How often the file is looked at.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// Watches the key file for another keyring than the one in force.
#[derive(Debug)]
pub struct Watch {
    file: PathBuf,
    every: Duration,
    hash: RandomState,
    seen: Option<u64>,
    in_force: Vec<Trait>,
}

/// What tells a key from another without its secret: id, state and check value.
type Trait = (String, KeyState, [u8; 16]);

impl Watch {
    /// Starts with the keyring in force, which was taken from `source`. `None` where that is the environment, which
    /// never changes.
    #[must_use]
    pub fn new(source: &Source<'_>, in_force: &Keyring, every: Duration) -> Option<Self> {
        let file = source.key_file()?.to_owned();
        Some(Self { file, every, hash: RandomState::new(), seen: None, in_force: traits(in_force) })
    }

    /// The file that is watched.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Waits until the file holds another keyring, and takes that for the one in force. A file that cannot be used is
    /// logged once, until its content changes again; the keyring in force stays. May be dropped and called anew at any
    /// time.
    pub async fn changed(&mut self) -> Keyring {
        loop {
            tokio::time::sleep(self.every).await;
            let file = self.file.clone();
            // The file may lie on a slow volume: the runtime's own threads do not wait for it.
            let Ok(text) = tokio::task::spawn_blocking(move || text_of(&file)).await else { continue };
            match self.look(text) {
                Ok(Some(keyring)) => return keyring,
                Ok(None) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, file = %self.file.display(), "bad master key file: the last good one stays");
                }
            }
        }
    }

    /// A keyring or an error once for each content.
    fn look(&mut self, text: Result<Zeroizing<String>, MasterKeyError>) -> Result<Option<Keyring>, MasterKeyError> {
        let content = text.as_ref().map(|text| text.as_str()).map_err(ToString::to_string);
        let now = self.hash.hash_one(content);
        if self.seen.replace(now) == Some(now) {
            return Ok(None);
        }
        let keyring = Keyring::parse(&text?)?;
        let traits = traits(&keyring);
        let same = traits == self.in_force;
        self.in_force = traits;
        Ok((!same).then_some(keyring))
    }
}

fn traits(keyring: &Keyring) -> Vec<Trait> {
    keyring.iter().map(|key| (key.id().to_owned(), key.state(), key.check_value())).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::future::Future;

    use super::super::{edit, generate, read};
    use super::*;

    const OFTEN: Duration = Duration::from_millis(5);

    struct Place {
        _folder: tempfile::TempDir,
        file: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("master.key");
            generate(&file).unwrap();
            Self { _folder: folder, file }
        }

        fn watch(&self) -> Watch {
            let source = Source { file: Some(&self.file), bare: None, development: None };
            Watch::new(&source, &read(&self.file).unwrap(), OFTEN).unwrap()
        }

        fn add(&self) -> String {
            edit(&self.file, |keyring| Ok::<_, MasterKeyError>(keyring.add_pending("unknown")?)).unwrap()
        }
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
    }

    #[tokio::test]
    async fn each_change_of_the_file_is_told_and_bad_content_keeps_the_last_good_one() {
        let place = Place::new();
        let mut watch = place.watch();
        let id = place.add();
        let keyring = soon(watch.changed()).await;
        assert_eq!(keyring.get(&id).unwrap().state(), KeyState::Pending);

        let good = fs::read_to_string(&place.file).unwrap();
        fs::write(&place.file, "half a f").unwrap();
        let waiting = tokio::time::timeout(OFTEN * 20, watch.changed()).await;
        assert!(waiting.is_err(), "bad content is no keyring");
        fs::write(&place.file, good).unwrap();
        edit(&place.file, |keyring| Ok::<_, MasterKeyError>(keyring.promote(&id)?)).unwrap();
        let keyring = soon(watch.changed()).await;
        assert_eq!(keyring.primary().id(), id);
    }

    #[test]
    fn what_was_in_force_already_is_not_told() {
        let place = Place::new();
        let mut watch = place.watch();
        assert!(watch.look(text_of(&place.file)).unwrap().is_none(), "the first look finds what is in force");
        let good = fs::read_to_string(&place.file).unwrap();
        fs::write(&place.file, format!("# a comment\n{good}")).unwrap();
        assert!(watch.look(text_of(&place.file)).unwrap().is_none());
        fs::remove_file(&place.file).unwrap();
        assert!(watch.look(text_of(&place.file)).is_err());
        generate(&place.file).unwrap();
        assert!(watch.look(text_of(&place.file)).unwrap().is_some());
        assert!(watch.look(text_of(&place.file)).unwrap().is_none());
        fs::write(&place.file, good).unwrap();
        assert!(watch.look(text_of(&place.file)).unwrap().is_some(), "back again is another change");
    }

    #[test]
    fn each_bad_content_is_told_once() {
        let place = Place::new();
        let mut watch = place.watch();
        let good = fs::read_to_string(&place.file).unwrap();
        for bad in ["", "format = 2", &good[..good.len() / 2]] {
            fs::write(&place.file, bad).unwrap();
            assert!(watch.look(text_of(&place.file)).is_err(), "{bad}");
            assert!(watch.look(text_of(&place.file)).unwrap().is_none(), "{bad}");
        }
        fs::remove_file(&place.file).unwrap();
        assert!(matches!(watch.look(text_of(&place.file)), Err(MasterKeyError::Unreadable(..))));
        assert!(watch.look(text_of(&place.file)).unwrap().is_none());
        generate(&place.file).unwrap();
        assert!(watch.look(text_of(&place.file)).unwrap().is_some());
    }

    #[test]
    fn the_environment_is_not_watched_and_the_development_file_is() {
        let place = Place::new();
        let keyring = read(&place.file).unwrap();
        let bare = "?".to_owned().into();
        let development = Some((&*place.file, Path::new("keyvault.db")));
        let environment = Source { file: None, bare: Some(&bare), development };
        assert!(Watch::new(&environment, &keyring, OFTEN).is_none());
        let file = Source { file: None, bare: None, development };
        assert_eq!(Watch::new(&file, &keyring, OFTEN).unwrap().file(), place.file);
    }
}
