//! What an operator sees of a call: its trace, its log line, its request id, its metrics.

mod observe;

use std::time::{Duration, Instant};

use claviger_proto::keyvault_v1::GetProviderKeyRequest;
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::{create_request, environment, resolve_request};
use claviger_tests::{Fleet, Options, Process, audit, key, reason, wire};
use mock_collector::{MockServer, Protocol, ServerHandle};
use serde_json::Value;
use tonic::Request;

use observe::{Span, lines, metrics, sample, spans};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const RESOLVE: &str = "claviger.routing.v1.Routing/ResolveKey";
const CREATE: &str = "claviger.keyvault.v1.KeyVault/CreateProviderKey";
const GET: &str = "claviger.keyvault.v1.KeyVault/GetProviderKey";
const LOAD: &str = "claviger.keyvault.v1.KeyFeed/LoadTenant";

#[tokio::test(flavor = "multi_thread")]
async fn a_resolve_is_one_trace_from_the_caller_through_routing_into_the_vault() {
    let (collector, fleet) = traced_fleet().await;
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let mut request = resolve_request("workspaces/acme");
    request.provider = "anthropic".into();
    fleet.routing().resolve_key(within_trace(request)).await.unwrap();

    let all = spans(&collector, TRACE, 3).await;
    let resolve = only(&all, RESOLVE);
    assert_eq!((resolve.parent.as_str(), resolve.kind), (PARENT, "server"));
    assert_eq!(resolve.service, "claviger-routing");
    assert_eq!(resolve.attribute("rpc.system.name"), Some("grpc"));
    assert_eq!(resolve.attribute("rpc.method"), Some(RESOLVE));
    assert_eq!(resolve.attribute("rpc.response.status_code"), Some("OK"));
    assert_eq!(resolve.attribute("error.type"), None);

    let loads: Vec<_> = all.iter().filter(|span| span.name == LOAD).collect();
    assert_eq!(loads.len(), 2, "the workspace and the platform: {all:#?}");
    for load in loads {
        assert_eq!((load.service.as_str(), load.kind), ("claviger-keyvault", "server"));
        assert!(leads_to(load, resolve, &all), "{all:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_s_span_says_why_and_the_audit_row_names_the_trace() {
    let (collector, fleet) = traced_fleet().await;
    let create = create_request("workspaces/acme", "anthropic", &key("good"));
    fleet.key_vault().create_provider_key(within_trace(create)).await.unwrap();
    let missing = GetProviderKeyRequest { name: "workspaces/acme/keys/0197f7a0-0000-7000-8000-000000000000".into() };
    fleet.key_vault().get_provider_key(within_trace(missing)).await.unwrap_err();
    let broken = create_request("workspaces/acme", "anthropic", &key("broken"));
    fleet.key_vault().create_provider_key(within_trace(broken)).await.unwrap_err();

    let all = spans(&collector, TRACE, 3).await;
    let creates: Vec<_> = all.iter().filter(|span| span.name == CREATE).collect();
    let codes: Vec<_> = creates.iter().map(|span| span.attribute("rpc.response.status_code").unwrap()).collect();
    assert_eq!(codes, ["OK", "UNAVAILABLE"]);
    assert!(!creates[0].failed && creates[1].failed, "UNAVAILABLE is the server's");
    let get = only(&all, GET);
    assert_eq!((get.service.as_str(), get.parent.as_str()), ("claviger-keyvault", PARENT));
    assert_eq!(
        (get.attribute("rpc.response.status_code"), get.attribute("error.type")),
        (Some("NOT_FOUND"), Some("NOT_FOUND"))
    );
    assert!(!get.failed, "NOT_FOUND is the caller's");

    let events = audit::events(&fleet.database()).await.unwrap();
    let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["workspace.created", "key.created", "secret.tested"], "{events:?}");
    assert!(events.iter().all(|event| event.trace_id == TRACE), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_calls_work_and_the_caller_s_trace_is_kept() {
    let fleet = Fleet::start().await.unwrap();
    let create = create_request("workspaces/acme", "anthropic", &key("good"));
    fleet.key_vault().create_provider_key(within_trace(create)).await.unwrap();
    let mut resolve = resolve_request("workspaces/acme");
    resolve.provider = "anthropic".into();
    fleet.routing().resolve_key(within_trace(resolve)).await.unwrap();

    let events = audit::events(&fleet.database()).await.unwrap();
    assert!(events.iter().all(|event| event.trace_id == TRACE), "{events:?}");
    let access = access_lines(&fleet.routing, RESOLVE, 1).await;
    assert_eq!(access[0]["trace_id"], TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_leaves_one_parseable_line_and_answers_its_request_id() {
    let fleet = Fleet::start().await.unwrap();
    let channel = wire::channel(&fleet.vault, "grpc");
    let list = "claviger.keyvault.v1.Catalog/ListCategories";
    let kept = wire::call_with(&channel, list, &[("x-request-id", "job-7")]).await.unwrap();
    assert_eq!(kept.metadata().get("x-request-id").unwrap(), "job-7");
    let made = wire::call(&channel, list).await.unwrap();
    let made = made.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned();
    assert_eq!(made.len(), 36, "{made}");

    for hostile in ["a b", "a;rm -rf", "{\"level\":\"ERROR\"}", &"x".repeat(129)] {
        let error = wire::call_with(&channel, GET, &[("x-request-id", hostile)]).await.unwrap_err();
        let id = error.metadata().get("x-request-id").unwrap().to_str().unwrap();
        assert_eq!(id.len(), 36, "{hostile} became {id}");
    }
    let kept = wire::call_with(&channel, GET, &[("x-request-id", "job-8")]).await.unwrap_err();
    assert_eq!(kept.metadata().get("x-request-id").unwrap(), "job-8");

    let calls = access_lines(&fleet.vault, list, 2).await;
    let ids: Vec<_> = calls.iter().map(|line| line["fields"]["request.id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["job-7", &made]);
    assert!(calls.iter().all(|line| line["fields"]["rpc.response.status_code"] == "OK"), "{calls:?}");
    let gets = access_lines(&fleet.vault, GET, 5).await;
    assert_eq!(gets[4]["fields"]["request.id"], "job-8");
    assert_eq!(gets[4]["fields"]["rpc.response.status_code"], "INVALID_ARGUMENT");
    lines(&fleet.routing.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_calls_by_method_and_status_and_callers_cannot_make_series() {
    let fleet = Fleet::start().await.unwrap();
    for (process, list) in [(&fleet.vault, "claviger.keyvault.v1.Catalog/ListCategories"), (&fleet.routing, RESOLVE)] {
        let channel = wire::channel(process, "grpc");
        let code = if wire::call(&channel, list).await.is_ok() { "OK" } else { "INVALID_ARGUMENT" };
        for unknown in ["evil.v1.Evil/One", "evil.v1.Evil/Two", "claviger.keyvault.v1.Catalog/Evil", "a/b/evil"] {
            wire::call(&channel, unknown).await.unwrap_err();
        }
        let (status, text) = metrics(process, "GET", "/metrics").await;
        assert_eq!(status, 200);
        assert_eq!(sample(&text, list, code), Some(1), "{text}");
        assert_eq!(sample(&text, "_OTHER", "UNIMPLEMENTED"), Some(4), "{text}");
        assert!(!text.to_lowercase().contains("evil"), "{text}");
        for (method, path) in [("GET", "/"), ("GET", "/metrics/"), ("GET", "/debug"), ("POST", "/metrics")] {
            assert_eq!(metrics(process, method, path).await, (404, String::new()), "{method} {path}");
        }
    }
}

async fn traced_fleet() -> (ServerHandle, Fleet) {
    let collector = MockServer::builder().protocol(Protocol::Grpc).start().await.unwrap();
    let endpoint = format!("http://{}", collector.addr());
    let export = environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "100")]);
    let fleet =
        Fleet::start_with(Options { vault: export.clone(), routing: export, ..Default::default() }).await.unwrap();
    (collector, fleet)
}

/// A request from within the caller's own trace.
fn within_trace<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    request
}

fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let named: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(named.len(), 1, "{name}: {spans:#?}");
    named[0]
}

fn leads_to(span: &Span, ancestor: &Span, all: &[Span]) -> bool {
    let parent = all.iter().find(|other| other.id == span.parent);
    parent.is_some_and(|parent| parent.id == ancestor.id || leads_to(parent, ancestor, all))
}

/// The access lines of one method, which must be so many; every line of the log must parse.
async fn access_lines(process: &Process, method: &str, count: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let mut found = lines(&process.log());
        found.retain(|line| line["message"] == "call" && line["fields"]["rpc.method"] == method);
        if found.len() == count {
            return found;
        }
        // a line may come a moment after its answer
        assert!(start.elapsed() < Duration::from_secs(2), "{found:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each resolve meets the key again, and there may be thousands a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_used_is_logged_once_a_minute() {
    let fleet = Fleet::start().await.unwrap();
    let mut bad = Vec::new();
    for owner in ["workspaces/one", "workspaces/two"] {
        bad.push(fleet.create(owner, "anthropic", &key("good")).await.unwrap().uid);
    }
    let alter = "UPDATE provider_keys SET label = 'x'";
    claviger_tests::database::alter(&fleet.database(), alter).await.unwrap();
    for owner in ["workspaces/one", "workspaces/one", "workspaces/one", "workspaces/two"] {
        let pin = ResolveKeyRequest { key_slug: "anthropic".into(), ..resolve_request(owner) };
        assert_eq!(reason(&fleet.resolve(pin).await.unwrap_err()), "KEY_UNREADABLE");
    }
    let told = |uid: &str| lines(&fleet.vault.log()).iter().filter(|line| line["fields"]["key"] == uid).count();
    let start = Instant::now();
    while told(&bad[1]) == 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", fleet.vault.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((told(&bad[0]), told(&bad[1])), (1, 1));
}
