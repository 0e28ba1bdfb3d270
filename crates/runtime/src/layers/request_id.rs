//! One id that a call carries through logs, traces, answers and further calls.

use std::{fmt, future::Future, sync::Arc};

use http::{HeaderName, HeaderValue, Request, Response};
use tonic::body::Body;

/// The metadata key, in requests and responses.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// A UUID fits; most credentials, which a caller might put here by mistake, are longer. An id is logged, traced and stored.
const MAX_LENGTH: usize = 40;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// A call's id: 1-40 characters of `[A-Za-z0-9._-]`, given by the caller or a new UUIDv7. In request extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the call that the current task handles.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs a future with this as the current id.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    fn parse(value: &HeaderValue) -> Option<Self> {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let bytes = value.as_bytes();
        let valid = (1..=MAX_LENGTH).contains(&bytes.len()) && bytes.iter().all(allowed);
        let text = value.to_str().ok().filter(|_| valid)?;
        Some(Self(text.into()))
    }

    fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }

    /// Its characters are all allowed in a header.
    fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes the request's id or makes one. Whatever else the caller sent is replaced: handlers see no other.
pub(super) fn take(request: &mut Request<Body>) -> RequestId {
    let mut sent = request.headers().get_all(REQUEST_ID_HEADER).iter();
    let id = match (sent.next(), sent.next()) {
        (Some(only), None) => RequestId::parse(only),
        _ => None,
    };
    let id = id.unwrap_or_else(RequestId::generate);
    if let Some(value) = id.header() {
        request.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    request.extensions_mut().insert(id.clone());
    id
}

pub(super) fn echo(response: &mut Response<Body>, id: &RequestId) {
    if let Some(value) = id.header() {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn taken(values: &[&[u8]]) -> RequestId {
        let mut request = Request::new(Body::empty());
        for value in values {
            request.headers_mut().append(REQUEST_ID_HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        let id = take(&mut request);
        assert_eq!(request.headers().get_all(REQUEST_ID_HEADER).iter().count(), 1);
        assert_eq!(request.headers()[REQUEST_ID_HEADER].as_bytes(), id.as_str().as_bytes());
        assert_eq!(request.extensions().get::<RequestId>(), Some(&id));
        id
    }

    #[test]
    fn a_good_id_is_kept() {
        for good in ["a", "Job-7_b.2", &"x".repeat(40)] {
            assert_eq!(taken(&[good.as_bytes()]).as_str(), good);
        }
    }

    #[test]
    fn any_other_is_replaced_by_a_uuid() {
        let long = vec![b'a'; 10 * 1024];
        let hostile: [&[u8]; 8] = [b"", b"a b", b"a\tb", b"a;b", b"\xff", "é".as_bytes(), b"a%0d%0ab", &long];
        for value in hostile {
            let id = taken(&[value]);
            assert_eq!(uuid::Uuid::parse_str(id.as_str()).unwrap().get_version_num(), 7);
        }
        assert_eq!(taken(&[]).as_str().len(), 36);
        assert_eq!(taken(&[b"one", b"two"]).as_str().len(), 36, "two ids are no id");
    }

    #[test]
    fn line_breaks_cannot_even_be_carried() {
        assert!(HeaderValue::from_bytes(b"a\r\nx-admin: 1").is_err());
    }
}
