//! The rules of Claviger: ids, the provider catalog, the life of a key, and the one decision which key a call uses.
//!
//! Pure code: no I/O, no clock, no randomness of its own (time is an argument), and no wire or database type.

pub mod audit;
pub mod catalog;
pub mod command;
pub mod decide;
pub mod fault;
pub mod filter;
pub mod health;
pub mod ids;
pub mod journal;
pub mod key;
pub mod key_health;
pub mod position;
pub mod reason;
pub mod route;
pub mod secret;
pub mod usage;
pub mod workspace;
