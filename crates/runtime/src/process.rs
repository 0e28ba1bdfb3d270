//! The process itself: hardened, and certain to end.

use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, setrlimit, umask};

/// The kernel refused to harden the process.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused {what}")]
pub struct Error {
    what: &'static str,
    #[source]
    source: rustix::io::Errno,
}

/// Forbids core dumps (`RLIMIT_CORE` = 0) and reading of this process's memory by others of the same user
/// (`PR_SET_DUMPABLE` = 0, see `prctl(2)`; Linux alone has it), makes new files their owner's alone (umask 077), and
/// installs ring as the process's one rustls provider.
///
/// Call it first thing in `main`: both settings are inherited by threads, and rustls panics later if it finds no provider.
///
/// # Errors
/// If the kernel refuses: a vault whose memory may be dumped must not start.
pub fn harden() -> Result<(), Error> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(|source| Error { what: "RLIMIT_CORE=0", source })?;
    forbid_inspection()?;
    umask(Mode::RWXG | Mode::RWXO);
    install_crypto_provider();
    Ok(())
}

#[cfg(target_os = "linux")]
fn forbid_inspection() -> Result<(), Error> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|source| Error { what: "PR_SET_DUMPABLE=0", source })
}

#[cfg(not(target_os = "linux"))]
fn forbid_inspection() -> Result<(), Error> {
    Ok(())
}

/// How long blocking work may hold up the end of the process.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

/// Runs a service on a runtime of its own. When it has ended, blocking work that hangs (a name lookup, a dead volume)
/// gets one more second: without a bound, tokio would wait for it for ever.
///
/// # Errors
/// If the kernel gives no threads.
pub fn block_on<F: Future>(service: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let output = runtime.block_on(service);
    runtime.shutdown_timeout(BLOCKING_GRACE);
    Ok(output)
}

/// Says in one line on standard error why a process ends, cause by cause, for `main` to return.
pub fn failed(program: &str, error: &(dyn std::error::Error + 'static)) -> std::process::ExitCode {
    let causes = std::iter::successors(Some(error), |error| error.source()).map(|cause| one_line(&cause.to_string()));
    let line = format!("{program}: {}\n", causes.collect::<Vec<_>>().join(": "));
    // nothing is left to be done when standard error is closed
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    std::process::ExitCode::FAILURE
}

/// A cause in one line. TOML's errors have several, and quote the file in those with a gutter (`3 | id = …`): left out.
fn one_line(cause: &str) -> String {
    let mut lines = cause.lines();
    let first = lines.next().unwrap_or_default();
    let rest = lines.map(str::trim).filter(|line| !line.is_empty() && !line.contains('|'));
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join(": ")
}

/// Installs ring as rustls's provider; harmless if it is there already.
pub(crate) fn install_crypto_provider() {
    // The error holds the provider that could not be installed because one is: nothing to do.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use rustix::process::{DumpableBehavior, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn blocking_work_that_hangs_does_not_keep_the_process() {
        let start = std::time::Instant::now();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let hang = async { drop(tokio::task::spawn_blocking(move || held.recv_timeout(Duration::from_secs(20)))) };
        block_on(hang).unwrap();
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        drop(release);
    }

    #[test]
    fn no_core_is_dumped_and_a_provider_stands() {
        harden().unwrap();

        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }

    #[test]
    fn a_cause_of_many_lines_becomes_one_and_quotes_nothing() {
        let toml =
            "TOML parse error at line 1, column 4\n  |\n1 | a = hunter2\n  |    ^\nstring values must be quoted\n";
        assert_eq!(one_line(toml), "TOML parse error at line 1, column 4: string values must be quoted");
        assert_eq!(one_line("a | b"), "a | b");
    }
}
