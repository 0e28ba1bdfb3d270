//! Whoever did it, for whom, from where and in which call: on record with each event of each mutation.

use std::time::SystemTime;

use claviger_proto::keyvault_v1 as kv;
use claviger_proto::keyvault_v1::reorder_provider_keys_request::Group;
use claviger_tests::fleet::create_request;
use claviger_tests::{Fleet, audit, key};
use tonic::Request;

const ACME: &str = "workspaces/acme";
const PERSON: &str = "auth0|ann@example.org";

/// Calls a method as one person, in a call and a trace of its own. What is new in the log must tell so.
macro_rules! told {
    ($fleet:expr, $client:ident.$method:ident($request:expr), $actions:expr) => {{
        let call = Call::new(&$fleet).await;
        let answer = $fleet.$client().$method(call.stamped($request)).await.unwrap().into_inner();
        assert_eq!(call.told(&$fleet).await, $actions);
        answer
    }};
}

/// One call's marks, and how many events there were before it.
struct Call {
    before: usize,
    id: String,
    trace: String,
}

impl Call {
    async fn new(fleet: &Fleet) -> Self {
        let before = events(fleet).await.len();
        Self { before, id: format!("call-{before}"), trace: format!("{:032x}", before + 1) }
    }

    fn stamped<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let trace = format!("00-{}-00f067aa0ba902b7-01", self.trace);
        for (name, value) in [("x-on-behalf-of", PERSON), ("x-request-id", &self.id), ("traceparent", &trace)] {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        request
    }

    /// The actions of the new events in the order of the alphabet, all of this call.
    async fn told(&self, fleet: &Fleet) -> Vec<String> {
        let new = events(fleet).await.split_off(self.before);
        for event in &new {
            let origin = [&event.actor, &event.on_behalf_of, &event.request_id, &event.trace_id];
            assert_eq!(origin, ["development", PERSON, &self.id, &self.trace], "{event:?}");
            let port = event.peer.strip_prefix("127.0.0.1:").and_then(|port| port.parse::<u16>().ok());
            assert!(port.is_some(), "{event:?}");
        }
        let mut actions: Vec<_> = new.into_iter().map(|event| event.action).collect();
        actions.sort_unstable();
        actions
    }
}

async fn events(fleet: &Fleet) -> Vec<audit::Event> {
    audit::events(&fleet.database()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mutation_of_keys_tells_its_origin() {
    let fleet = Fleet::start().await.unwrap();
    let (secret, ann) = (key("good"), "workspaces/acme/users/ann");
    let stored = told!(
        fleet,
        key_vault.create_provider_key(create_request(ACME, "anthropic", &secret)),
        ["key.created", "workspace.created"]
    );
    let name = stored.name.clone();

    let validate =
        kv::CreateProviderKeyRequest { validate_only: true, ..create_request(ACME, "anthropic", &key("good")) };
    told!(fleet, key_vault.create_provider_key(validate), ["secret.tested"]);

    let label = kv::ProviderKey { name: name.clone(), label: "x".into(), ..Default::default() };
    let mask = claviger_proto::FieldMask { paths: vec!["label".into()] };
    let update =
        kv::UpdateProviderKeyRequest { provider_key: Some(label), update_mask: Some(mask), ..Default::default() };
    told!(fleet, key_vault.update_provider_key(update), ["key.updated"]);

    let test = kv::TestProviderKeyRequest { name: name.clone(), ..Default::default() };
    told!(fleet, key_vault.test_provider_key(test), ["key.tested"]);

    let secret = create_request(ACME, "anthropic", &secret).secret;
    let replace =
        kv::ReplaceProviderKeySecretRequest { name: name.clone(), secret: secret.clone(), ..Default::default() };
    told!(fleet, key_vault.replace_provider_key_secret(replace), ["key.secret_replaced"]);

    let second = fleet.create(ACME, "anthropic", &key("good")).await.unwrap();
    let order = kv::ReorderProviderKeysRequest {
        parent: ACME.into(),
        group: Some(Group::Provider("anthropic".into())),
        names: vec![second.name.clone(), name.clone()],
        ..Default::default()
    };
    told!(fleet, key_vault.reorder_provider_keys(order), ["key.updated"]);

    let revoke = kv::RevokeProviderKeyRequest { name: second.name.clone(), ..Default::default() };
    told!(fleet, key_vault.revoke_provider_key(revoke), ["key.revoked"]);

    let purge = kv::PurgeProviderKeyRequest { name: second.name, ..Default::default() };
    told!(fleet, key_vault.purge_provider_key(purge), ["key.purged"]);

    let leaked = kv::RevokeLeakedSecretRequest { secret, ..Default::default() };
    told!(fleet, key_vault.revoke_leaked_secret(leaked), ["key.revoked"]);

    fleet.create(ann, "anthropic", &key("good")).await.unwrap();
    let left = kv::RevokeUserKeysRequest { parent: ann.into(), ..Default::default() };
    told!(fleet, key_vault.revoke_user_keys(left), ["key.revoked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mutation_of_workspaces_tells_its_origin() {
    let fleet = Fleet::start().await.unwrap();
    let first = create_request("", "anthropic", &key("good"));
    let first = kv::FirstKey { provider_key: first.provider_key, secret: first.secret, ..Default::default() };
    let create =
        kv::CreateWorkspaceRequest { workspace_id: "acme".into(), first_key: Some(first), ..Default::default() };
    told!(fleet, workspaces.create_workspace(create), ["key.created", "workspace.created"]);

    let pro = kv::Workspace { name: ACME.into(), plan: "pro".into(), ..Default::default() };
    let mask = claviger_proto::FieldMask { paths: vec!["plan".into()] };
    let update = kv::UpdateWorkspaceRequest { workspace: Some(pro), update_mask: Some(mask), ..Default::default() };
    told!(fleet, workspaces.update_workspace(update), ["workspace.updated"]);

    let name = "workspaces/acme/agents/bob/route".to_owned();
    let route = kv::AgentRoute { name: name.clone(), mode: kv::AgentMode::Metered.into(), ..Default::default() };
    let set = kv::SetAgentRouteRequest { agent_route: Some(route), ..Default::default() };
    told!(fleet, workspaces.set_agent_route(set), ["agent_route.set"]);
    let end = kv::DeleteAgentRouteRequest { name, ..Default::default() };
    told!(fleet, workspaces.delete_agent_route(end), ["agent_route.deleted"]);

    let name = "workspaces/acme/sessions/s/binding".to_owned();
    let binding = kv::SessionBinding { name: name.clone(), key_slug: "anthropic".into(), ..Default::default() };
    let bind = kv::BindSessionRequest { session_binding: Some(binding), ..Default::default() };
    told!(fleet, workspaces.bind_session(bind), ["session.bound"]);
    let unbind = kv::UnbindSessionRequest { name, ..Default::default() };
    told!(fleet, workspaces.unbind_session(unbind), ["session.unbound"]);

    let delete = kv::DeleteWorkspaceRequest { name: ACME.into(), ..Default::default() };
    told!(fleet, workspaces.delete_workspace(delete), ["key.purged", "workspace.deleted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_tells_its_origin() {
    let fleet = Fleet::start().await.unwrap();
    fleet.create(ACME, "anthropic", &key("good")).await.unwrap();
    let rewrap = kv::RewrapKeysRequest { reseal_made_before: Some(SystemTime::now().into()) };
    let call = Call::new(&fleet).await;
    let mut progress = fleet.master_keys().rewrap_keys(call.stamped(rewrap)).await.unwrap().into_inner();
    while progress.message().await.unwrap().is_some_and(|step| !step.done) {}
    assert_eq!(call.told(&fleet).await, ["keys.resealed", "workspace_key.destroyed", "workspace_key.rotated"]);
}
