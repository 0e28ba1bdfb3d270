//! Secrets that no one but their provider and their resolver may ever see, driven through every call and every error, and
//! then looked for wherever something is written.

mod calls;
mod marker;
mod places;

use claviger_tests::fleet::{Options, environment};
use claviger_tests::{Fleet, Signal};
use mock_collector::{MockServer, ServerHandle};

use calls::Calls;
use marker::Marker;
use places::Places;

/// What is looked for.
pub(crate) struct Canaries {
    /// The middle of every API key.
    api_key: Marker,
    /// The body of a service account's private key.
    private_key: Marker,
    /// A password within a base URL.
    password: Marker,
    /// Not secret: shows that the search finds what is written, in the database and in responses.
    label: Marker,
    /// Not secret: shows that the search finds what is logged and traced.
    request_id: Marker,
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_written_nowhere() {
    let collector = MockServer::builder().start().await.unwrap();
    let mut fleet = chatty(&collector).await;
    let canaries = Canaries {
        api_key: Marker::new(),
        private_key: Marker::new(),
        password: Marker::new(),
        label: Marker::new(),
        request_id: Marker::new(),
    };
    let answers = Calls::drive(&fleet, &canaries).await;
    let metrics = [places::metrics(&fleet.vault).await, places::metrics(&fleet.routing).await];
    let mut running = Places::default();
    running.files("running ", fleet.folder.path());

    for process in [&mut fleet.routing, &mut fleet.vault] {
        process.signal(Signal::TERM).unwrap();
        assert!(process.wait(std::time::Duration::from_secs(30)).unwrap().success());
    }
    let mut places = running;
    places.files("stopped ", fleet.folder.path());
    places.add("keyvault's log", fleet.vault.log());
    places.add("routing's log", fleet.routing.log());
    places.add("traces", traces(&collector).await);
    places.add("keyvault's metrics", metrics[0].clone());
    places.add("routing's metrics", metrics[1].clone());
    places.add("answers", answers);

    assert_search_works(&places, &canaries);
    let hits: Vec<_> = [&canaries.api_key, &canaries.private_key, &canaries.password]
        .into_iter()
        .flat_map(|canary| places.find(canary))
        .collect();
    assert!(hits.is_empty(), "{} hits:\n{}", hits.len(), hits.join("\n"));
}

/// Both services say all that they can.
async fn chatty(collector: &ServerHandle) -> Fleet {
    let settings = environment(&[
        ("CLAVIGER_LOG", "trace"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.addr())),
    ]);
    Fleet::start_with(Options { vault: settings.clone(), routing: settings, ..Default::default() }).await.unwrap()
}

/// Everything that came of every span: names, attributes, events, states, resources.
async fn traces(collector: &ServerHandle) -> String {
    let all = |span: &mock_collector::TestSpan| {
        format!("{:?} {:?} {:?}\n", span.span(), span.resource_attrs(), span.scope_attrs())
    };
    collector.with_collector(|collected| collected.spans().iter().map(all).collect()).await
}

/// What may be written is found where it belongs.
fn assert_search_works(places: &Places, canaries: &Canaries) {
    let planted = |marker: &Marker| places.find(marker).join("\n");
    let (label, request_id) = (planted(&canaries.label), planted(&canaries.request_id));
    assert!(label.contains("stopped data/keyvault.db") && label.contains("answers"), "{label}");
    assert!(label.contains("running data/keyvault.db-wal"), "the write-ahead log is searched: {label}");
    for place in ["keyvault's log", "routing's log", "traces", "stopped data/keyvault.db"] {
        assert!(request_id.contains(place), "{place}: {request_id}");
    }
    for service in ["keyvault", "routing"] {
        assert!(places.text(&format!("{service}'s metrics")).contains("rpc_server_call_duration_seconds_count"));
        assert!(places.text(&format!("{service}'s log")).contains("\"level\":\"DEBUG\""), "debug lines are logged");
    }
    assert!(places.text("traces").contains("CreateProviderKey") && places.text("traces").contains("ResolveKey"));
}
