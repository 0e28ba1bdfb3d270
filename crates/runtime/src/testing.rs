//! What tests share: an authority that issues certificates, a small service, and a client that can call any method.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{convert::Infallible, net::SocketAddr, path::PathBuf, time::Duration};

use http::{Request, Response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::{
    health::Health,
    layers::{CallLayer, Calls, Deadline},
    propagation,
    server::{Config, Drain, Error, Server, Transport},
    tls::Files,
};

/// A CA and the folder it writes to.
pub(crate) struct Authority {
    pub(crate) dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        crate::process::install_crypto_provider();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let this = Self { dir: tempfile::tempdir().unwrap(), issuer };
        std::fs::write(this.path("ca.pem"), this.issuer.pem()).unwrap();
        this
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes `<name>.crt` and `<name>.key` for `localhost` and a SPIFFE ID.
    pub(crate) fn issue(&self, name: &str) -> Files {
        self.issue_with(name, |_| {})
    }

    pub(crate) fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Files {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let id = format!("spiffe://example.org/{name}");
        params.subject_alt_names.push(SanType::URI(id.as_str().try_into().unwrap()));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = Files {
            cert: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
            client_ca: self.path("ca.pem"),
        };
        std::fs::write(&files.cert, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

/// A server under test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<Result<Drain, Error>>,
}

pub(crate) fn config(transport: Transport) -> Config {
    Config::new("test", SocketAddr::from(([127, 0, 0, 1], 0)), transport)
}

/// Serves [`handler`] within the layers.
pub(crate) async fn start(config: Config) -> Running {
    let server = Server::bind(config).await.unwrap();
    let (address, shutdown) = (server.local_addr(), CancellationToken::new());
    let service = CallLayer::new(calls()).wrap(handler().await);
    let served = tokio::spawn(server.serve(service, shutdown.clone()));
    Running { address, shutdown, served }
}

pub(crate) fn calls() -> Calls {
    let name = |method: &str| format!("test.v1.Test/{method}");
    Calls {
        methods: ["Ok", "Slow", "Panic", "Bare", "Detailed", "Deadline", "Trace"].map(name).to_vec(),
        streams: vec![name("Stream")],
        uniform,
    }
}

/// Stands for a service's function that adds details; drops metadata, which must come back.
fn uniform(status: Status) -> Status {
    Status::with_details(status.code(), status.message(), "details".into())
}

pub(crate) type Handler = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Answers like a health service; its methods differ in what they do first.
pub(crate) async fn handler() -> Handler {
    let health = Health::new(&[]).await.routes(CancellationToken::new());
    let answer = async move |mut request: Request<Body>| {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        match method.as_str() {
            "Slow" => tokio::time::sleep(millis(&request)).await,
            "Stream" => tokio::time::sleep(millis(&request)).await,
            "Panic" => panic!("hunter2"),
            "Bare" => return Ok(bare().into_http()),
            "Detailed" => return Ok(Status::with_details(Code::NotFound, "own", "own".into()).into_http()),
            "Deadline" => return Ok(deadline(&request).into_http()),
            "Trace" => return Ok(Status::not_found(propagation::traceparent().unwrap_or_default()).into_http()),
            _ => {}
        }
        if request.uri().path().starts_with("/test.v1.Test/") && method != "Missing" {
            *request.uri_mut() = "/grpc.health.v1.Health/Check".parse().unwrap();
        }
        health.clone().oneshot(request).await
    };
    let answer = std::sync::Arc::new(answer);
    BoxCloneSyncService::new(tower::service_fn(move |request| {
        let answer = answer.clone();
        Box::pin(async move { answer(request).await })
            as std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>
    }))
}

fn bare() -> Status {
    let mut status = Status::not_found("bare");
    status.metadata_mut().insert("retry-pushback", "7".parse().unwrap());
    status
}

fn deadline(request: &Request<Body>) -> Status {
    let left = request.extensions().get::<Deadline>().map(|deadline| deadline.remaining().as_millis());
    Status::not_found(left.map_or("none".to_owned(), |left| left.to_string()))
}

fn millis(request: &Request<Body>) -> Duration {
    let text = request.headers().get("x-millis").map_or("0", |value| value.to_str().unwrap());
    Duration::from_millis(text.parse().unwrap())
}

pub(crate) async fn connect(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Calls `test.v1.Test/<method>`, or `method` if it has a slash.
pub(crate) async fn call(
    channel: &Channel,
    method: &str,
    metadata: &[(&'static str, &str)],
) -> Result<tonic::Response<HealthCheckResponse>, Status> {
    let path = if method.contains('/') { format!("/{method}") } else { format!("/test.v1.Test/{method}") };
    let service = channel.clone().map_request(move |mut request: Request<Body>| {
        *request.uri_mut() = path.parse().unwrap();
        request
    });
    let mut request = tonic::Request::new(HealthCheckRequest { service: crate::health::LIVENESS.to_owned() });
    for (key, value) in metadata {
        request.metadata_mut().insert(*key, value.parse().unwrap());
    }
    HealthClient::new(service).check(request).await
}

/// One in-process call through the layers, without a socket.
pub(crate) async fn direct(request: Request<Body>) -> Response<Body> {
    CallLayer::new(calls()).wrap(handler().await).call(request).await.unwrap()
}
