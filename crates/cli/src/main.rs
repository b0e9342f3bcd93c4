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

use std::process::ExitCode;

use clap::FromArgMatches;

fn main() -> ExitCode {
    // Wrong arguments end here, with exit code 2; so do --help and --version, with 0.
    let mut command = args::command();
    let matches = command.get_matches_mut();
    let args = args::Args::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit());
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("opof: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(commands::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("opof: {failure}");
            failure.code()
        }
    }
}
