//! A workspace's policy.

use time::OffsetDateTime;

use crate::ids::{ModelId, ProviderId, WorkspaceId};

/// How far a call may fall to a platform key. Ordered: the smaller is the tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Consent {
    /// Never to a platform key.
    Never,
    /// Only if there is no own key for the need, revoked ones aside.
    NoKey,
    /// Whenever no own key can be used.
    #[default]
    Any,
}

impl Consent {
    /// The name in rows and audit events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "NEVER",
            Self::NoKey => "NO_KEY",
            Self::Any => "ANY",
        }
    }

    /// Reads a name from a row.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Never, Self::NoKey, Self::Any].into_iter().find(|c| c.as_str() == name)
    }
}

/// What rules a workspace's calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// How far calls may fall to a platform key.
    pub consent: Consent,
    /// Narrows calls that nothing else narrows.
    pub default_provider: Option<ProviderId>,
    /// The model of such calls.
    pub default_model: Option<ModelId>,
}

/// A workspace's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Which workspace.
    pub id: WorkspaceId,
    /// Its policy.
    pub policy: Policy,
    /// When the record was made.
    pub create_time: OffsetDateTime,
    /// The identity that made it.
    pub creator: String,
    /// When it last changed.
    pub update_time: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tighter_consent_is_the_smaller_one() {
        assert!(Consent::Never < Consent::NoKey && Consent::NoKey < Consent::Any);
        for consent in [Consent::Never, Consent::NoKey, Consent::Any] {
            assert_eq!(Consent::parse(consent.as_str()), Some(consent));
        }
    }
}
