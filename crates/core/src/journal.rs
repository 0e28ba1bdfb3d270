//! What a routing process did and heard, as it tells the vault.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::catalog::Outcome;
use crate::fault::Fault;
use crate::ids::{AgentId, KeyId, ModelId, ProviderId, SessionId, Tenant, UserId, WorkspaceId};
use crate::route::Source;

/// Entries of a journal at one time at most.
pub const MOST_ENTRIES: usize = 2_000;

/// Some of a routing process's journal, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The number of the first entry, from 1; that of the last is no greater than `i64::MAX`.
    pub first_offset: u64,
    /// 1 to [`MOST_ENTRIES`]; one that speaks of something that this version does not know is passed by.
    pub entries: Vec<Result<Entry, Fault>>,
}

/// One thing that a routing process did or heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A key was handed out.
    Resolved(Use),
    /// An outcome came in.
    Reported(Reported),
    /// A cooldown began or ended on this replica.
    Health(HealthChange),
}

/// What a key was handed out for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Use {
    /// Whose call.
    pub workspace: WorkspaceId,
    /// The person the call was made for.
    pub user: Option<UserId>,
    /// The agent that called.
    pub agent: Option<AgentId>,
    /// The session that it belonged to.
    pub session: Option<SessionId>,
    /// Which key.
    pub key: KeyId,
    /// Which of its secrets.
    pub secret_version: u32,
    /// Its provider.
    pub provider: ProviderId,
    /// The model of the call, where one was known.
    pub model: Option<ModelId>,
    /// Whose key it was, and so who pays.
    pub payer: Source,
    /// When.
    pub time: OffsetDateTime,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// What the key was handed out for.
    pub of: Use,
    /// The replica that resolved it.
    pub replica: Uuid,
    /// The number of the resolution there, from 1.
    pub number: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// As the provider counts them.
    pub input_tokens: u64,
    /// As the provider counts them.
    pub output_tokens: u64,
    /// What the platform's fee per second is for.
    pub duration: Duration,
    /// When it came in.
    pub time: OffsetDateTime,
}

/// The health of a key, or of a key for one model, at one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthChange {
    /// Whose key.
    pub tenant: Tenant,
    /// Which key.
    pub key: KeyId,
    /// Which of its secrets.
    pub secret_version: u32,
    /// For which model; none for all.
    pub model: Option<ModelId>,
    /// What it cools for; [`Outcome::Ok`] when it does not.
    pub cause: Outcome,
    /// When the cooldown began; when it ended, for [`Outcome::Ok`].
    pub since: OffsetDateTime,
    /// When it runs out; none for [`Outcome::Ok`].
    pub until: Option<OffsetDateTime>,
    /// How many cooldowns came one after the other.
    pub failures: u32,
}
