//! What can go wrong on the bench.

use std::io;

use opof_testkit::netns::NetError;
use opof_testkit::require::RequireError;
use opof_testkit::wait::TimedOut;

/// What can go wrong on the bench.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A program is missing.
    #[error(transparent)]
    Require(#[from] RequireError),
    /// Something did not happen in time.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    /// The daemon is not as it should be.
    #[error("opofd: {what}\n{log}")]
    Opofd {
        /// What is wrong.
        what: String,
        /// What it logged.
        log: String,
    },
    /// The daemon answered with an error, or not at all.
    #[error("{what}: {message}")]
    Call {
        /// What was asked.
        what: String,
        /// The answer.
        message: String,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`.
    pub fn io(what: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.to_owned(), source }
    }
}
