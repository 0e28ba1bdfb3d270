//! Page tokens of events.
#![expect(clippy::unwrap_used, reason = "tests")]

use claviger_core::command::{AuditScope, PageRequest};
use claviger_core::filter::Filter;
use claviger_core::ids::Tenant;

use super::*;

fn list(scope: AuditScope, token: Option<String>) -> ListEvents {
    ListEvents { scope, filter: Filter::default(), page: PageRequest { size: 1, token } }
}

#[test]
fn a_token_serves_its_own_listing_alone() {
    let key = ServiceKey::generate().unwrap();
    let token = token(&key, &list(AuditScope::All, None), 7);
    assert_eq!(before(&key, &list(AuditScope::All, Some(token.clone()))).unwrap(), Some(7));
    let tenant = AuditScope::Tenant(Tenant::parse("workspaces/a").unwrap());
    assert!(before(&key, &list(tenant, Some(token.clone()))).is_err());
    let other = ServiceKey::generate().unwrap();
    assert!(before(&other, &list(AuditScope::All, Some(token.clone()))).is_err());
    for hostile in ["", "AA", "not base64!", &token[1..]] {
        assert!(before(&key, &list(AuditScope::All, Some(hostile.into()))).is_err(), "{hostile}");
    }
}
