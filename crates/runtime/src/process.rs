//! Hardening of the process itself.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// The kernel refused to harden the process.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused {what}")]
pub struct Error {
    what: &'static str,
    #[source]
    source: rustix::io::Errno,
}

/// Forbids core dumps (`RLIMIT_CORE` = 0) and reading of this process's memory by others of the same user
/// (`PR_SET_DUMPABLE` = 0, see `prctl(2)`), and installs ring as the process's one rustls provider.
///
/// Call it first thing in `main`: both settings are inherited by threads, and rustls panics later if it finds no provider.
///
/// # Errors
/// If the kernel refuses: a vault whose memory may be dumped must not start.
pub fn harden() -> Result<(), Error> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(|source| Error { what: "RLIMIT_CORE=0", source })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|source| Error { what: "PR_SET_DUMPABLE=0", source })?;
    install_crypto_provider();
    Ok(())
}

/// Says in one line on standard error why a process ends, cause by cause, for `main` to return.
pub fn failed(program: &str, error: &(dyn std::error::Error + 'static)) -> std::process::ExitCode {
    let causes: Vec<_> = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    let line = format!("{program}: {}\n", causes.join(": "));
    // nothing is left to be done when standard error is closed
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    std::process::ExitCode::FAILURE
}

/// Installs ring as rustls's provider; harmless if it is there already.
pub(crate) fn install_crypto_provider() {
    // The error holds the provider that could not be installed because one is: nothing to do.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn no_core_is_dumped_and_a_provider_stands() {
        harden().unwrap();

        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
