//! What goes on record. Events are typed and allow-listed: no field is free-form, so none can carry a secret.

use time::OffsetDateTime;

use crate::ids::Tenant;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$word_doc])* $variant,)+
        }

        impl $name {
            /// All of them, in the order of docs/audit.md.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in the log.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

words! {
    /// What was done.
    Action {
        /// A workspace's record was made.
        WorkspaceCreated = "workspace.created",
        /// A workspace's policy changed.
        WorkspaceUpdated = "workspace.updated",
        /// A workspace was deleted and its workspace keys destroyed.
        WorkspaceDeleted = "workspace.deleted",
        /// An agent got a standing order.
        AgentRouteSet = "agent_route.set",
        /// An agent's standing order ended.
        AgentRouteDeleted = "agent_route.deleted",
        /// A session was pinned to a key.
        SessionBound = "session.bound",
        /// A session's binding ended.
        SessionUnbound = "session.unbound",
        /// A key was stored.
        KeyCreated = "key.created",
        /// Something about a key changed that its secret is not bound to.
        KeyUpdated = "key.updated",
        /// A key got another secret.
        KeySecretReplaced = "key.secret_replaced",
        /// A stored key was tested live.
        KeyTested = "key.tested",
        /// Callers reported again and again that a key is rejected whose provider cannot be asked.
        KeyRejected = "key.rejected",
        /// A key was revoked.
        KeyRevoked = "key.revoked",
        /// A revoked key's ciphertext was destroyed.
        KeyPurged = "key.purged",
        /// A secret was tested live, and nothing of it was kept.
        SecretTested = "secret.tested",
        /// A tenant got a new key for its records.
        WorkspaceKeyRotated = "workspace_key.rotated",
        /// A key that no record of its tenant is sealed under any more was destroyed.
        WorkspaceKeyDestroyed = "workspace_key.destroyed",
        /// Records were sealed anew under their tenants' newest keys.
        KeysResealed = "keys.resealed",
        /// Keys were wrapped anew under the primary master key.
        MasterKeyRewrapped = "master_key.rewrapped",
        /// Nothing is wrapped under a master key any more: it may leave the key file.
        MasterKeyReleased = "master_key.released",
        /// Calls of a peer were refused for its identity, within one minute.
        CallersRefused = "callers.refused",
        /// A segment of the log was sealed and moved out of the database.
        AuditSealed = "audit.sealed",
    }
}

words! {
    /// The names that an event's details may have.
    Detail {
        /// A catalog id.
        Provider = "provider",
        /// A key's slug.
        KeySlug = "key_slug",
        /// How a secret authenticates.
        AuthType = "auth_type",
        /// Which of a key's secrets.
        SecretVersion = "secret_version",
        /// What a live test showed.
        TestResult = "test_result",
        /// A key's state after the event.
        State = "state",
        /// `true` where what the event ended was not as the event before had left it.
        Altered = "altered",
        /// The names of the fields that changed, separated by commas.
        Fields = "fields",
        /// A key's place after the event.
        RotationPriority = "rotation_priority",
        /// A consent after the event.
        FallbackConsent = "fallback_consent",
        /// A workspace's plan after the event.
        Plan = "plan",
        /// Whether a workspace is read-only after the event.
        ReadOnly = "read_only",
        /// A workspace's or an agent's mode after the event.
        Mode = "mode",
        /// When something ends, in RFC 3339.
        ExpireTime = "expire_time",
        /// Why calls were refused: one of docs/errors.md.
        Reason = "reason",
        /// How many.
        Count = "count",
        /// What made the vault act by itself: `report`.
        Cause = "cause",
        /// The minute that was counted, in RFC 3339.
        Minute = "minute",
        /// The address of a peer that was refused.
        RefusedPeer = "refused_peer",
        /// A master key's id.
        MasterKey = "master_key",
        /// A workspace key's version.
        WorkspaceKey = "workspace_key",
        /// The first event of a segment.
        FirstSeq = "first_seq",
        /// The last event of a segment.
        LastSeq = "last_seq",
        /// The SHA-256 of a segment's file, in hexadecimal.
        FileDigest = "file_digest",
    }
}

/// Who called, as the listener knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The caller's identity: a SPIFFE URI, or `development`; `keyvault` for the vault itself and for its `audit seal`,
    /// `keyring retire` for that command.
    pub actor: String,
    /// The person that the caller says it acts for; empty when it names none.
    pub on_behalf_of: String,
    /// The peer's address.
    pub peer: String,
    /// The request's id.
    pub request_id: String,
    /// The W3C trace id; empty when there is none.
    pub trace_id: String,
}

impl Origin {
    /// The vault itself: what it does without being called.
    #[must_use]
    pub fn vault() -> Self {
        let empty = String::new;
        Self {
            actor: "keyvault".to_owned(),
            on_behalf_of: empty(),
            peer: empty(),
            request_id: empty(),
            trace_id: empty(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_action_and_every_detail() {
        let page = include_str!("../../../docs/audit.md");
        let rows = || page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
        let names: Vec<&str> = rows().flat_map(|cell| cell.split(", ")).collect();
        let actions = Action::ALL.iter().map(|action| action.as_str());
        for name in actions.chain(Detail::ALL.iter().map(|detail| detail.as_str())) {
            assert!(names.contains(&format!("`{name}`").as_str()), "docs/audit.md lacks a row for {name}");
        }
    }
}
