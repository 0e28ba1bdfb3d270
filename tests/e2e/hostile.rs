//! What must never get in: each refusal has its reason, leaves no trace, and repeats nothing of what was sent.

mod egress;
mod fields;
mod frames;
mod rebinding;

use claviger_tests::{Fleet, database, reason};
use tonic::Status;

/// Part of every hostile input, in whatever case: it must not come back.
const CANARY: &str = "canary";

/// The refusal has the reason and does not echo the input.
fn assert_refused(name: &str, refused: &Status, expected: &str) {
    assert_eq!(reason(refused), expected, "{name}: {refused:?}");
    let all = [
        refused.message().to_owned(),
        String::from_utf8_lossy(refused.details()).into_owned(),
        format!("{:?}", refused.metadata()),
    ];
    for part in all {
        assert!(!part.to_lowercase().contains(CANARY), "{name}: {part}");
    }
}

/// No row anywhere, no event, no word in the logs.
async fn assert_no_trace(fleet: &Fleet) {
    let file = fleet.database();
    for table in ["provider_keys", "workspaces", "workspace_keys", "audit_events"] {
        let rows = database::number(&file, &format!("SELECT COUNT(*) FROM {table}")).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    for log in [fleet.vault.log(), fleet.routing.log()] {
        let line = log.lines().find(|line| line.to_lowercase().contains(CANARY));
        assert_eq!(line, None);
    }
}
