//! Every call that changes something can be sent again.

use super::{methods, pool};

/// What changes nothing that it would be wrong to do twice.
const OTHERS: [&str; 5] = [
    "ResolveKey", // hands out a key
    "ExplainRoute",
    "Subscribe",
    "RewrapKeys", // goes on where it stopped, however often it is called
    "VerifyAuditLog",
];

#[test]
fn every_mutation_takes_a_request_id() {
    let mut mutations = 0;
    for method in methods(&pool()) {
        let name = method.name().to_owned();
        let reads = ["Get", "List", "Export", "Validate", "Query"].iter().any(|verb| name.starts_with(verb));
        let takes_one = method.input().get_field_by_name("request_id").is_some();
        assert_eq!(takes_one, !reads && !OTHERS.contains(&name.as_str()), "{name}");
        mutations += usize::from(takes_one);
    }
    assert!(mutations >= 18, "{mutations}");
}
