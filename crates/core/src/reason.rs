//! Every reason for which a call can be refused. The texts are contract: clients switch on them.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// Why a call was refused: the `reason` of its `google.rpc.ErrorInfo`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// All of them, in the order of docs/errors.md.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The text on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

reasons! {
    /// The provider rejects the key.
    InvalidProviderKey = "INVALID_PROVIDER_KEY",
    /// The key does not have its provider's form.
    MalformedProviderKey = "MALFORMED_PROVIDER_KEY",
    /// The provider could not be asked, or did not say.
    VerificationUnavailable = "VERIFICATION_UNAVAILABLE",
    /// The base URL is malformed, not permitted for the provider, or leads to a forbidden address.
    BaseUrlNotAllowed = "BASE_URL_NOT_ALLOWED",
    /// A field is missing or malformed.
    InvalidField = "INVALID_FIELD",
    /// `rentable` is reserved.
    RentabilityNotAvailable = "RENTABILITY_NOT_AVAILABLE",
    /// Another unrevoked key of the same owner has the slug.
    KeySlugTaken = "KEY_SLUG_TAKEN",
    /// No such key.
    KeyNotFound = "KEY_NOT_FOUND",
    /// No such provider in the catalog.
    ProviderNotFound = "PROVIDER_NOT_FOUND",
    /// No such workspace.
    WorkspaceNotFound = "WORKSPACE_NOT_FOUND",
    /// The workspace has a record already.
    WorkspaceExists = "WORKSPACE_EXISTS",
    /// The workspace takes no changes.
    WorkspaceReadOnly = "WORKSPACE_READ_ONLY",
    /// The workspace's plan does not include own keys.
    PlanRequired = "PLAN_REQUIRED",
    /// The workspace may not use the provider.
    ProviderNotAllowed = "PROVIDER_NOT_ALLOWED",
    /// The workspace's record, or one of its standing orders, is not as its newest audit event left it.
    WorkspaceAltered = "WORKSPACE_ALTERED",
    /// The agent has no route.
    RouteNotFound = "ROUTE_NOT_FOUND",
    /// The session has no binding.
    BindingNotFound = "BINDING_NOT_FOUND",
    /// The resource is not as the caller knows it.
    EtagMismatch = "ETAG_MISMATCH",
    /// The request id was used with another body.
    RequestIdReused = "REQUEST_ID_REUSED",
    /// No provider can be connected by OAuth.
    OauthNotAvailable = "OAUTH_NOT_AVAILABLE",
    /// Only a revoked key can be purged.
    KeyNotRevoked = "KEY_NOT_REVOKED",
    /// The key's row is not as its newest audit event left it.
    KeyAltered = "KEY_ALTERED",
    /// The key is revoked.
    KeyRevoked = "KEY_REVOKED",
    /// The pinned key is switched off.
    KeyDisabled = "KEY_DISABLED",
    /// The pinned key is past its expire time.
    KeyExpired = "KEY_EXPIRED",
    /// The pinned key was rejected by its provider.
    KeyInvalid = "KEY_INVALID",
    /// The key does not open under the vault's keyring.
    KeyUnreadable = "KEY_UNREADABLE",
    /// The vault has no credential of the pinned key to hand out.
    CredentialUnavailable = "CREDENTIAL_UNAVAILABLE",
    /// The pinned key is of another provider than the request names.
    ProviderMismatch = "PROVIDER_MISMATCH",
    /// The pinned key may not be used for the model.
    ModelNotAllowed = "MODEL_NOT_ALLOWED",
    /// Nothing narrows the request.
    NeedUnspecified = "NEED_UNSPECIFIED",
    /// No key can be used, and no consent reaches further.
    NoEligibleKey = "NO_ELIGIBLE_KEY",
    /// A key could be used, but each cools or waits for its probe.
    AllKeysCooling = "ALL_KEYS_COOLING",
    /// The resolution id was not made by this vault's routing, or was altered.
    ResolutionInvalid = "RESOLUTION_INVALID",
    /// The resolution was made more than an hour ago.
    ResolutionExpired = "RESOLUTION_EXPIRED",
    /// Routing cannot reach the vault.
    VaultUnavailable = "VAULT_UNAVAILABLE",
    /// The vault lies behind the state that the caller has seen.
    VaultRewound = "VAULT_REWOUND",
    /// The caller has no accepted identity.
    CallerUnknown = "CALLER_UNKNOWN",
    /// The caller may not do this.
    NotAllowed = "NOT_ALLOWED",
    /// The feed's handshake is malformed or out of order.
    HandshakeFailed = "HANDSHAKE_FAILED",
    /// Entries of a routing process's journal are missing.
    JournalGap = "JOURNAL_GAP",
    /// The tenant has as many unrevoked keys as it may have.
    TooManyKeys = "TOO_MANY_KEYS",
    /// The request is larger than the server takes.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE",
    /// The request is not a well-formed message of its type.
    MalformedRequest = "MALFORMED_REQUEST",
    /// The server has no such method.
    MethodNotFound = "METHOD_NOT_FOUND",
    /// Health or reflection was asked for a name that the server does not have.
    ServiceNotFound = "SERVICE_NOT_FOUND",
    /// The call's deadline passed.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// The database cannot be reached.
    StorageUnavailable = "STORAGE_UNAVAILABLE",
    /// A defect of the server; its log tells more under the request id.
    Internal = "INTERNAL",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_distinct_and_well_formed() {
        let mut texts: Vec<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Reason::ALL.len());
        for text in texts {
            // AIP-193: [A-Z][A-Z0-9_]+[A-Z0-9], at most 63 characters
            assert!(text.len() <= 63 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{text}");
            assert!(!text.starts_with('_') && !text.ends_with('_'), "{text}");
        }
    }
}
