//! A refusal on its way to a caller: the reason, a sentence for people, and what clients need to act on it.

use std::borrow::Cow;
use std::time::Duration;

use crate::ids::InvalidId;
use crate::reason::Reason;

/// Why a call is refused. Its texts never hold the caller's input, nor another system's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What clients switch on.
    pub reason: Reason,
    /// What people read.
    pub message: Cow<'static, str>,
    /// The request's field that is at fault, as a path such as `provider_key.key_slug`.
    pub field: Option<&'static str>,
    /// When asking again makes sense.
    pub retry_after: Option<Duration>,
    /// The resource that is missing or in the way: its type, and its name if it is stored under that or
    /// the name holds nothing but ids of ours.
    pub resource: Option<(&'static str, String)>,
}

impl Fault {
    /// A refusal for a reason.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, message: message.into(), field: None, retry_after: None, resource: None }
    }

    /// A field that is missing or malformed; the message reads on from the field's name.
    #[must_use]
    pub fn field(field: &'static str, rule: impl std::fmt::Display) -> Self {
        Self::new(Reason::InvalidField, format!("{field} {rule}")).at(field)
    }

    /// An identifier in a field that does not have its form.
    pub fn id(field: &'static str) -> impl FnOnce(InvalidId) -> Self {
        move |error| Self::field(field, error)
    }

    /// Names the field at fault.
    #[must_use]
    pub fn at(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// Says when asking again makes sense.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Names the resource.
    #[must_use]
    pub fn resource(mut self, kind: &'static str, name: impl Into<String>) -> Self {
        self.resource = Some((kind, name.into()));
        self
    }

    /// A defect of ours. The log has the details; the caller gets none.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(Reason::Internal, "internal error; the server's log tells more under this request's id")
    }
}
