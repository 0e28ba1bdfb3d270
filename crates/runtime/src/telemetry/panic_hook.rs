//! A panic's text may hold a secret (`unwrap` prints what it found), and the default hook prints it.

use std::panic::{self, PanicHookInfo};

/// Replaces the default hook.
pub(super) fn install() {
    panic::set_hook(Box::new(report));
}

/// Where it happened, and nothing of what was said.
pub(super) fn report(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let (file, line) = info.location().map_or(("", 0), |location| (location.file(), location.line()));
    tracing::event!(target: "claviger::panic", tracing::Level::ERROR, code.file = file, code.line = line, thread = thread.name(), "panic");
}
