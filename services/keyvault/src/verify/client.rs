//! The HTTP client of live tests and token exchanges.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use claviger_core::catalog::TestRequest;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, redirect};
use secrecy::ExposeSecret;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Egress, Forbidden, Outbound, Subject};

const CONNECT: Duration = Duration::from_secs(4);
const WHOLE: Duration = Duration::from_secs(8);
const LARGEST_BODY: usize = 256 * 1024;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client of live tests cannot be made")]
pub struct ClientError(#[from] reqwest::Error);

/// Sends live tests and exchanges. Connections are not kept: no buffer that held a secret outlives its request.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    egress: Egress,
}

/// What a provider answered. Its `Debug` leaves the body out: it may hold a token, or echo the key.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, where it is JSON of at most 256 KiB.
    pub body: Option<Value>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why there is no answer. The texts are ours: an HTTP library's may hold the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The destination may not be connected to.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// No answer in time.
    #[error("the provider did not answer within 8 s")]
    TimedOut,
    /// No connection.
    #[error("the provider could not be reached")]
    Unreachable,
    /// The exchange broke off.
    #[error("the exchange with the provider broke off")]
    Broken,
}

impl Client {
    /// A client whose connections obey a rule. With a proxy they all go there, and the rule is for what the proxy is asked
    /// for. The environment's `HTTP_PROXY` and its like are not looked at.
    ///
    /// # Errors
    /// When TLS cannot be set up: a CA certificate is malformed, or there is none at all.
    pub fn new(egress: Egress, outbound: &Outbound) -> Result<Self, ClientError> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("claviger-keyvault/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .tls_certs_merge(outbound.roots.certificates());
        let builder = match &outbound.proxy {
            None => builder.dns_resolver(Arc::new(egress.clone())),
            Some(proxy) => builder.proxy(proxy.to_reqwest()?).dns_resolver(Arc::new(proxy.resolver(egress.clone()))),
        };
        Ok(Self { http: builder.build()?, egress })
    }

    /// Where it may connect.
    #[must_use]
    pub fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Sends one test.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(&self, request: &TestRequest, subject: &Subject<'_>) -> Result<Answer, Failure> {
        let method = Method::from_bytes(request.method.as_str().as_bytes()).map_err(|_| Failure::Broken)?;
        let headers = headers(subject).ok_or(Failure::Broken)?;
        self.exchange(&request.url, self.http.request(method, &request.url).headers(headers)).await
    }

    /// Posts a form (`application/x-www-form-urlencoded`) that holds a secret.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post_form(&self, url: &str, form: Zeroizing<Vec<u8>>) -> Result<Answer, Failure> {
        let kind = (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        self.exchange(url, self.http.post(url).header(kind.0, kind.1).body(Bytes::from_owner(form))).await
    }

    async fn exchange(&self, url: &str, request: RequestBuilder) -> Result<Answer, Failure> {
        let answer = async {
            self.egress.check(url).await?;
            let response = request.send().await.map_err(failure)?;
            let status = response.status().as_u16();
            Ok(Answer { status, body: body(response).await? })
        };
        tokio::time::timeout(WHOLE, answer).await.unwrap_or(Err(Failure::TimedOut))
    }
}

fn headers(subject: &Subject<'_>) -> Option<HeaderMap> {
    let secret = subject.secret.map(ExposeSecret::expose_secret);
    let mut headers = HeaderMap::new();
    for header in subject.provider.credential_headers(secret) {
        let mut value = HeaderValue::from_str(header.expose_value()).ok()?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(header.name.as_bytes()).ok()?, value);
    }
    Some(headers)
}

async fn body(mut response: reqwest::Response) -> Result<Option<Value>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        if bytes.len() + chunk.len() > LARGEST_BODY {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(serde_json::from_slice(&bytes).ok())
}

fn failure(error: reqwest::Error) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if current.is::<Forbidden>() {
            return Failure::Forbidden(Forbidden);
        }
        cause = current.source();
    }
    if error.is_timeout() {
        Failure::TimedOut
    } else if error.is_connect() {
        Failure::Unreachable
    } else {
        Failure::Broken
    }
}
