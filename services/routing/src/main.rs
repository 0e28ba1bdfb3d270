//! `claviger-routing`: see `--help`.

use std::process::ExitCode;

use clap::Parser;
use claviger_routing::{app, config};
use claviger_runtime::process;

fn main() -> ExitCode {
    let config::Command::Serve(settings) = config::Cli::parse().command;
    match app::run(*settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => process::failed("claviger-routing", error.as_ref()),
    }
}
