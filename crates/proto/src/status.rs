//! Every error's gRPC status: the one mapping, for both services.

use std::collections::HashMap;

use claviger_core::fault::Fault;
use claviger_core::reason::Reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "claviger.dev";

/// The status of a refusal, with its details.
#[must_use]
pub fn of(fault: &Fault) -> Status {
    let mut details = ErrorDetails::with_error_info(fault.reason.as_str(), DOMAIN, HashMap::new());
    if let Some(field) = fault.field {
        details.add_bad_request_violation(field, fault.message.clone());
    }
    if let Some(delay) = fault.retry_after {
        details.set_retry_info(Some(delay));
    }
    if let Some((kind, name)) = &fault.resource {
        details.set_resource_info(*kind, name.clone(), "", fault.message.clone());
    }
    Status::with_error_details(code(fault.reason), fault.message.clone(), details)
}

/// The gRPC code of a reason (design: AIP-193).
#[must_use]
pub fn code(reason: Reason) -> Code {
    match reason {
        Reason::InvalidProviderKey
        | Reason::MalformedProviderKey
        | Reason::BaseUrlNotAllowed
        | Reason::InvalidField
        | Reason::NeedUnspecified
        | Reason::HandshakeFailed
        | Reason::RequestIdReused
        | Reason::ResolutionInvalid
        | Reason::MalformedRequest => Code::InvalidArgument,
        Reason::RentabilityNotAvailable | Reason::OauthNotAvailable | Reason::MethodNotFound => Code::Unimplemented,
        Reason::KeySlugTaken | Reason::WorkspaceExists => Code::AlreadyExists,
        Reason::EtagMismatch => Code::Aborted,
        Reason::KeyNotFound
        | Reason::ProviderNotFound
        | Reason::WorkspaceNotFound
        | Reason::RouteNotFound
        | Reason::BindingNotFound
        | Reason::ServiceNotFound => Code::NotFound,
        Reason::KeyRevoked
        | Reason::KeyDisabled
        | Reason::KeyExpired
        | Reason::KeyInvalid
        | Reason::KeyUnreadable
        | Reason::KeyAltered
        | Reason::JournalGap
        | Reason::KeyNotRevoked
        | Reason::WorkspaceAltered
        | Reason::ProviderMismatch
        | Reason::ModelNotAllowed
        | Reason::NoEligibleKey
        | Reason::ResolutionExpired => Code::FailedPrecondition,
        Reason::VerificationUnavailable
        | Reason::CredentialUnavailable
        | Reason::AllKeysCooling
        | Reason::VaultUnavailable
        | Reason::VaultRewound
        | Reason::StorageUnavailable => Code::Unavailable,
        Reason::CallerUnknown => Code::Unauthenticated,
        Reason::NotAllowed | Reason::WorkspaceReadOnly | Reason::PlanRequired | Reason::ProviderNotAllowed => {
            Code::PermissionDenied
        }
        Reason::PayloadTooLarge | Reason::TooManyKeys => Code::ResourceExhausted,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::Internal => Code::Internal,
    }
}

/// The name of a code, as `google.rpc.Code` spells it.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
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

/// A status that the framework made by itself (an unknown method, a message too large or undecodable, a deadline, a
/// panic), in the form that all our errors have. Its own words may quote input, so they do not leave.
#[must_use]
pub fn of_transport(status: Status) -> Status {
    let fault = match status.code() {
        Code::Unimplemented if status.message().starts_with("Content is compressed") => {
            Fault::new(Reason::MalformedRequest, "the server takes no compressed messages")
        }
        Code::Unimplemented => Fault::new(
            Reason::MethodNotFound,
            "the server has no such method; server reflection lists those that it has",
        ),
        Code::OutOfRange | Code::ResourceExhausted => {
            Fault::new(Reason::PayloadTooLarge, "the request is larger than the server takes")
        }
        Code::Internal | Code::InvalidArgument if blames_the_caller(status.message()) => {
            Fault::new(Reason::MalformedRequest, "the request is not a well-formed message of its type")
        }
        Code::DeadlineExceeded | Code::Cancelled => {
            Fault::new(Reason::DeadlineExceeded, "the call's deadline passed before its answer was ready")
        }
        // health's contract: a watcher tells "not known here" by this code
        Code::NotFound => Fault::new(Reason::ServiceNotFound, "the server has nothing of the name asked for"),
        _ => Fault::internal(),
    };
    of(&fault)
}

/// How tonic says that a request did not decode: it has no code for it but INTERNAL.
fn blames_the_caller(message: &str) -> bool {
    let words = [
        "failed to decode",                 // the message
        "protocol error: received message", // the head of its frame
        "Unexpected EOF decoding",          // a frame that breaks off
        "Missing request message",          // no frame at all
    ];
    words.iter().any(|beginning| message.starts_with(beginning))
}

/// The reason that an error carries, if it is one of ours.
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == DOMAIN).then_some(info.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_fault_keeps_all_its_details() {
        let fault = Fault::field("provider_key.key_slug", "must be short")
            .retry_after(Duration::from_secs(3))
            .resource("claviger.dev/ProviderKey", "platform/keys/1");
        let status = of(&fault);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "provider_key.key_slug must be short");
        let details = status.get_error_details();
        let info = details.error_info();
        assert_eq!(info.map(|i| (i.reason.as_str(), i.domain.as_str())), Some(("INVALID_FIELD", DOMAIN)));
        assert_eq!(details.bad_request().map(|b| b.field_violations[0].field.as_str()), Some("provider_key.key_slug"));
        assert_eq!(details.retry_info().and_then(|r| r.retry_delay), Some(Duration::from_secs(3)));
        assert_eq!(details.resource_info().map(|r| r.resource_name.as_str()), Some("platform/keys/1"));
    }

    #[test]
    fn every_reason_has_its_own_row_in_the_docs() {
        let docs = include_str!("../../../docs/errors.md");
        for reason in Reason::ALL {
            let row = format!("| `{}` | `{}` |", reason.as_str(), code_name(code(*reason)));
            assert!(docs.contains(&row), "docs/errors.md lacks: {row}");
        }
        let rows = docs.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, Reason::ALL.len(), "docs/errors.md has a row for no reason");
    }

    #[test]
    fn the_framework_s_words_do_not_leave() {
        let quoting = Status::internal("failed to decode Protobuf message: sk-ant-canary");
        let status = of_transport(quoting);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason(&status).as_deref(), Some("MALFORMED_REQUEST"));
        assert!(!status.message().contains("canary"));
    }
}
