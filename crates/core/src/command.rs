//! What callers ask of the vault, once its form has been checked.

use time::OffsetDateTime;

use crate::fault::Fault;
use crate::ids::{KeyName, KeySlug, ModelId, Owner, ProviderId, WorkspaceId};
use crate::secret::Secret;
use crate::workspace::Policy;

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

/// Store a key.
#[derive(Debug, Clone)]
pub struct CreateKey {
    /// Who owns it.
    pub owner: Owner,
    /// The provider's id or alias, as given.
    pub provider: ProviderId,
    /// What callers pin it by; made by the vault when none.
    pub slug: Option<KeySlug>,
    /// For people; checked by [`label`].
    pub label: String,
    /// 0 to 1,000,000; 0 is tried first.
    pub priority: i32,
    /// Its own destination, as given.
    pub base_url: Option<String>,
    /// Its cloud region, as given.
    pub location: Option<String>,
    /// The only models it may be used for; empty is all.
    pub allowed_models: Vec<ModelId>,
    /// When it stops being used.
    pub expire_time: Option<OffsetDateTime>,
    /// The credential.
    pub secret: Secret,
    /// How the secret is tested.
    pub verification: Verification,
    /// Do everything but store.
    pub validate_only: bool,
}

/// List an owner's keys.
#[derive(Debug, Clone)]
pub struct ListKeys {
    /// Whose.
    pub owner: Owner,
    /// Revoked ones too.
    pub show_revoked: bool,
    /// 1 to 500.
    pub page_size: u32,
    /// The last page's token.
    pub page_token: Option<String>,
}

/// Revoke a key.
#[derive(Debug, Clone)]
pub struct RevokeKey {
    /// Which.
    pub name: KeyName,
    /// What the row keeps; may be empty; checked by [`note`].
    pub reason: String,
}

/// Make a workspace's record.
#[derive(Debug, Clone)]
pub struct CreateWorkspace {
    /// Which workspace.
    pub id: WorkspaceId,
    /// Its policy.
    pub policy: Policy,
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
