//! What is stored sealed: provider secrets under a workspace key, and workspace and service keys under a root key.
//!
//! Each sealed thing is, in this order:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | format, 1 |
//! | 1 | algorithm, 1: AES-256-GCM under a single-use key from HKDF-SHA-256, with key commitment |
//! | record: 4 · wrapped key: 1 + n | which key opens it: the workspace key's version (big-endian), or the root key's id behind its length |
//! | 16 | salt |
//! | 32 | commitment |
//! | 12 | nonce |
//! | n + 16 | ciphertext, tag |
//!
//! The header (all before the salt) is authenticated; the salt and what the thing is choose the single-use key; the
//! commitment is half of that derivation. It rules out a ciphertext that opens under two keys, which GCM by itself
//! allows (Len, Grubbs, Ristenpart: Partitioning Oracle Attacks, 2021).

mod construction;
mod context;
mod error;
mod service_key;
mod workspace_key;
mod wrap;

pub(crate) use self::context::Purpose;
pub use self::context::RecordContext;
pub use self::error::{OpenError, SealError};
pub use self::service_key::ServiceKey;
pub use self::workspace_key::{WorkspaceKey, workspace_key_version};
pub use self::wrap::wrapping_root_id;

#[cfg(test)]
mod tests;
