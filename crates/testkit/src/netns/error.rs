//! What can go wrong when a network is built, and running the programs that build it.

use std::io;
use std::process::Command;
use std::time::Duration;

use crate::wait::TimedOut;

/// Longest that a program which sets something up may take.
const SETUP_BOUND: Duration = Duration::from_secs(20);
/// `timeout` ends with these when the time was up.
const TIMED_OUT: [i32; 2] = [124, 137];

/// What can go wrong when a network is built.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Namespaces need privilege.
    #[error("network namespaces need root: run this as root")]
    NotRoot,
    /// A program could not be started.
    #[error("can't run `{command}`: {source}")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("`{command}` failed ({status}): {output}")]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// What it said.
        output: String,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program answered something that can't be read.
    #[error("{what}: unexpected output: {output}")]
    Output {
        /// What was asked.
        what: String,
        /// The answer.
        output: String,
    },
    /// Something did not happen in time.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
}

/// Runs a program that sets something up; returns its standard output.
pub fn run(command: &mut Command) -> Result<String, NetError> {
    run_bounded(command, SETUP_BOUND)
}

/// Runs a program to its end, at most for `bound` (rounded up to seconds); returns its standard output.
pub fn run_bounded(command: &mut Command, bound: Duration) -> Result<String, NetError> {
    let line = line(command);
    let mut bounded = Command::new("timeout");
    bounded.arg("--kill-after=2").arg(format!("{}", bound.as_secs_f64().ceil()));
    bounded.arg(command.get_program()).args(command.get_args());
    let output = bounded.output().map_err(|source| NetError::Start { command: line.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    if output.status.code().is_some_and(|code| TIMED_OUT.contains(&code)) {
        return Err(TimedOut { what: format!("`{line}` to end"), bound }.into());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Err(NetError::Failed { command: line, status: output.status.to_string(), output: said })
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
