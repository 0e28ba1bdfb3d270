#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use anyhow::bail;
use claviger_crypto::KeyState;

use super::*;
use crate::config::Storage;

struct Place {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Place {
    /// A file with a primary key and a decrypt-only one, whose id is the second answer.
    fn rotated() -> (Self, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master.key");
        master_key::generate(&file).unwrap();
        let old = master_key::read(&file).unwrap().primary().id().to_owned();
        let rotate = |keyring: &mut claviger_crypto::Keyring| {
            let id = keyring.add_pending("unknown")?;
            anyhow::Ok(keyring.promote(&id)?)
        };
        master_key::edit(&file, rotate).unwrap();
        (Self { _folder: folder, file }, old)
    }

    fn retire(&self, id: &str, check: Option<NothingLeft<'_>>, without: bool) -> Result<String, String> {
        let key = OneKey { of: KeyFile { file: self.file.clone() }, id: id.to_owned() };
        let mut out = Vec::new();
        retire(&Retire { key, storage: Storage::default(), without_database_check: without }, check, &mut out)
            .map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn count(&self) -> usize {
        master_key::read(&self.file).unwrap().iter().count()
    }
}

#[test]
fn a_key_is_retired_once_the_database_says_that_nothing_is_left_under_it() {
    let (place, old) = Place::rotated();
    let asked = RefCell::new(Vec::new());
    let left = |key: &RootKey| {
        asked.borrow_mut().push((key.id().to_owned(), key.state()));
        bail!("3 workspace keys are left")
    };
    let refusal = place.retire(&old, Some(&left), false).unwrap_err();
    assert_eq!(refusal, "nothing was changed: 3 workspace keys are left");
    assert_eq!(*asked.borrow(), [(old.clone(), KeyState::DecryptOnly)]);
    assert_eq!(place.count(), 2);

    let said = place.retire(&old, Some(&|_: &RootKey| Ok(())), false).unwrap();
    assert!(said.contains(&format!("removed {old}")) && !said.contains("warning"), "{said}");
    assert_eq!(place.count(), 1);
}

#[test]
fn without_a_database_a_key_is_retired_only_by_a_word_that_says_so() {
    let (place, old) = Place::rotated();
    let before = fs::read(&place.file).unwrap();
    assert!(place.retire(&old, None, false).unwrap_err().contains("--without-database-check"));
    assert_eq!(fs::read(&place.file).unwrap(), before);
    assert!(place.retire(&old, None, true).unwrap().contains("warning: no database was asked"));
    assert_eq!(place.count(), 1);
}

#[test]
fn the_primary_key_is_never_retired() {
    let (place, _) = Place::rotated();
    let primary = master_key::read(&place.file).unwrap().primary().id().to_owned();
    for (check, without) in [(None, false), (None, true), (Some(&(|_: &RootKey| Ok(())) as NothingLeft<'_>), false)] {
        let refusal = place.retire(&primary, check, without).unwrap_err();
        assert_eq!(refusal, "nothing was changed: that key is primary: promote another one first");
    }
    assert_eq!(place.retire("root-0", None, true).unwrap_err(), "nothing was changed: no key has that id");
    assert_eq!(place.count(), 2);
}
