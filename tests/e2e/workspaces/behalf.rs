//! For whom a caller acts: on record with every change, and no more than that.

use claviger_proto::keyvault_v1 as kv;
use claviger_tests::raw;
use claviger_tests::{Fleet, audit, key, reason};
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::*;

fn by<T>(user: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-on-behalf-of", MetadataValue::try_from(user).unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_is_on_record_with_every_event() {
    let fleet = Fleet::start().await.unwrap();
    let person = "auth0|ann@example.org";
    let create = kv::CreateWorkspaceRequest {
        workspace_id: "acme".into(),
        first_key: Some(first_key("anthropic", &key("good"))),
        ..Default::default()
    };
    fleet.workspaces().create_workspace(by(person, create)).await.unwrap();
    let read_only = kv::Workspace { plan: "pro".into(), ..Default::default() };
    fleet.workspaces().update_workspace(by(person, change("acme", &["plan"], read_only))).await.unwrap();
    fleet.workspaces().set_agent_route(by(person, byok("acme", "a", "anthropic", ""))).await.unwrap();
    let wanted = bind_request(binding("acme", "s", "anthropic"));
    fleet.workspaces().bind_session(by(person, wanted)).await.unwrap();
    fleet.workspaces().delete_workspace(by(person, deletion("acme"))).await.unwrap();
    fleet.make_workspace("other", kv::Workspace::default()).await.unwrap();
    let events = audit::events(&fleet.database()).await.unwrap();
    let (last, all) = events.split_last().unwrap();
    assert_eq!(all.len(), 9);
    assert!(all.iter().all(|event| event.on_behalf_of == person && event.actor == "development"), "{all:?}");
    assert_eq!(last.on_behalf_of, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_person_is_refused() {
    let fleet = Fleet::start().await.unwrap();
    let create = || kv::CreateWorkspaceRequest { workspace_id: "acme".into(), ..Default::default() };
    for bad in ["", "two words", "-", "ann,bob", "ann/..", &"a".repeat(129)] {
        let refused = fleet.workspaces().create_workspace(by(bad, create())).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_FIELD", "{bad:?}");
        assert!(!format!("{refused:?}").contains("two words"));
    }
    let mut two = by("ann", create());
    two.metadata_mut().append("x-on-behalf-of", MetadataValue::from_static("bob"));
    assert_eq!(reason(&fleet.workspaces().create_workspace(two).await.unwrap_err()), "INVALID_FIELD");
    let method = "claviger.keyvault.v1.Workspaces/CreateWorkspace";
    let body = raw::field(1, b"acme");
    let address = fleet.vault.address("grpc");
    let refused = raw::call(address, method, &[("x-on-behalf-of", "zo\u{eb}")], &body).await.unwrap();
    assert_eq!(reason(&refused), "INVALID_FIELD");
    assert!(recorded(&fleet).await.is_empty());
}
