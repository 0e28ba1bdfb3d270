//! One file, damaged in each way.

use serde_json::{Value, json};

use super::*;

/// Five events from seq 1: line 2 is seq 1.
fn lines() -> Vec<String> {
    file(&all(START), &events(START, 5)).lines().map(str::to_owned).collect()
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What is wrong with the five events, when a line (from 1) is edited.
fn edited(line: usize, edit: impl FnOnce(&mut serde_json::Map<String, Value>)) -> String {
    let mut lines = lines();
    let mut value: serde_json::Map<_, _> = serde_json::from_str(&lines[line - 1]).unwrap();
    edit(&mut value);
    lines[line - 1] = Value::Object(value).to_string();
    wrong(&[&joined(&lines)], &[])
}

fn set(line: usize, field: &str, value: Value) -> String {
    edited(line, |fields| *fields.get_mut(field).unwrap() = value)
}

const TEXTS: [&str; 9] =
    ["tenant", "action", "target", "actor", "on_behalf_of", "peer", "request_id", "trace_id", "details"];

#[test]
fn the_undamaged_file_is_whole() {
    let events = events(START, 5);
    let report = verified(&[joined(&lines()).as_bytes()], &[]).unwrap();
    let expected = Report {
        files: 1,
        events: 5,
        epoch: EPOCH,
        scope: all(START).scope,
        first_seq: Some(1),
        last: Some(head(&events[4])),
        heads: 0,
    };
    assert_eq!(report, expected);
    assert!(report.to_string().contains("whole from seq 1 to 5"), "{report}");
}

#[test]
fn each_changed_field_is_seen() {
    for field in TEXTS {
        assert_eq!(set(4, field, "platform/other".into()), "0 4 3 Hash", "{field}");
        assert_eq!(set(4, field, "".into()), "0 4 3 Hash", "{field}");
    }
    assert_eq!(set(4, "event_time", 1_800_000_000_000_001_i64.into()), "0 4 3 Hash");
    assert_eq!(set(4, "hash", "ab".repeat(32).into()), "0 4 3 Hash");
    assert_eq!(set(4, "previous_hash", "ab".repeat(32).into()), "0 4 3 Link");
    assert_eq!(set(4, "seq", 4.into()), "0 4 4 Gap { expected: 3 }");
    assert_eq!(set(4, "seq", 2.into()), "0 4 2 Order");
    assert_eq!(set(4, "seq", i64::MIN.into()), format!("0 4 {} Order", i64::MIN));
    assert_eq!(set(1, "previous_hash", "ab".repeat(32).into()), "0 1 1 Link");
    assert_eq!(set(1, "first_seq", 2.into()), "0 2 1 Order");
    assert_eq!(set(7, "events", 4.into()), r#"0 7 0 Trailer("events")"#);
    assert_eq!(set(7, "last_seq", 4.into()), r#"0 7 0 Trailer("last_seq")"#);
    assert_eq!(set(7, "last_hash", "ab".repeat(32).into()), r#"0 7 0 Trailer("last_hash")"#);
}

#[test]
fn text_that_moves_to_the_neighbour_is_seen() {
    let moved = edited(4, |fields| {
        fields.insert("peer".into(), "127.0.0.1:5000".into());
        fields.insert("request_id".into(), "0job-7".into());
    });
    assert_eq!(moved, "0 4 3 Hash");
}

#[test]
fn an_event_that_was_made_anew_with_its_hash_breaks_the_next_link() {
    let mut events = events(START, 5);
    events[2].action = "key.tested".into();
    events[2] = rehashed(events[2].clone());
    assert_eq!(wrong(&[&file(&all(START), &events)], &[]), "0 5 4 Link");
}

#[test]
fn each_missing_doubled_or_misplaced_line_is_seen() {
    let removed = |line: usize| {
        let mut lines = lines();
        lines.remove(line - 1);
        wrong(&[&joined(&lines)], &[])
    };
    assert_eq!(removed(1), "0 1 0 Format");
    assert_eq!(removed(2), "0 2 2 Gap { expected: 1 }");
    assert_eq!(removed(4), "0 4 4 Gap { expected: 3 }");
    assert_eq!(removed(6), r#"0 6 0 Trailer("events")"#);
    assert_eq!(removed(7), "0 7 0 CutShort");

    let inserted = |at: usize, line: &str| {
        let mut lines = lines();
        lines.insert(at - 1, line.to_owned());
        wrong(&[&joined(&lines)], &[])
    };
    let doubled = |line: usize| inserted(line + 1, &lines()[line - 1]);
    assert_eq!(doubled(1), r#"0 2 0 Missing("seq")"#);
    assert_eq!(doubled(3), "0 4 2 Order");
    assert_eq!(doubled(7), "0 8 0 AfterTrailer");
    assert_eq!(inserted(4, ""), "0 4 0 NotJson");
    assert_eq!(inserted(8, ""), "0 8 0 AfterTrailer");

    let mut swapped = lines();
    swapped.swap(3, 4);
    assert_eq!(wrong(&[&joined(&swapped)], &[]), "0 4 4 Gap { expected: 3 }");
}

#[test]
fn a_file_that_is_cut_anywhere_is_cut_short() {
    let whole = joined(&lines());
    for length in 0..whole.len() - 1 {
        let wrong = wrong(&[&whole[..length]], &[]);
        assert!(wrong.ends_with("CutShort"), "{length}: {wrong}");
    }
    assert!(verified(&[whole.trim_end().as_bytes()], &[]).is_ok()); // its last line's end holds nothing
}

#[test]
fn each_field_must_be_there_once_and_be_of_its_type() {
    let events = [&["seq", "event_time", "previous_hash", "hash"][..], &TEXTS].concat();
    let header = ["epoch", "scope", "first_seq", "previous_hash"];
    let of_lines = [(1, &header[..]), (4, &events), (7, &["last_seq", "last_hash"])];
    for (line, field) in of_lines.iter().flat_map(|(line, fields)| fields.iter().map(move |field| (*line, *field))) {
        let seq = if line == 4 && field != "seq" { 3 } else { 0 };
        let removed = edited(line, |fields| drop(fields.remove(field)));
        assert_eq!(removed, format!("0 {line} {seq} Missing({field:?})"));
        for other in [json!(null), json!(true), json!(1.5), json!(u64::MAX), json!([1]), json!({"seq": 1})] {
            assert_eq!(set(line, field, other.clone()), format!("0 {line} {seq} Field({field:?})"), "{other}");
        }

        let seq = if line == 4 { 3 } else { 0 };
        for spelled in [field.to_owned(), format!("\\u{:04x}{}", u32::from(field.as_bytes()[0]), &field[1..])] {
            let mut lines = lines();
            lines[line - 1] = format!("{},\"{spelled}\":\"x\"}}", lines[line - 1].trim_end_matches('}'));
            assert_eq!(wrong(&[&joined(&lines)], &[]), format!("0 {line} {seq} Twice({field:?})"));
        }
    }
    assert_eq!(edited(1, |fields| drop(fields.remove("format"))), "0 1 0 Format");
    assert_eq!(set(1, "format", "claviger/audit-export/v2".into()), "0 1 0 Format");
    assert_eq!(edited(7, |fields| drop(fields.remove("events"))), r#"0 7 0 Missing("seq")"#);
    assert_eq!(set(7, "events", (-1).into()), r#"0 7 0 Field("events")"#);
}

#[test]
fn each_field_must_be_of_its_form() {
    for epoch in ["", "0191f3a05c1e7b529d4e2f6a8c01b7e3", "0191F3A0-5c1e-7b52-9d4e-2f6a8c01b7e3"] {
        assert_eq!(set(1, "epoch", epoch.into()), r#"0 1 0 Field("epoch")"#);
    }
    for scope in ["", "ALL", "workspaces/", "workspaces/Acme", "workspaces/\u{1b}[2J"] {
        assert_eq!(set(1, "scope", scope.into()), r#"0 1 0 Field("scope")"#);
    }
    for first in [0, -1, i64::MIN] {
        assert_eq!(set(1, "first_seq", first.into()), r#"0 1 0 Field("first_seq")"#);
    }
    for hash in ["", "ab", &"AB".repeat(32), &"ab".repeat(33), &"zz".repeat(32)] {
        assert_eq!(set(4, "hash", hash.into()), r#"0 4 3 Field("hash")"#);
    }
    // what must not be there at all
    assert_eq!(set(1, "scope", "platform".into()), r#"0 1 0 Field("first_seq")"#);
    assert_eq!(set(7, "events", 0.into()), r#"0 7 0 Field("last_hash")"#);
}

/// What no hash covers, anyone may have added.
#[test]
fn a_line_has_nothing_but_its_own_fields() {
    for (line, seq) in [(1, 0), (4, 3), (7, 0)] {
        for foreign in
            [r#""later":1"#, r#""later":{"seq":[1,{"hash":null}]}"#, r#""é":"x","é":-1e40"#, r#""Seq":9"#, r#""":"""#]
        {
            let mut lines = lines();
            let known = lines[line - 1].strip_prefix('{').unwrap();
            lines[line - 1] = format!("{{{foreign},{known}");
            assert_eq!(wrong(&[&joined(&lines)], &[]), format!("0 {line} {seq} Foreign"), "{foreign}");
        }
    }
    let added = |line: usize, field: &str| edited(line, |fields| drop(fields.insert(field.into(), "x".into())));
    for line in [1, 7] {
        for field in [&["seq", "event_time", "hash"][..], &TEXTS].concat() {
            assert_eq!(added(line, field), format!("0 {line} 0 Field({field:?})"));
        }
    }
    for field in ["format", "epoch", "scope", "first_seq", "last_seq", "last_hash"] {
        assert_eq!(added(4, field), format!("0 4 3 Field({field:?})"));
    }
    for (line, field) in [(1, "last_seq"), (1, "events"), (7, "epoch"), (7, "previous_hash")] {
        assert_eq!(added(line, field), format!("0 {line} 0 Field({field:?})"));
    }
}
