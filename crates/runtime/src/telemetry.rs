//! Logs to stderr, traces to an OTLP collector.

mod json;
mod panic_hook;

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::{Level, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, Targets},
    fmt::{MakeWriter, format::JsonFields},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// What telemetry is built from.
#[derive(Clone, Debug)]
pub struct Config {
    /// `service.name` of the traces.
    pub service_name: &'static str,
    /// What is logged, in `tracing-subscriber`'s `EnvFilter` syntax; of libraries never more than INFO.
    pub log: String,
    /// OTLP/gRPC endpoint (`http://`); absent or empty: nothing is exported.
    pub otlp_endpoint: Option<String>,
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter is malformed.
    #[error("CLAVIGER_LOG: not a log filter")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The OTLP endpoint cannot be used.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: not a usable OTLP/gRPC endpoint")]
    Otlp(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The OTLP endpoint is not one of plain gRPC.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: must be http://host:port; put a collector beside the service for TLS")]
    OtlpScheme,
    /// A subscriber stands already.
    #[error("telemetry is installed already")]
    Installed(#[source] tracing_subscriber::util::TryInitError),
}

/// Installs the process's logs and traces, its W3C Trace Context propagator and its panic hook. Within a tokio runtime.
///
/// Logs are for people if stderr is a terminal, else one JSON object a line.
///
/// # Errors
/// If a setting is malformed, or telemetry stands already.
pub fn init(config: Config) -> Result<Guard, Error> {
    let provider = provider(&config)?;
    let json = !std::io::stderr().is_terminal();
    subscriber(&config.log, json, Some(&provider), std::io::stderr)?.try_init().map_err(Error::Installed)?;
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    panic_hook::install();
    Ok(Guard { provider: Some(provider) })
}

/// Holds the exporter. Spans not exported yet are lost unless [`Guard::shutdown`] is called.
#[must_use = "shut it down at the end: it flushes the traces"]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

impl Guard {
    /// A guard of nothing, for tests.
    pub fn none() -> Self {
        Self { provider: None }
    }

    /// Exports what is left, for five seconds at most.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else {
            return;
        };
        // It blocks its thread while the exporter needs the runtime's: on a runtime thread it would wait for itself.
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the last traces could not be exported");
        }
    }
}

/// Without an endpoint nothing is exported, but calls have trace ids all the same, and pass their caller's on.
fn provider(config: &Config) -> Result<SdkTracerProvider, Error> {
    let resource = Resource::builder().with_service_name(config.service_name).build();
    let provider = SdkTracerProvider::builder().with_resource(resource);
    let Some(endpoint) = config.otlp_endpoint.as_ref().filter(|text| !text.is_empty()) else {
        return Ok(provider.build());
    };
    if !endpoint.starts_with("http://") {
        return Err(Error::OtlpScheme);
    }
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(Error::Otlp)?;
    Ok(provider.with_batch_exporter(exporter).build())
}

/// The two outputs, each with a filter of its own: quiet logs do not mean missing traces.
pub(crate) fn subscriber<W>(
    log: &str,
    json: bool,
    provider: Option<&SdkTracerProvider>,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(log).map_err(Error::Filter)?.and(libraries());
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let logs: Box<dyn Layer<Registry> + Send + Sync> = if json {
        layer.fmt_fields(JsonFields::new()).event_format(json::Json).with_filter(filter).boxed()
    } else {
        layer.with_filter(filter).boxed()
    };
    let traces = provider.map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("claviger"))
            .with_threads(false)
            .with_location(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target("claviger", Level::INFO))
    });
    Ok(Registry::default().with(logs).with(traces))
}

/// What of libraries is logged at most: INFO. Below that some print what passes through them, as headers, frames and
/// statements, and those hold secrets.
fn libraries() -> Targets {
    Targets::new().with_default(Level::INFO).with_target("claviger", Level::TRACE)
}

#[cfg(test)]
mod tests;
