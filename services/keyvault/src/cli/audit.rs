//! The commands about the audit log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::app;
use crate::audit_file;
use crate::cli::progress::Progress;
use crate::config::{Seal, Verify};
use crate::usecase::audit::{Oldest, Out, Sealed, seal as move_out};

/// From this size of all files on, in bytes, `audit verify` shows how far it is.
const LARGE: u64 = 64 << 20;
/// From so many events on, `audit seal` shows how far it is.
const MANY: u64 = 10_000;

/// Verifies exported files.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn verify(of: &Verify) -> anyhow::Result<()> {
    let size = of.files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum::<u64>();
    let mut shown = Progress::of_at_least(LARGE);
    let verified = audit_file::verify(&of.files, &of.heads, &mut |bytes| shown.show(bytes, size));
    drop(shown);
    Ok(write!(std::io::stdout().lock(), "{}", verified?)?)
}

/// Moves the oldest events out of the database.
///
/// # Errors
/// What stopped it, and whether events have left the database.
pub(super) fn seal(of: &Seal) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let sealed = runtime.block_on(sealed(of))?;
    let mut out = std::io::stdout().lock();
    match sealed {
        None => Ok(writeln!(out, "no event in the database is older: nothing was moved out")?),
        Some(sealed) => Ok(write!(out, "{}", table(&of.out, &sealed))?),
    }
}

async fn sealed(of: &Seal) -> anyhow::Result<Option<Sealed>> {
    let app::Opened { store, writer, .. } = app::open_existing(&of.storage, of.master_key_file.as_deref()).await?;
    let stop = CancellationToken::new();
    let writing = tokio::spawn(writer.run(stop.clone()));
    let what = Oldest { before: of.before.time(), most: of.max_events };
    let mut shown = Progress::of_at_least(MANY);
    let mut show = |done, total| shown.show(done, total);
    let sealed = move_out(&store, what, || OutFile::new(&of.out), &mut show).await;
    drop(shown);
    stop.cancel();
    let _ = writing.await; // it has nothing more to say
    sealed.with_context(|| of.out.display().to_string())
}

/// A new file for its owner alone, never in place of another one.
struct OutFile<'a> {
    path: &'a Path,
    file: BufWriter<File>,
}

impl<'a> OutFile<'a> {
    fn new(path: &'a Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { path, file: BufWriter::new(file) })
    }
}

impl Write for OutFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Out for OutFile<'_> {
    fn last(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all() // the file's name is on the disk too
    }

    fn discard(self) {
        let _ = fs::remove_file(self.path); // half a file would be in the way
    }
}

fn table(file: &Path, sealed: &Sealed) -> String {
    let Sealed { segment, events, file_digest, head, left } = sealed;
    [
        ("file", file.display().to_string()),
        ("sha256", hex::encode(file_digest)),
        ("events", events.to_string()),
        ("first seq", segment.first_seq.to_string()),
        ("last seq", segment.last.seq.to_string()),
        ("last hash", hex::encode(segment.last.hash)),
        ("kept", format!("{}, the newest of each resource", segment.kept_events)),
        ("head", head.to_string()),
        ("left", if *left == 0 { "none".to_owned() } else { format!("{left}: seal again, into another file") }),
    ]
    .map(|(name, value)| format!("{name:<10} {value}\n"))
    .concat()
}

#[cfg(test)]
mod tests;
