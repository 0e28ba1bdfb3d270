//! Sealing: master keyring, envelopes, fingerprints, the feed's session cipher and resolution ids. Bytes in, bytes out.
//!
//! The keys stand in a line. A [`RootKey`] from the operator's [`Keyring`] wraps one random [`WorkspaceKey`] per
//! workspace and version, and a few [`ServiceKey`]s that belong to the vault as a whole. A workspace key seals
//! records, each under a key of its own that is used once. Between vault and routing, a [`SessionSealer`] and a
//! [`SessionOpener`] carry the same records under a key that lives as long as one subscription, and the one
//! [`ResolutionKey`] with which routing seals and opens the ids of what it handed out.
//!
//! What holds for all of it:
//!
//! - No function takes a nonce, a salt or a source of randomness: they come from the operating system.
//! - Whatever a sealed thing means (its tenant, owner, key, version, destination, …) is authenticated with it, each
//!   variable part behind its length. Bytes that moved elsewhere do not open.
//! - A type of this crate that holds a key prints nothing of it and wipes it when dropped; inside the crate, each place
//!   that reads one says `expose`. No key leaves but by [`Keyring::to_text`], which writes the key file.
//! - What opening returns is wiped when dropped, but it is a plain buffer whose `Debug` would show it: callers put it
//!   into a type of their own at once.
//! - Nothing here panics on any input.

mod aead;
mod chain;
mod encode;
mod envelope;
mod kdf;
mod keyring;
mod random;
mod resolution;
mod secret;
mod session;

pub use chain::{GENESIS, event_hash, sha256, sha256_hex};
pub use envelope::{
    OpenError, RecordContext, SealError, ServiceKey, WorkspaceKey, workspace_key_version, wrapping_root_id,
};
pub use keyring::{KeyProblem, KeyState, Keyring, KeyringError, RootKey};
pub use resolution::{NotAResolution, OpenedResolution, ResolutionError, ResolutionKey, ResolutionSealer};
pub use session::{Handshake, SessionError, SessionOpener, SessionSealer};
