//! The audit chain, verified by what docs/audit.md says and by nothing of the product.

use sha2::{Digest, Sha256};

use crate::database::{Database, hex};

/// What the tests look at of an event.
pub(crate) struct Event {
    pub(crate) action: String,
    pub(crate) target: String,
    /// A JSON object of texts.
    pub(crate) details: String,
}

const TEXTS: [&str; 9] =
    ["tenant", "action", "target", "actor", "on_behalf_of", "peer", "request_id", "trace_id", "details"];

/// All events of a log whose numbers, hashes and end are as they should be.
pub(crate) async fn verified(database: &Database) -> Result<Vec<Event>, String> {
    let (mut seq, mut hash, mut events) = (0_i64, vec![0; 32], Vec::new());
    for row in database.rows("SELECT * FROM audit_events ORDER BY seq").await {
        let number: i64 = row.try_get("", "seq").unwrap();
        if number != seq + 1 {
            return Err(format!("{number} follows {seq}"));
        }
        seq = number;
        let time: i64 = row.try_get("", "event_time").unwrap();
        let texts: Vec<String> = TEXTS.iter().map(|column| row.try_get("", column).unwrap()).collect();
        hash = hash_of(&hash, seq, time, &texts);
        if row.try_get::<Vec<u8>>("", "hash").unwrap() != hash {
            return Err(format!("event {seq} was altered"));
        }
        events.push(Event { action: texts[1].clone(), target: texts[2].clone(), details: texts[8].clone() });
    }
    let head = &database.rows("SELECT * FROM audit_head").await[0];
    let end = (head.try_get::<i64>("", "seq").unwrap(), head.try_get::<Vec<u8>>("", "hash").unwrap());
    if end == (seq, hash) { Ok(events) } else { Err(format!("the head is event {}, the last is {seq}", end.0)) }
}

fn hash_of(previous: &[u8], seq: i64, time: i64, texts: &[String]) -> Vec<u8> {
    let mut bytes = [b"claviger/audit/v1", previous].concat();
    let fields = [seq.to_be_bytes().to_vec(), time.to_be_bytes().to_vec()].into_iter();
    for field in fields.chain(texts.iter().map(|text| text.clone().into_bytes())) {
        bytes.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        bytes.extend(field);
    }
    Sha256::digest(bytes).to_vec()
}

#[test]
fn the_worked_example_of_the_page_is_right() {
    let texts = [
        "workspaces/acme",
        "workspace.created",
        "workspaces/acme",
        "development",
        "workspaces/acme/users/lena",
        "127.0.0.1:50000",
        "job-7",
        "",
        r#"{"fallback_consent":"ANY"}"#,
    ];
    let hash = hash_of(&[0; 32], 1, 1_800_000_000_000_000, &texts.map(str::to_owned));
    let page = include_str!("../../../docs/audit.md");
    assert!(page.contains(&format!("`{}`", hex(&hash))), "{}", hex(&hash));
}
