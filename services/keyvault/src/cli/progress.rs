//! How far a long command is, for whoever watches it.

use std::io::{self, IsTerminal, Write};

/// A bar on a terminal's standard error; elsewhere nothing. It goes away when it is dropped.
pub(super) struct Progress {
    is_watched: bool,
    long: u64,
    is_shown: bool,
}

impl Progress {
    /// Shown only of commands that have this much to do at least.
    pub(super) fn of_at_least(long: u64) -> Self {
        Self { is_watched: io::stderr().is_terminal(), long, is_shown: false }
    }

    pub(super) fn show(&mut self, done: u64, total: u64) {
        if self.is_watched && total >= self.long {
            self.is_shown = true;
            let _ = write!(io::stderr(), "\r{}", bar(done, total)); // no reason to stop
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r{:60}\r", "");
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    const WIDTH: usize = 40;
    let percent = u128::from(done.min(total)) * 100 / u128::from(total.max(1));
    let full = usize::try_from(percent).unwrap_or_default() * WIDTH / 100;
    format!("[{:<WIDTH$}] {percent:>3} %", "#".repeat(full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_empty_half_full_and_never_more_than_full() {
        let line = |full: usize, percent: &str| format!("[{}{}] {percent} %", "#".repeat(full), " ".repeat(40 - full));
        for (done, total, full, percent) in [
            (0, 10, 0, "  0"),
            (0, 0, 0, "  0"),
            (5, 10, 20, " 50"),
            (999, 1_000, 39, " 99"),
            (10, 10, 40, "100"),
            (11, 10, 40, "100"),
            (u64::MAX / 2, u64::MAX, 19, " 49"),
        ] {
            assert_eq!(bar(done, total), line(full, percent), "{done} of {total}");
        }
    }
}
