#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::symlink;
use std::sync::mpsc;
use std::time::Duration;

use super::super::generate;
use super::*;

struct Place {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master.key");
        generate(&file).unwrap();
        Self { folder, file }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    fn names(&self) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }
}

fn add(file: &Path) -> Result<String, MasterKeyError> {
    edit(file, |keyring| Ok(keyring.add_pending("unknown")?))
}

#[test]
fn owner_group_and_mode_stay() {
    let place = Place::new();
    let folder = fs::metadata(place.folder.path()).unwrap();
    // Only root may give files away; to the own group anyone may.
    let owner = if folder.uid() == 0 { (12, 34) } else { (folder.uid(), folder.gid()) };
    fchown(File::open(&place.file).unwrap(), Some(owner.0), Some(owner.1)).unwrap();
    for mode in [0o600, 0o400, 0o440, 0o640] {
        fs::set_permissions(&place.file, Permissions::from_mode(mode)).unwrap();
        let inode = fs::metadata(&place.file).unwrap().ino();
        add(&place.file).unwrap();
        let after = fs::metadata(&place.file).unwrap();
        assert_eq!((after.mode() & 0o7777, after.uid(), after.gid()), (mode, owner.0, owner.1));
        assert_ne!(after.ino(), inode, "replaced, not written over");
    }
    assert_eq!(read(&place.file).unwrap().iter().count(), 5);
    assert_eq!(place.names(), ["master.key"]);
}

#[test]
fn the_draft_can_never_be_read_by_more_people_than_the_file() {
    let place = Place::new();
    for mode in [0o600, 0o400, 0o440, 0o060] {
        fs::set_permissions(&place.file, Permissions::from_mode(mode)).unwrap();
        let draft = draft_of(&place.file);
        replace(&place.file, |out| {
            assert_eq!(out.metadata().unwrap().mode() & 0o777 & !mode, 0);
            assert_eq!(fs::metadata(&draft).unwrap().mode() & 0o777 & !mode, 0);
            out.write_all(b"x")
        })
        .unwrap();
        drop(create(&draft, mode).unwrap());
        assert_eq!(fs::metadata(&draft).unwrap().mode() & 0o777, mode & 0o700, "before it has its owner");
    }
}

#[test]
fn a_write_that_fails_half_way_leaves_the_file_as_it_was_and_nothing_beside_it() {
    let place = Place::new();
    let before = (place.text(), fs::metadata(&place.file).unwrap().ino());
    let half = |out: &mut File| {
        out.write_all(&before.0.as_bytes()[..100])?;
        Err(io::ErrorKind::StorageFull.into())
    };
    assert!(matches!(replace(&place.file, half), Err(MasterKeyError::NotReplaced(..))));
    assert_eq!((place.text(), fs::metadata(&place.file).unwrap().ino()), before);
    assert_eq!(place.names(), ["master.key"]);
}

#[test]
fn the_file_is_whole_while_its_draft_is_written_and_a_draft_left_behind_is_in_nobodys_way() {
    let place = Place::new();
    let before = place.text();
    fs::write(draft_of(&place.file), "format = 1\n[[ke").unwrap();
    fs::set_permissions(draft_of(&place.file), Permissions::from_mode(0o666)).unwrap();
    replace(&place.file, |out| {
        out.write_all(b"half")?;
        assert_eq!(place.text(), before);
        out.write_all(b" and half")
    })
    .unwrap();
    assert_eq!(place.text(), "half and half");
    assert_eq!(fs::metadata(&place.file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(place.names(), ["master.key"]);
}

#[test]
fn a_draft_that_is_a_link_is_not_followed() {
    let place = Place::new();
    let victim = place.folder.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, draft_of(&place.file)).unwrap();
    add(&place.file).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(fs::symlink_metadata(&place.file).unwrap().is_file());
}

#[test]
fn a_symbolic_link_stays_one_and_its_file_is_replaced() {
    let place = Place::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let (first, second) = (elsewhere.path().join("first"), elsewhere.path().join("second"));
    symlink(&place.file, &first).unwrap();
    symlink("first", &second).unwrap();
    let id = add(&second).unwrap();
    assert!(read(&place.file).unwrap().get(&id).is_some());
    assert_eq!(fs::read_link(&first).unwrap(), place.file);
    assert_eq!(fs::read_link(&second).unwrap(), Path::new("first"));
    assert_eq!((place.names().len(), fs::read_dir(elsewhere.path()).unwrap().count()), (1, 2));
}

#[test]
fn a_mount_that_cannot_be_written_to_is_named_as_such() {
    let place = Place::new();
    for kind in [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::ResourceBusy] {
        let error = replace(&place.file, |_| Err(kind.into())).unwrap_err();
        assert!(matches!(&error, MasterKeyError::Mounted(file) if *file == place.file), "{error}");
    }
    assert!(matches!(add(Path::new("/nowhere/master.key")), Err(MasterKeyError::Unreadable(..))));
}

#[test]
fn what_is_refused_writes_nothing() {
    let place = Place::new();
    let inode = fs::metadata(&place.file).unwrap().ino();
    let refused: Result<(), _> = edit(&place.file, |keyring| {
        keyring.add_pending("unknown")?;
        Ok::<_, MasterKeyError>(keyring.promote("root-0")?)
    });
    assert!(matches!(refused, Err(MasterKeyError::Keyring(_))));
    fs::set_permissions(&place.file, Permissions::from_mode(0o604)).unwrap();
    assert!(matches!(add(&place.file), Err(MasterKeyError::WorldReadable(_))));
    assert_eq!(fs::metadata(&place.file).unwrap().ino(), inode);
}

#[test]
fn edits_at_the_same_time_are_all_kept() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| drop(add(&place.file).unwrap())));
        }
    });
    assert_eq!(read(&place.file).unwrap().iter().count(), 41);
}

#[test]
fn an_edit_waits_for_the_one_before_it() {
    let place = Place::new();
    let (began, begun) = mpsc::channel();
    let (done, ended) = mpsc::channel();
    std::thread::scope(|scope| {
        edit(&place.file, |keyring| {
            scope.spawn(|| {
                began.send(()).unwrap();
                done.send(add(&place.file).unwrap()).unwrap();
            });
            begun.recv().unwrap();
            assert!(ended.recv_timeout(Duration::from_millis(200)).is_err());
            Ok::<_, MasterKeyError>(keyring.add_pending("unknown")?)
        })
        .unwrap();
        let second = ended.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(read(&place.file).unwrap().get(&second).is_some());
    });
    assert_eq!(read(&place.file).unwrap().iter().count(), 3);
}
