//! What callers ask about usage.

use std::fmt;

use time::OffsetDateTime;

use super::PageRequest;
use crate::filter::{Field, Filter, Kind};
use crate::ids::{KeyName, UserId, WorkspaceId};

/// Whose usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageScope {
    /// The calls of all workspaces.
    All,
    /// A workspace's calls.
    Workspace(WorkspaceId),
    /// The calls that a workspace made for one person.
    User(WorkspaceId, UserId),
}

impl fmt::Display for UsageScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Workspace(workspace) => write!(f, "workspaces/{workspace}"),
            Self::User(workspace, user) => write!(f, "workspaces/{workspace}/users/{user}"),
        }
    }
}

/// Something that usage can be told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// The workspace.
    Workspace,
    /// The person that calls were made for.
    User,
    /// The calling agent.
    Agent,
    /// The session.
    Session,
    /// The key.
    Key,
    /// The provider.
    Provider,
    /// The model.
    Model,
    /// Whose key it was.
    Payer,
    /// The hour in UTC in which the key was handed out.
    Hour,
    /// The day in UTC in which the key was handed out.
    Day,
}

/// Sum usage up.
#[derive(Debug, Clone)]
pub struct QueryUsage {
    /// Whose.
    pub scope: UsageScope,
    /// When the keys were handed out, as given: from, and until when if not until now. None is the last 24 hours.
    pub interval: Option<(OffsetDateTime, Option<OffsetDateTime>)>,
    /// What it is told apart by; each at most once, and hours or days.
    pub group_by: Vec<Dimension>,
    /// What is summed up.
    pub filter: Filter,
    /// Which page; of up to 1,000.
    pub page: PageRequest,
}

impl QueryUsage {
    /// What usage can be filtered by.
    pub const FIELDS: [Field; 8] = [
        Field::new("workspace", Kind::Text),
        Field::new("user", Kind::Text),
        Field::new("agent", Kind::Text),
        Field::new("session", Kind::Text),
        Field::new("key", Kind::Text),
        Field::new("provider", Kind::Text),
        Field::new("model", Kind::Text),
        Field::new("payer", Kind::Text),
    ];
}

/// List who used a key.
#[derive(Debug, Clone)]
pub struct ListCallers {
    /// Which; a revoked one too.
    pub key: KeyName,
    /// Which page.
    pub page: PageRequest,
}
