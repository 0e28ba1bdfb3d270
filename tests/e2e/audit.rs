//! The audit log over the wire and by command: listed, exported, verified, sealed, on both databases.

mod export;
mod head;
mod list;
mod origin;
mod seal;
pub(crate) mod stage;
mod verify;
