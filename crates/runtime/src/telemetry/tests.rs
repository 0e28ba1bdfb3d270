#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use opentelemetry::trace::{SpanKind, Status as SpanStatus};
use opentelemetry_sdk::trace::InMemorySpanExporter;
use serde_json::Value;
use tonic::Code;

use super::*;
use crate::{
    propagation,
    server::Transport,
    testing::{call, config, connect, start},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn with_message(&self, message: &str) -> Vec<Value> {
        let all = self.text();
        let lines = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["message"] == message).collect()
    }
}

struct Observed {
    lines: Lines,
    spans: InMemorySpanExporter,
    _guard: tracing::subscriber::DefaultGuard,
}

fn observe(log: &str) -> Observed {
    let spans = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = subscriber(log, true, Some(&provider), move || writer.clone()).unwrap();
    Observed { lines, spans, _guard: tracing::subscriber::set_default(subscriber) }
}

fn attribute(span: &opentelemetry_sdk::trace::SpanData, key: &str) -> Option<String> {
    span.attributes.iter().find(|pair| pair.key.as_str() == key).map(|pair| pair.value.to_string())
}

#[tokio::test]
async fn the_callers_trace_is_continued_whatever_the_log_filter() {
    let observed = observe("off");
    let channel = connect(start(config(Transport::Plaintext)).await.address).await;
    let metadata = [("traceparent", PARENT), ("x-request-id", "job-7")];
    let inner = call(&channel, "Trace", &metadata).await.unwrap_err();

    let spans = observed.spans.get_finished_spans().unwrap();
    let span = spans.iter().find(|span| span.name == "test.v1.Test/Trace").unwrap();
    assert_eq!(span.span_context.trace_id().to_string(), TRACE);
    assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
    assert_eq!(span.span_kind, SpanKind::Server);
    assert_eq!(attribute(span, "rpc.system.name").unwrap(), "grpc");
    assert_eq!(attribute(span, "rpc.method").unwrap(), "test.v1.Test/Trace");
    assert_eq!(attribute(span, "rpc.response.status_code").unwrap(), "NOT_FOUND");
    assert_eq!(attribute(span, "error.type").unwrap(), "NOT_FOUND");
    assert_eq!(attribute(span, "request.id").unwrap(), "job-7");
    assert_eq!(span.status, SpanStatus::Unset, "NOT_FOUND is the caller's");
    let expected = format!("00-{TRACE}-{}-01", span.span_context.span_id());
    assert_eq!(inner.message(), expected, "the handler passes its own span on");
    assert_eq!(observed.lines.text(), "");
}

#[tokio::test]
async fn server_faults_mark_the_span_and_unknown_methods_name_nothing() {
    let observed = observe("info");
    let channel = connect(start(config(Transport::Plaintext)).await.address).await;
    call(&channel, "Panic", &[]).await.unwrap_err();
    call(&channel, "evil.v1.Evil/Method", &[]).await.unwrap_err();
    call(&channel, "Ok", &[]).await.unwrap();
    call(&channel, "grpc.health.v1.Health/Check", &[]).await.unwrap();

    tokio::task::yield_now().await;
    let spans = observed.spans.get_finished_spans().unwrap();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["test.v1.Test/Panic", "_OTHER", "test.v1.Test/Ok"], "probes are not traced");
    assert!(matches!(spans[0].status, SpanStatus::Error { .. }));
    assert_eq!(attribute(&spans[2], "rpc.response.status_code").unwrap(), "OK");
    assert_eq!(attribute(&spans[2], "error.type"), None);
    assert!(!observed.lines.text().contains("evil") && !observed.lines.text().contains("hunter2"));
}

#[tokio::test]
async fn each_call_leaves_one_json_line_with_its_trace() {
    let observed = observe("info");
    let channel = connect(start(config(Transport::Plaintext)).await.address).await;
    call(&channel, "Ok", &[("traceparent", PARENT), ("x-request-id", "job-9")]).await.unwrap();
    call(&channel, "Panic", &[]).await.unwrap_err();
    call(&channel, "grpc.health.v1.Health/Check", &[]).await.unwrap();

    let lines = observed.lines.with_message("call");
    assert_eq!(lines.len(), 2, "{}", observed.lines.text());
    assert_eq!(lines[0]["level"], "INFO");
    assert_eq!(lines[0]["trace_id"], TRACE);
    assert_eq!(lines[0]["span_id"].as_str().unwrap().len(), 16);
    assert_eq!(lines[0]["fields"]["rpc.method"], "test.v1.Test/Ok");
    assert_eq!(lines[0]["fields"]["rpc.response.status_code"], "OK");
    assert_eq!(lines[0]["fields"]["request.id"], "job-9");
    assert_eq!(lines[0]["span"]["request.id"], "job-9");
    assert!(lines[0]["fields"]["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(lines[0]["fields"]["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(
        (&lines[1]["level"], &lines[1]["fields"]["rpc.response.status_code"]),
        (&"WARN".into(), &"INTERNAL".into())
    );
    let listening = observed.lines.with_message("listening");
    assert_eq!(listening[0]["fields"]["server"], "test");
    assert!(listening[0]["fields"]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn outgoing_calls_and_messages_carry_the_trace() {
    let _observed = observe("off");
    let span = tracing::info_span!(target: "claviger::test", "outer");
    propagation::set_parent(&span, PARENT);
    let (metadata, text) = span.in_scope(|| {
        let mut metadata = tonic::metadata::MetadataMap::new();
        propagation::inject(&mut metadata);
        (metadata, propagation::traceparent().unwrap())
    });
    assert!(text.starts_with(&format!("00-{TRACE}-")));
    assert_eq!(metadata.get("traceparent").unwrap(), text.as_str());
    assert!(metadata.get("x-request-id").is_none());

    let foreign = tracing::info_span!(target: "claviger::test", "foreign");
    let carrier =
        [("traceparent", PARENT), ("tracestate", "vendor=hunter2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    propagation::set_parent_from(&foreign, &std::collections::HashMap::from(carrier));
    let passed_on = foreign.in_scope(|| {
        let mut metadata = tonic::metadata::MetadataMap::new();
        propagation::inject(&mut metadata);
        metadata
    });
    assert!(passed_on.get("traceparent").unwrap().to_str().unwrap().contains(TRACE));
    assert!(!format!("{passed_on:?}").contains("hunter2"), "free text of others is not passed on");

    let orphan = tracing::info_span!(target: "claviger::test", "orphan");
    propagation::set_parent(&orphan, "00-nonsense\r\n");
    assert!(!orphan.in_scope(propagation::traceparent).unwrap().contains(TRACE));
    assert_eq!(propagation::traceparent(), None);
}

#[test]
fn a_panics_text_is_not_logged() {
    let observed = observe("info");
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(super::panic_hook::report));
    let result = std::panic::catch_unwind(|| std::panic::panic_any("hunter2".to_owned()));
    std::panic::set_hook(default);
    assert!(result.is_err());

    let lines = observed.lines.with_message("panic");
    let here: Vec<_> = lines
        .iter()
        .filter(|line| line["fields"]["code.file"].as_str().unwrap().ends_with("telemetry/tests.rs"))
        .collect();
    assert_eq!(here.len(), 1);
    assert!(here[0]["fields"]["code.line"].as_u64().unwrap() > 0);
    assert!(!observed.lines.text().contains("hunter2"));
}

#[test]
fn libraries_never_say_more_than_info() {
    for log in ["trace", "h2=trace,sqlx=debug,claviger=trace", "trace,log=trace,hyper=trace"] {
        let observed = observe(log);
        tracing::trace!(target: "h2::codec", "frame");
        tracing::debug!(target: "sqlx::query", "statement");
        tracing::debug!(target: "log", "record of the log crate");
        tracing::trace_span!(target: "hyper::proto", "headers", secret = "hunter2").in_scope(|| {
            tracing::trace!(target: "claviger_runtime::test", "ours");
            tracing::info!(target: "rustls", "info");
        });
        let text = observed.lines.text();
        for message in ["frame", "statement", "record of the log crate"] {
            assert!(observed.lines.with_message(message).is_empty(), "{log}: {message}");
        }
        assert!(!text.contains("hunter2"), "{log}: {text}");
        assert_eq!(observed.lines.with_message("ours").len(), 1, "{log}: {text}");
        assert_eq!(observed.lines.with_message("info").len(), usize::from(log.starts_with("trace")), "{log}: {text}");
    }
}

#[test]
fn a_malformed_filter_names_its_setting() {
    let error = subscriber("info,==", true, None, std::io::sink).err().unwrap();
    assert!(error.to_string().starts_with("CLAVIGER_LOG: "));
}

#[tokio::test]
async fn health_of_a_refused_code_is_quiet_too() {
    let observed = observe("info");
    let channel = connect(start(config(Transport::Plaintext)).await.address).await;
    let error = call(&channel, "grpc.health.v1.Health/List", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    assert!(observed.lines.with_message("call").is_empty());
}

/// Stands for a collector: counts the exports.
async fn collector() -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let server = crate::server::Server::bind(config(Transport::Plaintext)).await.unwrap();
    let (address, paths) = (server.local_addr(), Arc::new(Mutex::new(Vec::new())));
    let seen = paths.clone();
    let service = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        seen.lock().unwrap().push(request.uri().path().to_owned());
        let trailers = http::HeaderMap::from_iter([(tonic::Status::GRPC_STATUS, "0".parse().unwrap())]);
        let body = http_body_util::Full::new(bytes::Bytes::from_static(&[0; 5])); // one empty message
        let body = http_body_util::BodyExt::with_trailers(body, std::future::ready(Some(Ok(trailers))));
        let response = http::Response::builder().header("content-type", "application/grpc");
        std::future::ready(Ok(response.body(tonic::body::Body::new(body)).unwrap()))
    });
    tokio::spawn(server.serve(service, tokio_util::sync::CancellationToken::new()));
    (address, paths)
}

#[tokio::test]
async fn the_last_spans_are_exported_on_shutdown() {
    let (address, paths) = collector().await;
    let config = Config {
        service_name: "claviger-test",
        log: "off".to_owned(),
        otlp_endpoint: Some(format!("http://{address}")),
    };
    let provider = provider(&config).unwrap();
    let subscriber = subscriber(&config.log, true, Some(&provider), std::io::sink).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!(target: "claviger::test", "last").in_scope(|| {})
    });
    assert!(paths.lock().unwrap().is_empty(), "batched");
    let flushed =
        tokio::time::timeout(std::time::Duration::from_secs(5), Guard { provider: Some(provider) }.shutdown()).await;
    assert!(flushed.is_ok());
    assert_eq!(*paths.lock().unwrap(), ["/opentelemetry.proto.collector.trace.v1.TraceService/Export"]);
}
