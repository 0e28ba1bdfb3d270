//! Bytes that no writer of ours makes.

use std::error::Error as _;

use proptest::prelude::*;
use serde_json::Value;

use super::super::lines::LONGEST;
use super::*;

/// What the lines mean.
fn meaning(file: &[u8]) -> Vec<Value> {
    str::from_utf8(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asserts that a changed file is refused, or means the same. A changed epoch alone is no damage that a file can show:
/// then it must show in the report.
fn seen(whole: &[u8], changed: &[u8]) -> Result<(), TestCaseError> {
    let Ok(report) = verified(&[changed], &[]) else { return Ok(()) };
    let (mut before, after) = (meaning(whole), meaning(changed));
    if before[0]["epoch"] != after[0]["epoch"] {
        prop_assert_ne!(report.epoch, EPOCH);
        before[0]["epoch"] = report.epoch.to_string().into();
    }
    prop_assert_eq!(before, after);
    Ok(())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,12}", any::<String>()]
}

prop_compose! {
    fn any_file()(
        (seq, previous, whole) in (0..i64::MAX - 9, any::<[u8; 32]>(), any::<bool>()),
        events in prop::collection::vec((prop::array::uniform8(text()), any::<i64>(), any::<bool>()), 1..5),
    ) -> Vec<u8> {
        let start = if seq % 2 == 0 { START } else { Head { seq, hash: previous } };
        let mut last = start;
        let mut written = Vec::new();
        let count = events.len();
        for (number, (texts, event_time, skipped)) in events.into_iter().enumerate() {
            let [action, target, actor, on_behalf_of, peer, request_id, trace_id, details] = texts.map(Cow::from);
            let (seq, previous_hash, hash) = (last.seq + 1, last.hash, [0; 32]);
            let tenant = "workspaces/acme".into();
            let event = rehashed(ExportedEvent {
                seq, event_time, tenant, action, target, actor, on_behalf_of, peer, request_id, trace_id, details,
                previous_hash, hash,
            });
            last = head(&event);
            if whole || !skipped || number + 1 == count {
                written.push(event);
            }
        }
        file(&if whole { all(start) } else { acme() }, &written).into_bytes()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_verified(file in any_file()) {
        prop_assert!(verified(&[&file], &[]).is_ok());
    }

    #[test]
    fn one_other_byte_is_seen_or_means_the_same(
        (file, at, byte) in any_file().prop_flat_map(|file| (Just(file.clone()), 0..file.len(), any::<u8>())),
    ) {
        let mut changed = file.clone();
        changed[at] = byte;
        seen(&file, &changed)?;
    }

    #[test]
    fn one_byte_more_or_less_is_seen_or_means_the_same(
        (file, at, byte) in any_file().prop_flat_map(|file| (Just(file.clone()), 0..file.len(), any::<Option<u8>>())),
    ) {
        let mut changed = file.clone();
        match byte {
            Some(byte) => changed.insert(at, byte),
            None => drop(changed.remove(at)),
        }
        seen(&file, &changed)?;
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(verified(&[&noise], &[]).is_err());
    }
}

#[test]
fn each_byte_of_a_file_counts() {
    let whole = include_bytes!("golden.jsonl");
    for (at, bit) in (0..whole.len()).flat_map(|at| [1, 0x20].map(|bit| (at, bit))) {
        let mut changed = whole.to_vec();
        changed[at] ^= bit;
        seen(whole, &changed).unwrap();
    }
}

#[test]
fn lines_are_bounded() {
    let events = events(START, 1);
    let whole = file(&all(START), &events);
    let (header, rest) = whole.split_once('\n').unwrap();
    let (event, trailer) = rest.split_once('\n').unwrap();
    let padded = |length: usize| format!("{header}\n{event}{}\n{trailer}", " ".repeat(length - event.len() - 1));
    assert!(verified(&[padded(LONGEST).as_bytes()], &[]).is_ok());
    assert_eq!(wrong(&[&padded(LONGEST + 1)], &[]), "0 2 0 LineTooLong");
    assert_eq!(wrong(&[&"[".repeat(3 * LONGEST)], &[]), "0 1 0 LineTooLong");
}

#[test]
fn what_is_no_text_or_no_object_is_refused() {
    let whole = file(&all(START), &events(START, 2));
    let mut bytes = whole.clone().into_bytes();
    let at = whole.find("openai").unwrap();
    bytes[at] = 0xff;
    let error = verified(&[&bytes], &[]).unwrap_err();
    assert_eq!((error.line, format!("{:?}", error.problem)), (2, "NotUtf8".to_owned()));

    let (header, _) = whole.split_once('\n').unwrap();
    let deep = "[".repeat(100_000);
    for line in
        ["[]", "1", "null", "\"\"", "{", "{}{}", "{\"seq\":1,}", "{'seq':1}", "\u{feff}{}", "{\"seq\":01}", &deep]
    {
        assert_eq!(wrong(&[&format!("{header}\n{line}\n")], &[]), "0 2 0 NotJson", "{line:.9}");
    }
    assert_eq!(wrong(&[&format!("{header}\n{{}}\n")], &[]), r#"0 2 0 Missing("seq")"#);
}

#[test]
fn an_error_shows_where_and_nothing_of_the_events() {
    let hidden = "hunter2";
    let changed = file(&all(START), &events(START, 2)).replace("job-7", hidden);
    let typed = changed.replace("\"peer\":", &format!("\"{hidden}\":"));
    let broken = changed.replace("\"peer\":", &format!("\"peer\":{hidden}"));
    for (file, expected) in [
        (changed, "line 2: seq 1: the event was changed: its hash is another"),
        (typed, "line 2: seq 1: the field peer is missing"),
        (broken, "line 2: the line is not one JSON object"),
    ] {
        let error = verified(&[file.as_bytes()], &[]).unwrap_err();
        let line = format!("{error}: {}", error.source().unwrap());
        assert!(line.ends_with(&format!("/0: {expected}")), "{line}");
        assert!(!format!("{error:?}").contains(hidden), "{error:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = verify(&["/nowhere/log.jsonl".into()], &[], &mut |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/log.jsonl");
    assert!(matches!(error.problem, Problem::Unreadable(_)), "{error:?}");
    let folder = TempDir::new().unwrap();
    let error = verify(&[folder.path().to_owned()], &[], &mut |_| ()).unwrap_err();
    assert!(matches!(error.problem, Problem::Unreadable(_)), "{error:?}");
}

#[test]
fn progress_is_told_in_bytes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log.jsonl");
    let events = events(START, 20_000);
    let whole = file(&all(START), &events);
    std::fs::write(&path, &whole).unwrap();
    let mut told = Vec::new();
    verify(&[path], &[], &mut |bytes| told.push(bytes)).unwrap();
    assert!(told.len() == 2 && told.is_sorted() && told[0] > 0 && told[1] < whole.len() as u64, "{told:?}");
}
