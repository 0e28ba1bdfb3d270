#![expect(clippy::unwrap_used, reason = "tests")]

mod builtin;
mod calls;
mod facts;
mod keys;
mod live_tests;
mod overrides;
mod prices;
mod reset_properties;
mod resets;
mod texts;
mod wire;

use super::*;

fn catalog() -> Catalog {
    Catalog::builtin().unwrap()
}

/// A made-up key of a form and length that a provider's keys have.
fn fake(prefix: &str, length: usize) -> String {
    format!("{prefix}{}", "a".repeat(length - prefix.len()))
}
