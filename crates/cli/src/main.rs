//! opof: the operator's command line.
//!
//! What lives here: arguments, files, tables, exit codes. What must not: how the device is spoken to
//! (`opof_client`).

mod args;
mod commands;
mod exit;
mod input;
mod limits;
mod output;
mod progress;
mod server;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;

use crate::exit::Failure;

fn main() -> ExitCode {
    // Wrong arguments end here, with exit code 2; so do --help and --version, with 0.
    let args = args::Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("opof: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(commands::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads the output has seen enough, such as `head`.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("opof: {failure}");
            failure.code()
        }
    }
}
