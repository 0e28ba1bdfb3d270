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

/// What counts once for each resolution, whose id each report names: sent again, it changes nothing.
const REPORTS: [&str; 2] = ["ReportOutcome", "ReportOutcomes"];

#[test]
fn every_mutation_takes_a_request_id() {
    let mut mutations = 0;
    for method in methods(&pool()) {
        let name = method.name().to_owned();
        let reads = ["Get", "List", "Export", "Validate", "Query"].iter().any(|verb| name.starts_with(verb));
        let takes = |field| method.input().get_field_by_name(field).is_some();
        let (takes_one, reports) = (takes("request_id"), REPORTS.contains(&name.as_str()));
        assert_eq!(takes_one, !reads && !reports && !OTHERS.contains(&name.as_str()), "{name}");
        assert_eq!(takes("resolution_id"), reports, "{name}");
        mutations += usize::from(takes_one);
    }
    assert!(mutations >= 18, "{mutations}");
}
