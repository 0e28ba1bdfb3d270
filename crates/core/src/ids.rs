//! Identifiers and resource names. Each is checked once, when it is made, and never changed: what is not
//! allowed is refused, never folded or trimmed.

use std::borrow::Borrow;
use std::fmt;

use uuid::Uuid;

/// Why a text is not the identifier that it should be. It never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not `[a-z0-9][a-z0-9-]{0,62}`.
    #[error("must be 1 to 63 characters of a-z, 0-9 and '-', and start with a letter or digit")]
    Slug,
    /// Not `[A-Za-z0-9][A-Za-z0-9._@:|+=~-]{0,127}`.
    #[error("must be 1 to 128 characters of A-Z, a-z, 0-9 and . _ @ : | + = ~ -, and start with a letter or digit")]
    Subject,
    /// Not a UUID in its hyphenated lower-case form.
    #[error("must be a UUID in lower-case hyphenated form")]
    Uuid,
    /// Not a resource name of the expected shape.
    #[error("must be a resource name of the form {0}")]
    Name(&'static str),
    /// Not 1 to 256 printable ASCII characters without spaces.
    #[error("must be 1 to 256 printable ASCII characters without spaces")]
    Model,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:ident, $error:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes a text that has the right form.
            ///
            /// # Errors
            /// Names the form when the text has another.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                if $check(text) { Ok(Self(text.into())) } else { Err($error) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A workspace: the tenant boundary. `[a-z0-9][a-z0-9-]{0,62}`.
    WorkspaceId, is_slug, InvalidId::Slug
);
text_id!(
    /// A provider of the catalog, such as `anthropic`. `[a-z0-9][a-z0-9-]{0,62}`.
    ProviderId, is_slug, InvalidId::Slug
);
text_id!(
    /// The name that callers pin a key by. `[a-z0-9][a-z0-9-]{0,62}`, unique among its owner's unrevoked keys.
    KeySlug, is_slug, InvalidId::Slug
);
text_id!(
    /// What a workspace pays for, as the platform names it. `[a-z0-9][a-z0-9-]{0,62}`.
    PlanId, is_slug, InvalidId::Slug
);
text_id!(
    /// A user of a workspace, as the platform names it.
    UserId, is_subject, InvalidId::Subject
);
text_id!(
    /// An agent of a workspace, as the platform names it.
    AgentId, is_subject, InvalidId::Subject
);
text_id!(
    /// A session of a workspace, as the platform names it.
    SessionId, is_subject, InvalidId::Subject
);
text_id!(
    /// A model, as its provider names it: 1 to 256 printable ASCII characters.
    ModelId, is_model, InvalidId::Model
);

/// The form of workspace ids, provider ids and key slugs.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.len(), 1..=63)
        && bytes[0] != b'-'
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

fn is_subject(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.len(), 1..=128)
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._@:|+=~-".contains(b))
}

fn is_model(text: &str) -> bool {
    matches!(text.len(), 1..=256) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// A key's own id: a UUIDv7 that the vault makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Uuid);

impl KeyId {
    /// Takes a UUID.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// Reads the hyphenated lower-case form, and no other.
    ///
    /// # Errors
    /// When the text is not in that form.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let id = Uuid::try_parse(text).map_err(|_| InvalidId::Uuid)?;
        if id.hyphenated().to_string() == text { Ok(Self(id)) } else { Err(InvalidId::Uuid) }
    }

    /// The UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Whose data a record is: one workspace's, or the operator's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tenant {
    /// A customer's workspace.
    Workspace(WorkspaceId),
    /// The operator: platform keys.
    Platform,
}

impl Tenant {
    /// Reads `workspaces/{workspace}` or `platform`.
    ///
    /// # Errors
    /// When the name has another shape.
    pub fn parse(name: &str) -> Result<Self, InvalidId> {
        const FORM: InvalidId = InvalidId::Name("workspaces/{workspace} or platform");
        match name.strip_prefix("workspaces/") {
            Some(id) => WorkspaceId::parse(id).map(Self::Workspace).map_err(|_| FORM),
            None if name == "platform" => Ok(Self::Platform),
            None => Err(FORM),
        }
    }

    /// The workspace, if it is one.
    #[must_use]
    pub fn workspace(&self) -> Option<&WorkspaceId> {
        match self {
            Self::Workspace(id) => Some(id),
            Self::Platform => None,
        }
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workspace(id) => write!(f, "workspaces/{id}"),
            Self::Platform => f.write_str("platform"),
        }
    }
}

/// Who owns a key: a workspace, one user in it, or the platform. The parent in `…/keys/{key}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The tenant boundary.
    pub tenant: Tenant,
    /// Set for a personal key.
    pub user: Option<UserId>,
}

const OWNER_FORM: InvalidId =
    InvalidId::Name("workspaces/{workspace}, workspaces/{workspace}/users/{user} or platform");
const KEY_FORM: InvalidId = InvalidId::Name(
    "workspaces/{workspace}/keys/{key}, workspaces/{workspace}/users/{user}/keys/{key} or platform/keys/{key}",
);

impl Owner {
    /// Reads `workspaces/{workspace}`, `workspaces/{workspace}/users/{user}` or `platform`.
    ///
    /// # Errors
    /// When the name has another shape.
    pub fn parse(name: &str) -> Result<Self, InvalidId> {
        let (tenant, user) = match name.rsplit_once("/users/") {
            Some((tenant, user)) => (tenant, Some(UserId::parse(user).map_err(|_| OWNER_FORM)?)),
            None => (name, None),
        };
        match (Tenant::parse(tenant).map_err(|_| OWNER_FORM)?, user) {
            (Tenant::Platform, Some(_)) => Err(OWNER_FORM),
            (tenant, user) => Ok(Self { tenant, user }),
        }
    }

    /// The user's id, or `""` for a key of the whole tenant: the form in which rows and seals name it.
    #[must_use]
    pub fn user_str(&self) -> &str {
        self.user.as_ref().map_or("", UserId::as_str)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tenant.fmt(f)?;
        match &self.user {
            Some(user) => write!(f, "/users/{user}"),
            None => Ok(()),
        }
    }
}

/// A key's resource name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName {
    /// Who owns the key.
    pub owner: Owner,
    /// Which key.
    pub id: KeyId,
}

impl KeyName {
    /// Reads `{owner}/keys/{key}`.
    ///
    /// # Errors
    /// When the name has another shape.
    pub fn parse(name: &str) -> Result<Self, InvalidId> {
        let (owner, id) = name.rsplit_once("/keys/").ok_or(KEY_FORM)?;
        let owner = Owner::parse(owner).map_err(|_| KEY_FORM)?;
        let id = KeyId::parse(id).map_err(|_| KEY_FORM)?;
        Ok(Self { owner, id })
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/keys/{}", self.owner, self.id)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn slugs_are_refused_never_folded() {
        for good in ["a", "acme", "a-1", "0", &"x".repeat(63)] {
            assert_eq!(WorkspaceId::parse(good).unwrap().as_str(), good);
        }
        let homoglyph = "acm\u{0435}"; // Cyrillic е
        for bad in ["", "-a", "Acme", "a_b", "a b", "a/b", "a\n", homoglyph, &"x".repeat(64)] {
            assert_eq!(WorkspaceId::parse(bad), Err(InvalidId::Slug), "{bad:?}");
        }
    }

    #[test]
    fn names_round_trip() {
        let id = "0198c0de-0000-7000-8000-000000000001";
        let words = ["workspaces/users/users/users", "workspaces/keys/users/keys", "workspaces/users"];
        for owner in ["workspaces/acme", "workspaces/acme/users/ann@example.org", "platform"].into_iter().chain(words) {
            assert_eq!(Owner::parse(owner).unwrap().to_string(), owner);
            let name = format!("{owner}/keys/{id}");
            assert_eq!(KeyName::parse(&name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn names_of_another_shape_are_refused() {
        for bad in
            ["", "acme", "workspaces/", "workspaces/a/b", "platform/users/ann", "workspaces/a/users/", "Platform"]
        {
            assert_eq!(Owner::parse(bad), Err(OWNER_FORM), "{bad}");
        }
        for bad in
            ["platform/keys/1", "platform/keys/0198C0DE-0000-7000-8000-000000000001", "keys/x", "workspaces/a/keys/"]
        {
            assert_eq!(KeyName::parse(bad), Err(KEY_FORM), "{bad}");
        }
    }
}
