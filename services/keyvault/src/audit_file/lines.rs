//! The lines of a file, one at a time and of bounded length.

use std::io::{BufRead, Read};

use super::Problem;

/// The longest line, in bytes, its end included. A call of 128 KiB, escaped six to one, stays below.
pub(super) const LONGEST: usize = 1 << 20;

/// Reads lines into one buffer.
pub(super) struct Lines<R> {
    from: R,
    line: Vec<u8>,
    /// The number of the line that was read last, from 1.
    pub(super) number: u64,
    /// How many bytes were read.
    pub(super) bytes: u64,
}

/// A line without its end.
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    /// Whether it has an end: a line that has none may be cut short.
    pub(super) ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, line: Vec::new(), number: 0, bytes: 0 }
    }

    /// The next line, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, Problem> {
        self.number += 1;
        self.line.clear();
        let mut bounded = self.from.by_ref().take(LONGEST as u64 + 1);
        let read = bounded.read_until(b'\n', &mut self.line).map_err(Problem::Unreadable)?;
        self.bytes += read as u64;
        if read > LONGEST {
            return Err(Problem::LineTooLong);
        }
        let (text, ended) = match self.line.strip_suffix(b"\n") {
            Some(line) => (line, true),
            None => (&*self.line, false),
        };
        let text = std::str::from_utf8(text).map_err(|_| if ended { Problem::NotUtf8 } else { Problem::CutShort })?;
        Ok((read > 0).then_some(Line { text, ended }))
    }
}
