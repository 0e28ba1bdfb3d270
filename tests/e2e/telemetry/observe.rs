//! Reading what the services report: spans, log lines, metrics.

use std::collections::HashMap;
use std::time::Duration;

use claviger_tests::Process;
use mock_collector::{ServerHandle, TestSpan};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Texts alone; the protocol's own types are not among the collector's exports.
macro_rules! attributes {
    ($pairs:expr) => {
        $pairs
            .iter()
            .map(|pair| {
                let value = format!("{:?}", pair.value);
                let text = value.split_once('"').and_then(|(_, rest)| rest.split_once('"'));
                (pair.key.clone(), text.map(|(text, _)| text.to_owned()).unwrap_or(value))
            })
            .collect::<HashMap<_, _>>()
    };
}
/// A span as it reached the collector, ids in hexadecimal.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) kind: &'static str,
    pub(super) service: String,
    pub(super) failed: bool,
    attributes: HashMap<String, String>,
}

impl Span {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    fn read(span: &TestSpan) -> Self {
        let inner = span.span();
        let mut resource = attributes!(span.resource_attrs());
        Self {
            name: inner.name.clone(),
            id: hex(&inner.span_id),
            parent: hex(&inner.parent_span_id),
            kind: if inner.kind == 2 { "server" } else { "another" }, // SPAN_KIND_SERVER
            service: resource.remove("service.name").unwrap_or_default(),
            failed: inner.status.as_ref().is_some_and(|status| status.code == 2), // STATUS_CODE_ERROR
            attributes: attributes!(inner.attributes),
        }
    }
}

/// All spans of a trace in the order of their starts, once there are so many.
pub(super) async fn spans(collector: &ServerHandle, trace: &str, count: usize) -> Vec<Span> {
    let of_trace = |span: &&TestSpan| hex(&span.span().trace_id) == trace;
    let there = collector.wait_until(|c| c.spans().iter().filter(of_trace).count() >= count, Duration::from_secs(10));
    let waited = there.await;
    tokio::time::sleep(Duration::from_millis(300)).await; // one more than expected would come now
    let mut found: Vec<_> = collector.with_collector(|c| c.spans().iter().filter(of_trace).cloned().collect()).await;
    assert!(waited.is_ok(), "{found:#?}");
    found.sort_by_key(|span: &TestSpan| span.span().start_time_unix_nano);
    found.iter().map(Span::read).collect()
}

/// The log's lines, all of which must be JSON objects with the fields that every line has.
pub(super) fn lines(log: &str) -> Vec<Value> {
    let parse = |line: &str| -> Value {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        for name in ["timestamp", "level", "target", "message"] {
            assert!(value[name].is_string(), "no {name}: {line}");
        }
        value
    };
    assert!(!log.is_empty());
    log.lines().map(parse).collect()
}

/// Asks the metrics port; the status and the body.
pub(super) async fn metrics(process: &Process, method: &str, path: &str) -> (u16, String) {
    let mut tcp = TcpStream::connect(process.address("metrics")).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// How many calls of a method ended with a code.
pub(super) fn sample(text: &str, method: &str, code: &str) -> Option<u64> {
    let labels = [format!("rpc_method=\"{method}\""), format!("rpc_response_status_code=\"{code}\"")];
    let mut lines = text.lines().filter(|line| line.starts_with("rpc_server_call_duration_seconds_count{"));
    let line = lines.find(|line| labels.iter().all(|label| line.contains(label)))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
