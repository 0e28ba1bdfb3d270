//! Development root of some end-to-end modules; merged into main.rs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
