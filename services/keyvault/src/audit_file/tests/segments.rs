//! Several files, one tenant's files, and heads that were seen elsewhere.

use super::*;

/// Six events in two files.
fn segments() -> (Vec<ExportedEvent<'static>>, String, String) {
    let events = events(START, 6);
    let (first, second) = (file(&all(START), &events[..4]), file(&all(head(&events[3])), &events[4..]));
    (events, first, second)
}

#[test]
fn files_that_continue_each_other_are_one_log() {
    let (events, first, second) = segments();
    let empty = file(&all(head(&events[3])), &[]);
    let report = verified(&[first.as_bytes(), empty.as_bytes(), second.as_bytes()], &[]).unwrap();
    assert_eq!((report.files, report.events, report.first_seq), (3, 6, Some(1)));
    assert_eq!(report.last, Some(head(&events[5])));

    let later = verified(&[second.as_bytes()], &[]).unwrap();
    assert!(later.to_string().contains("whole from seq 5 to 6"), "{later}");
}

#[test]
fn files_that_do_not_continue_each_other_are_refused() {
    let (events, first, second) = segments();
    assert_eq!(wrong(&[&second, &first], &[]), "1 1 1 Order");
    assert_eq!(wrong(&[&first, &first], &[]), "1 1 1 Order");

    let gap = file(&all(head(&events[4])), &events[5..]);
    assert_eq!(wrong(&[&first, &gap], &[]), "1 1 6 Gap { expected: 5 }");
    let overlap = file(&all(head(&events[2])), &events[3..]);
    assert_eq!(wrong(&[&first, &overlap], &[]), "1 1 4 Order");
    let unlinked = file(&all(Head { seq: 4, hash: [7; 32] }), &[]);
    assert_eq!(wrong(&[&first, &unlinked], &[]), "1 1 5 Link");

    let other = Header { epoch: Uuid::from_u128(7), ..all(head(&events[3])) };
    assert_eq!(wrong(&[&first, &file(&other, &events[4..])], &[]), "1 1 0 Epoch");
    assert_eq!(wrong(&[&first, &file(&acme(), &events[4..5])], &[]), "1 1 0 Scope");
    assert_eq!(wrong(&[&file(&acme(), &[]), &first], &[]), "1 1 0 Scope");
}

#[test]
fn a_file_must_hold_what_its_header_says_comes_first() {
    let events = events(START, 3);
    assert_eq!(wrong(&[&file(&all(START), &events[1..])], &[]), "0 2 2 Gap { expected: 1 }");
    assert_eq!(wrong(&[&file(&all(head(&events[1])), &events[1..])], &[]), "0 2 2 Order");
    let another = Head { seq: 1, hash: [7; 32] };
    assert_eq!(wrong(&[&file(&all(another), &events[1..])], &[]), "0 2 2 Link");
}

#[test]
fn the_log_begins_with_nothing_before_it() {
    let before = Head { seq: 0, hash: [7; 32] };
    assert_eq!(wrong(&[&file(&all(before), &events(before, 2))], &[]), "0 1 1 Link");
    let first = event(before, "workspaces/acme", "{}");
    assert_eq!(wrong(&[&file(&acme(), &[first])], &[]), "0 2 1 Link");
}

#[test]
fn the_last_number_has_no_successor() {
    let last = event(Head { seq: i64::MAX - 1, hash: [7; 32] }, "platform", "{}");
    let after = Head { seq: last.seq - 1, hash: last.previous_hash };
    assert!(verified(&[file(&all(after), std::slice::from_ref(&last)).as_bytes()], &[]).is_ok());
    let again = rehashed(ExportedEvent { previous_hash: last.hash, ..last.clone() });
    assert_eq!(wrong(&[&file(&all(after), &[last, again])], &[]), format!("0 3 {} Order", i64::MAX));
}

#[test]
fn an_empty_export_is_whole() {
    let report = verified(&[file(&all(START), &[]).as_bytes()], &[]).unwrap();
    assert_eq!((report.events, report.first_seq, report.last), (0, None, None));
    assert!(report.to_string().contains("nothing after seq 0"), "{report}");
    assert!(verified(&[file(&acme(), &[]).as_bytes()], &[]).is_ok());
    assert_eq!(format!("{:?}", verify(&[], &[], &mut |_| ()).unwrap_err().problem), "CutShort");
}

#[test]
fn a_tenants_export_has_gaps_and_says_so() {
    let events = events(START, 6);
    let own: Vec<_> = events.iter().filter(|event| event.tenant == "workspaces/acme").cloned().collect();
    let (one, two) = (file(&acme(), &own[..2]), file(&acme(), &own[2..]));
    let report = verified(&[one.as_bytes(), two.as_bytes()], &[]).unwrap();
    assert_eq!((report.events, report.last), (3, Some(head(&events[4]))));
    assert!(report.to_string().contains("completeness is not shown"), "{report}");
    assert!(!report.to_string().contains("whole"), "{report}");
    assert_eq!(wrong(&[&two, &one], &[]), "1 2 1 Order");
}

#[test]
fn a_tenants_export_is_checked_as_far_as_it_can_be() {
    let events = events(START, 6);
    let of = |events: &[ExportedEvent<'static>]| wrong(&[&file(&acme(), events)], &[]);
    let [first, second, third, ..] = &*events else { unreachable!() };
    assert_eq!(of(&[first.clone(), second.clone()]), "0 3 2 Tenant");
    assert_eq!(of(&[third.clone(), first.clone()]), "0 3 1 Order");
    assert_eq!(of(&[third.clone(), third.clone()]), "0 3 3 Order");
    assert_eq!(of(&[ExportedEvent { action: "x".into(), ..third.clone() }]), "0 2 3 Hash");
    assert_eq!(of(&[ExportedEvent { previous_hash: [7; 32], ..third.clone() }]), "0 2 3 Hash");
    let neighbour = event(Head { seq: 1, hash: [7; 32] }, "workspaces/acme", "{}");
    assert_eq!(of(&[first.clone(), neighbour]), "0 3 2 Link");
}

#[test]
fn witnessed_heads_must_be_in_the_files() {
    let (events, first, second) = segments();
    let files: [&[u8]; 2] = [first.as_bytes(), second.as_bytes()];
    let heads: Vec<_> = std::iter::once(START).chain(events.iter().map(head)).collect();
    let report = verified(&files, &heads).unwrap();
    assert_eq!(report.heads, 7);
    assert!(report.to_string().contains("7, all found"), "{report}");
    assert!(verified(&files[1..], &heads[4..]).is_ok()); // the one before the first is named by the header

    for (line, seq) in [(2, 1), (5, 4)] {
        let other = Head { seq, hash: [7; 32] };
        assert_eq!(wrong(&[&first, &second], &[heads[2], other]), format!("0 {line} {seq} HeadDiffers"));
    }
    let both = [heads[3], Head { seq: 3, hash: [7; 32] }];
    assert_eq!(wrong(&[&first, &second], &both), "0 4 3 HeadDiffers");
    assert_eq!(wrong(&[&second], &[Head { seq: 4, hash: [7; 32] }]), "0 1 4 HeadDiffers");
    assert_eq!(wrong(&[&second], &[heads[6], heads[3]]), "- 0 3 HeadMissing");
    assert_eq!(wrong(&[&first, &second], &[Head { seq: 7, hash: [7; 32] }]), "- 0 7 HeadMissing");
}

#[test]
fn a_log_that_was_made_anew_is_seen_by_a_head_alone() {
    let seen = head(&events(START, 3)[2]);
    let mut last = START;
    let forged: Vec<_> = (0..3)
        .map(|_| {
            let event = event(last, "workspaces/acme", r#"{"forged":""}"#);
            last = head(&event);
            event
        })
        .collect();
    let forged = file(&all(START), &forged);
    assert!(verified(&[forged.as_bytes()], &[]).is_ok());
    assert_eq!(wrong(&[&forged], &[seen]), "0 4 3 HeadDiffers");
}

#[test]
fn in_a_tenants_export_the_event_before_is_witnessed_too() {
    let events = events(START, 3);
    let own = file(&acme(), &events[2..]);
    assert!(verified(&[own.as_bytes()], &[head(&events[1])]).is_ok());
    assert_eq!(wrong(&[&own], &[Head { seq: 2, hash: [7; 32] }]), "0 2 2 HeadDiffers");
}
