//! The commands that change the master key file, and what the vault makes of it.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use claviger_tests::Process;

use super::*;

fn keyring(command: &str, place: &Place, more: &[&str]) -> Refusal {
    let file = place.key_file();
    run(&[&["keyring", command, "--file", &*file.to_string_lossy()], more].concat(), &[])
}

/// The ids, the primary one first.
fn ids(place: &Place) -> Vec<String> {
    let keyring = Keyring::parse(&fs::read_to_string(place.key_file()).unwrap()).unwrap();
    keyring.iter().map(|key| key.id().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vault_starts_after_each_step_of_a_rotation_and_not_without_a_key_that_is_in_use() {
    let place = used().await;
    let old = key_id(&place.key_file());
    let added = keyring("add", &place, &[]);
    added.assert_success();
    let [_, new] = <[String; 2]>::try_from(ids(&place)).unwrap();
    assert!(added.log.contains(&format!("keyring promote --file {} --id {new}", place.key_file().display())));
    place.use_and_stop().await;

    let promoted = keyring("promote", &place, &["--id", &new]);
    promoted.assert_success();
    assert_eq!(ids(&place), [new.clone(), old.clone()]);
    assert!(promoted.log.contains("RewrapKeys") && promoted.log.contains(&format!("--id {old}")), "{}", promoted.log);
    place.use_and_stop().await;

    let before = fs::read(place.key_file()).unwrap();
    keyring("promote", &place, &["--id", &old]).assert_line("nothing was changed: no pending key has that id");
    keyring("retire", &place, &["--id", &new]).assert_line("nothing was changed: that key is primary");
    keyring("retire", &place, &["--id", &old]).assert_line("--without-database-check");
    assert_eq!(fs::read(place.key_file()).unwrap(), before);
    keyring("retire", &place, &["--id", &old, "--without-database-check"]).assert_success();
    place.refused(&[]).assert_line(&format!("master key {old}, which the key file does not hold"));

    fs::write(place.key_file(), before).unwrap();
    place.use_and_stop().await;
}

#[test]
fn the_commands_show_no_secret_and_check_says_what_is_wrong() {
    let place = made();
    let added = keyring("add", &place, &[]);
    let new = ids(&place).remove(1);
    let logs = [
        added,
        keyring("check", &place, &[]),
        keyring("promote", &place, &["--id", &new]),
        keyring("list", &place, &[]),
    ];
    let text = fs::read_to_string(place.key_file()).unwrap();
    let secrets: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("secret = \"")).collect();
    assert_eq!(secrets.len(), 2);
    for log in &logs {
        log.assert_success();
        assert!(log.log.contains(&new) && !secrets.iter().any(|secret| log.log.contains(&secret[..20])), "{}", log.log);
    }
    fs::write(place.key_file(), text.replace(secrets[0], secrets[1])).unwrap();
    let refusal = keyring("check", &place, &[]);
    refusal.assert_line("`check` does not match the secret and id");
    assert!(!refusal.log.contains(&secrets[1][..20]), "{}", refusal.log);
}

/// The kernel takes no byte of the new file: it kills the command or, asked to, lets the write fail.
#[test]
fn a_command_that_cannot_write_or_is_killed_writing_leaves_the_file_as_it_was() {
    let place = made();
    let before = (fs::read(place.key_file()).unwrap(), fs::metadata(place.key_file()).unwrap().ino());
    for (prepare, killed) in [("trap '' XFSZ;", false), ("", true)] {
        let limited = run_limited(prepare, &["keyring", "add", "--file", &*place.key_file().to_string_lossy()]);
        match killed {
            true => assert_eq!(limited.code, None, "{}", limited.log),
            false => limited.assert_line("cannot be replaced"),
        }
        assert_eq!((fs::read(place.key_file()).unwrap(), fs::metadata(place.key_file()).unwrap().ino()), before);
        let left = fs::read_dir(place.data()).unwrap().count();
        assert_eq!(left, if killed { 2 } else { 1 }, "a killed command leaves its draft behind");
    }
    keyring("add", &place, &[]).assert_success();
    assert_eq!((ids(&place).len(), fs::read_dir(place.data()).unwrap().count()), (2, 1), "and the next clears it away");
}

fn made() -> Place {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    run(&["keyring", "generate", "--out", &place.key_file().to_string_lossy()], &[]).assert_success();
    place
}

/// Runs the vault's program, which must have been built, with files that may not hold a byte.
fn run_limited(prepare: &str, arguments: &[&str]) -> Refusal {
    let program: PathBuf = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("claviger-keyvault");
    let script = format!("{prepare} ulimit -f 0; exec \"$0\" \"$@\"");
    let shell = ["-c", &script, &program.to_string_lossy()];
    let mut process = Process::spawn("/bin/sh", &[&shell[..], arguments].concat(), &[]).unwrap();
    let status = process.wait(Duration::from_secs(30)).unwrap();
    Refusal { code: status.code(), log: process.log() }
}
