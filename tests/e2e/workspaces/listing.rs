//! Listings, a page at a time.

use claviger_proto::keyvault_v1 as kv;
use claviger_tests::{Fleet, database, reason};

use super::*;

async fn list(fleet: &Fleet, filter: &str, page_size: i32, page_token: &str) -> Result<(Vec<String>, String), Status> {
    let request = kv::ListWorkspacesRequest { page_size, page_token: page_token.into(), filter: filter.into() };
    let page = fleet.workspaces().list_workspaces(request).await?.into_inner();
    Ok((page.workspaces.into_iter().map(|workspace| workspace.name).collect(), page.next_page_token))
}

#[tokio::test(flavor = "multi_thread")]
async fn workspaces_are_listed_by_id_and_by_filter() {
    let fleet = Fleet::start().await.unwrap();
    for (id, plan) in [("d", "pro"), ("b", ""), ("a", "pro"), ("c", "free"), ("e", "pro")] {
        fleet.make_workspace(id, kv::Workspace { plan: plan.into(), ..Default::default() }).await.unwrap();
    }
    set_read_only(&fleet, "e", true).await;
    delete(&fleet, "d").await.unwrap();
    let names = |ids: &[&str]| ids.iter().map(|id| format!("workspaces/{id}")).collect::<Vec<_>>();
    for (filter, ids) in [
        ("", ["a", "b", "c", "e"].as_slice()),
        ("plan = pro", &["a", "e"]),
        ("plan != pro", &["b", "c"]),
        ("plan = pro AND read_only = false", &["a"]),
        ("default_mode = METERED", &[]),
        ("fallback_consent = ANY AND create_time > 2020-01-01T00:00:00Z", &["a", "b", "c", "e"]),
    ] {
        assert_eq!(list(&fleet, filter, 0, "").await.unwrap(), (names(ids), String::new()), "{filter}");
    }
    let (first, token) = list(&fleet, "", 3, "").await.unwrap();
    assert_eq!(first, names(&["a", "b", "c"]));
    assert_eq!(list(&fleet, "", 3, &token).await.unwrap(), (names(&["e"]), String::new()));
    for (filter, token) in [("plan = pro", token.as_str()), ("", "x"), ("", &token[1..]), ("owner = me", "")] {
        assert_eq!(reason(&list(&fleet, filter, 3, token).await.unwrap_err()), "INVALID_FIELD", "{filter} {token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_listed_by_agent_for_one_workspace_alone() {
    let fleet = Fleet::start().await.unwrap();
    for (workspace, agents) in [("acme", ["c", "a", "b"].as_slice()), ("other", &["a"])] {
        fleet.make_workspace(workspace, kv::Workspace::default()).await.unwrap();
        for agent in agents {
            set_route(&fleet, byok(workspace, agent, "anthropic", "")).await.unwrap();
        }
    }
    let list = async |parent: &str, token: &str| {
        let (parent, page_token) = (parent.to_owned(), token.to_owned());
        let request = kv::ListAgentRoutesRequest { parent, page_size: 2, page_token };
        let page = fleet.workspaces().list_agent_routes(request).await?.into_inner();
        Ok::<_, Status>((page.agent_routes.into_iter().map(|r| r.name).collect::<Vec<_>>(), page.next_page_token))
    };
    let name = |agent: &str| format!("workspaces/acme/agents/{agent}/route");
    let (first, token) = list("workspaces/acme", "").await.unwrap();
    assert_eq!(first, [name("a"), name("b")]);
    assert_eq!(list("workspaces/acme", &token).await.unwrap(), (vec![name("c")], String::new()));
    assert_eq!(reason(&list("workspaces/other", &token).await.unwrap_err()), "INVALID_FIELD");
    assert_eq!(list("workspaces/nobody", "").await.unwrap(), (Vec::new(), String::new()));
}

/// One row that was written to behind the vault's back stops a page, which says which; ending it is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_names_what_was_altered() {
    let fleet = Fleet::start().await.unwrap();
    for id in ["a", "b", "c"] {
        fleet.make_workspace(id, kv::Workspace::default()).await.unwrap();
        set_route(&fleet, byok("a", id, "anthropic", "")).await.unwrap();
    }
    let sql = async |sql: &str| database::alter(&fleet.database(), sql).await.unwrap();
    let routes = async || {
        let request = kv::ListAgentRoutesRequest { parent: "workspaces/a".into(), ..Default::default() };
        fleet.workspaces().list_agent_routes(request).await.map(|page| page.into_inner().agent_routes.len())
    };

    sql("UPDATE agent_routes SET mode = 'METERED' WHERE agent = 'b'").await;
    let named = ("claviger.dev/AgentRoute".to_owned(), "workspaces/a/agents/b/route".to_owned());
    assert_eq!(altered(&routes().await.unwrap_err()), named);
    let ended = kv::DeleteAgentRouteRequest { name: named.1, ..Default::default() };
    fleet.workspaces().delete_agent_route(ended).await.unwrap();
    assert_eq!(routes().await.unwrap(), 2);

    sql("UPDATE workspaces SET plan = 'pro' WHERE id = 'b'").await;
    let named = ("claviger.dev/Workspace".to_owned(), "workspaces/b".to_owned());
    assert_eq!(altered(&list(&fleet, "", 0, "").await.unwrap_err()), named);
    delete(&fleet, "b").await.unwrap();
    assert_eq!(list(&fleet, "", 0, "").await.unwrap().0, ["workspaces/a", "workspaces/c"]);

    sql("UPDATE workspaces SET id = 'no name ' || char(10) WHERE id = 'c'").await;
    assert_eq!(altered(&list(&fleet, "", 0, "").await.unwrap_err()).1, "", "what is no name is not shown");
}

/// The resource that a refusal names.
fn altered(refused: &Status) -> (String, String) {
    use tonic_types::StatusExt;
    assert_eq!(reason(refused), "WORKSPACE_ALTERED");
    let resource = refused.get_details_resource_info().unwrap();
    (resource.resource_type, resource.resource_name)
}
