//! The methods that a service serves: what bounds the labels of its metrics.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use metrics::Histogram;
use tonic::Code;

/// The label of every method that is not served.
const OTHER: &str = "_OTHER";

/// Served by every service, logged quietly; without a deadline, since most of them are streams.
const PLUMBING: [&str; 5] = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/List",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// All methods by name, and the rest as one.
pub(super) struct Methods {
    served: HashMap<String, Arc<Method>>,
    other: Arc<Method>,
}

impl Methods {
    pub(super) fn new(methods: &[String], streams: &[String]) -> Self {
        let mut served = HashMap::new();
        for name in PLUMBING {
            served.insert(name.to_owned(), Arc::new(Method::new(name, true, true)));
        }
        for name in methods.iter().chain(streams) {
            served.insert(name.clone(), Arc::new(Method::new(name, streams.contains(name), false)));
        }
        Self { served, other: Arc::new(Method::new(OTHER, false, false)) }
    }

    /// The method at a request's path, `/package.Service/Method`.
    pub(super) fn find(&self, path: &str) -> Arc<Method> {
        let served = path.strip_prefix('/').and_then(|name| self.served.get(name));
        served.unwrap_or(&self.other).clone()
    }
}

/// One method.
pub(super) struct Method {
    /// Full name, without the leading slash; `_OTHER`.
    pub(super) name: String,
    /// Has no deadline, and its errors may come in the body's trailers.
    pub(super) stream: bool,
    /// Health or reflection: at DEBUG.
    pub(super) quiet: bool,
    durations: [OnceLock<Histogram>; 17],
}

impl Method {
    fn new(name: &str, stream: bool, quiet: bool) -> Self {
        Self { name: name.to_owned(), stream, quiet, durations: Default::default() }
    }

    /// The histogram of calls that ended with this code; looked up once.
    pub(super) fn duration(&self, code: Code) -> &Histogram {
        self.durations[code as i32 as usize].get_or_init(|| {
            metrics::histogram!(
                crate::metrics::CALL_DURATION,
                "rpc_system_name" => "grpc",
                "rpc_method" => self.name.clone(),
                "rpc_response_status_code" => code_name(code),
            )
        })
    }
}

/// The code as the gRPC specification spells it.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Whether the code blames the server (OpenTelemetry's semantic conventions for gRPC servers).
pub(super) fn is_server_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
