//! `claviger-keyvault`: see `--help`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match claviger_keyvault::cli::run(claviger_keyvault::config::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => claviger_runtime::process::failed("claviger-keyvault", error.as_ref()),
    }
}
