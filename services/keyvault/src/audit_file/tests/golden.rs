//! The format, held still: by a file, and by the page that documents it.

use super::*;

const GOLDEN: &str = include_str!("golden.jsonl");

#[test]
fn the_writer_writes_the_golden_file_and_the_verifier_tells_what_it_is() {
    let mut first = event(START, "workspaces/acme", r#"{"key_slug":"a\"b\\c"}"#);
    first.request_id = "tab\there, \u{1}, é, \u{1f511}, \u{7f}, \u{2028}".into();
    let first = rehashed(first);
    let mut second = event(head(&first), "platform", "{}");
    (second.on_behalf_of, second.trace_id) = ("".into(), "".into());
    let second = rehashed(second);

    assert_eq!(file(&all(START), &[first, second]), GOLDEN);
    let table = verified(&[GOLDEN.as_bytes()], &[]).unwrap().to_string();
    assert_eq!(table, include_str!("golden.txt"));
}

#[test]
fn the_worked_example_of_the_page_is_right() {
    let page = include_str!("../../../../../docs/audit.md");
    let (_, example) = page.split_once("## A worked example").unwrap();
    let (example, _) = example.split_once("\n## ").unwrap();
    let cells = |line: &'static str| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ");
    let field = |name: &str| -> Cow<'static, str> {
        let name = format!("`{name}`");
        let (_, value) = example.lines().filter_map(cells).find(|(cell, _)| *cell == name).unwrap();
        if value == "empty" { "".into() } else { value.trim_matches('`').into() }
    };
    let (_, hash) = example.split_once("Its hash is `").unwrap();
    let event = ExportedEvent {
        seq: field("seq").parse().unwrap(),
        event_time: field("event_time").parse().unwrap(),
        tenant: field("tenant"),
        action: field("action"),
        target: field("target"),
        actor: field("actor"),
        on_behalf_of: field("on_behalf_of"),
        peer: field("peer"),
        request_id: field("request_id"),
        trace_id: field("trace_id"),
        details: field("details"),
        previous_hash: GENESIS,
        hash: super::super::head::hash(&hash[..64]).unwrap(),
    };

    let report = verified(&[file(&all(START), std::slice::from_ref(&event)).as_bytes()], &[]).unwrap();
    assert_eq!(report.last, Some(head(&event)));
    assert_eq!(rehashed(event.clone()), event);
}
