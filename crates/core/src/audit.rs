//! What goes on record. Events are typed and allow-listed: no field is free-form, so none can carry a secret.

use time::OffsetDateTime;

use crate::ids::Tenant;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A workspace's record was made.
    WorkspaceCreated,
    /// A key was stored.
    KeyCreated,
    /// A stored key was tested live.
    KeyTested,
    /// A key was revoked.
    KeyRevoked,
}

impl Action {
    /// The name in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorkspaceCreated => "workspace.created",
            Self::KeyCreated => "key.created",
            Self::KeyTested => "key.tested",
            Self::KeyRevoked => "key.revoked",
        }
    }
}

/// The names that an event's details may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Detail {
    /// A catalog id.
    Provider,
    /// A key's slug.
    KeySlug,
    /// How a secret authenticates.
    AuthType,
    /// Which of a key's secrets.
    SecretVersion,
    /// What a live test showed.
    TestResult,
    /// A key's state after the event.
    State,
    /// A workspace's consent after the event.
    FallbackConsent,
}

impl Detail {
    /// The name in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::KeySlug => "key_slug",
            Self::AuthType => "auth_type",
            Self::SecretVersion => "secret_version",
            Self::TestResult => "test_result",
            Self::State => "state",
            Self::FallbackConsent => "fallback_consent",
        }
    }
}

/// Who called, as the listener knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The caller's identity: a SPIFFE URI, or `development`.
    pub actor: String,
    /// The peer's address.
    pub peer: String,
    /// The request's id.
    pub request_id: String,
    /// The W3C trace id; empty when there is none.
    pub trace_id: String,
}

/// One event, not yet in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: OffsetDateTime,
    /// Whose data.
    pub tenant: Tenant,
    /// What.
    pub action: Action,
    /// The resource's name.
    pub target: String,
    /// By whom.
    pub origin: Origin,
    /// Allow-listed details, each at most once.
    pub details: Vec<(Detail, String)>,
}
