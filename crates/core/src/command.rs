//! What callers ask of the vault, once its form has been checked.

mod keys;
mod usage;
mod workspaces;

pub use keys::{
    CreateKey, KeyChanges, ListKeys, NewKey, PurgeKey, ReorderGroup, ReorderKeys, ReplaceSecret, RevokeKey,
    RevokeLeaked, RevokeUser, TestKey, UpdateKey,
};
pub use usage::{Dimension, ListCallers, QueryUsage, UsageScope};
pub use workspaces::{
    BindSession, CreateWorkspace, DeleteAgentRoute, DeleteWorkspace, ListAgentRoutes, ListWorkspaces, PolicyChanges,
    SetAgentRoute, UnbindSession, UpdateWorkspace,
};

use crate::fault::Fault;
use crate::filter::Filter;
use crate::ids::Tenant;

/// How a new secret is tested before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verification {
    /// Store only what the provider accepts.
    #[default]
    Require,
    /// Refuse only what the provider rejects.
    IfPossible,
    /// Do not ask.
    Skip,
}

/// Which page of a listing.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// 1 to 500, or what the listing says.
    pub size: u32,
    /// The last page's token.
    pub token: Option<String>,
}

/// Whose audit events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditScope {
    /// Everyone's.
    All,
    /// One tenant's.
    Tenant(Tenant),
}

impl std::fmt::Display for AuditScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Tenant(tenant) => tenant.fmt(f),
        }
    }
}

/// List audit events.
#[derive(Debug, Clone)]
pub struct ListEvents {
    /// Whose.
    pub scope: AuditScope,
    /// Which.
    pub filter: Filter,
    /// Which page.
    pub page: PageRequest,
}

/// Checks a label: at most 128 characters, none of them a control or invisible formatting character.
///
/// # Errors
/// `INVALID_FIELD` that names the field.
pub fn label(field: &'static str, text: &str) -> Result<String, Fault> {
    short_text(field, text, 128)
}

/// Checks a note, such as a reason for a revoke: at most 256 characters, none of them a control character.
///
/// # Errors
/// `INVALID_FIELD` that names the field.
pub fn note(field: &'static str, text: &str) -> Result<String, Fault> {
    short_text(field, text, 256)
}

fn short_text(field: &'static str, text: &str, most: usize) -> Result<String, Fault> {
    if text.chars().count() > most || text.chars().any(is_hidden) {
        return Err(Fault::field(field, format!("must be at most {most} characters, without control characters")));
    }
    Ok(text.to_owned())
}

/// Control characters, line separators and the bidirectional formatting marks that can disguise a text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_no_control_characters() {
        assert!(label("label", "Zoë's production key").is_ok());
        assert!(label("label", &"x".repeat(129)).is_err());
        for bad in ["a\nb", "a\rb", "\0", "a\u{202e}b", "\u{7f}"] {
            let fault = label("label", bad).map_err(|fault| fault.to_string());
            assert_eq!(fault, Err("label must be at most 128 characters, without control characters".into()));
        }
    }
}
