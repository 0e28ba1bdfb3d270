//! Files as the service writes them, whole and damaged. Their hashes come from the vault's own code, so that both must agree.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bytes;
mod damage;
mod golden;
mod segments;

use std::path::PathBuf;

use claviger_crypto::event_hash;
use tempfile::TempDir;

use super::*;

const EPOCH: Uuid = Uuid::from_u128(0x0191_f3a0_5c1e_7b52_9d4e_2f6a_8c01_b7e3);
const START: Head = Head { seq: 0, hash: GENESIS };

/// Whoever verifies shares no hashing with whoever writes, but the documented format.
#[test]
fn the_verifier_shares_no_hashing_with_the_writer() {
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/audit_file");
    let files = std::fs::read_dir(&own).unwrap().map(|file| file.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.is_file() && !path.ends_with("tests.rs")).collect();
    assert!(files.len() >= 7, "{files:?}");
    for file in files.into_iter().chain([own.with_extension("rs")]) {
        let text = std::fs::read_to_string(&file).unwrap();
        let foreign = text.lines().find(|line| {
            let others = line.match_indices("crate::").any(|(at, _)| !line[at..].starts_with("crate::audit_file"));
            others || line.contains("claviger_crypto")
        });
        assert_eq!(foreign, None, "{}", file.display());
    }
}

/// An event of one's own, right after another.
fn event(after: Head, tenant: &str, details: &str) -> ExportedEvent<'static> {
    let seq = after.seq + 1;
    let event = ExportedEvent {
        seq,
        event_time: 1_800_000_000_000_000,
        tenant: tenant.to_owned().into(),
        action: "key.created".into(),
        target: format!("{tenant}/keys/{seq}").into(),
        actor: "spiffe://example.org/settings".into(),
        on_behalf_of: "workspaces/acme/users/lena".into(),
        peer: "127.0.0.1:50000".into(),
        request_id: "job-7".into(),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
        details: details.to_owned().into(),
        previous_hash: after.hash,
        hash: [0; 32],
    };
    rehashed(event)
}

fn rehashed(event: ExportedEvent<'static>) -> ExportedEvent<'static> {
    let (seq, time) = (event.seq.to_be_bytes(), event.event_time.to_be_bytes());
    let texts = [
        &event.tenant,
        &event.action,
        &event.target,
        &event.actor,
        &event.on_behalf_of,
        &event.peer,
        &event.request_id,
        &event.trace_id,
        &event.details,
    ];
    let mut fields: Vec<&[u8]> = vec![&seq, &time];
    fields.extend(texts.iter().map(|text| text.as_bytes()));
    ExportedEvent { hash: event_hash(&event.previous_hash, &fields), ..event }
}

/// So many events after one, in turn of acme and of the platform.
fn events(after: Head, count: usize) -> Vec<ExportedEvent<'static>> {
    let mut last = after;
    let tenants = ["workspaces/acme", "platform"].into_iter().cycle().take(count);
    tenants
        .map(|tenant| {
            let event = event(last, tenant, r#"{"provider":"openai"}"#);
            last = head(&event);
            event
        })
        .collect()
}

fn head(event: &ExportedEvent<'_>) -> Head {
    Head { seq: event.seq, hash: event.hash }
}

fn all(after: Head) -> Header {
    Header { epoch: EPOCH, scope: Scope::All { after } }
}

fn acme() -> Header {
    Header { epoch: EPOCH, scope: Scope::Tenant(Tenant::parse("workspaces/acme").unwrap()) }
}

fn file(header: &Header, events: &[ExportedEvent<'_>]) -> String {
    let (mut out, mut trailer) = (Vec::new(), Trailer::default());
    write_header(&mut out, header).unwrap();
    for event in events {
        write_event(&mut out, event).unwrap();
        trailer.count(event);
    }
    write_trailer(&mut out, &trailer).unwrap();
    String::from_utf8(out).unwrap()
}

/// Verifies files of these contents.
fn verified(files: &[&[u8]], heads: &[Head]) -> Result<Report, VerifyError> {
    let folder = TempDir::new().unwrap();
    let paths: Vec<PathBuf> = (0..files.len()).map(|number| folder.path().join(number.to_string())).collect();
    for (path, content) in paths.iter().zip(files) {
        std::fs::write(path, content).unwrap();
    }
    verify(&paths, heads, &mut |_| ())
}

/// What is wrong with the files: which of them (`-` for none), line, seq (0 for none) and problem.
fn wrong(files: &[&str], heads: &[Head]) -> String {
    let files: Vec<&[u8]> = files.iter().map(|file| file.as_bytes()).collect();
    let error = verified(&files, heads).unwrap_err();
    let file = error.file.as_ref().and_then(|file| file.file_name()?.to_str()).unwrap_or("-");
    format!("{file} {} {} {:?}", error.line, error.seq.unwrap_or_default(), error.problem)
}
