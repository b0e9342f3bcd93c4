//! Why opof ends with something other than 0.

use std::io;
use std::process::ExitCode;

use opof_client::Error;

use crate::input::InputError;

/// Why it failed; one line each.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Not all sessions were accepted; each has had a line of its own.
    #[error("{refused} of {all} sessions refused")]
    Refused { refused: u64, all: u64 },
    /// No session has one of the ids.
    #[error("no such session: {0}")]
    NotFound(String),
    /// Some next hops could not be taken away; the others were.
    #[error("{0}")]
    NextHops(String),
    /// One of the VLANs has no flow.
    #[error("no flow of VLAN {0}")]
    NoVlanFlow(String),
    /// The device says that it does not serve, or does not say.
    #[error("the device does not say that it serves")]
    NotServing,
    /// It says that it is not fit to be active, or does not say.
    #[error("the device does not say that it is fit to be active")]
    NotFit,
    /// Several devices, for what is asked of one.
    #[error("this is asked of one device: give --server once, with one address (OPOF_SERVER counts)")]
    SeveralServers,
    /// The input is wrong.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A certificate or a key can't be read.
    #[error("cannot read the {what} {path}: {error}")]
    Pem { what: &'static str, path: String, error: io::Error },
    /// A certificate without a key, or a key without a certificate.
    #[error("give --cert and --key together, or neither (OPOF_CERT and OPOF_KEY count)")]
    HalfIdentity,
    /// The device did not do it.
    #[error(transparent)]
    Device(#[from] Error),
    /// The suite ran, and the server does not conform; each case has had a line of its own.
    #[error("the server does not conform: {0}")]
    Nonconforming(String),
    /// The suite did not run.
    #[error(transparent)]
    Conformance(#[from] opof_conformance::RunError),
    /// Nobody takes the output.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// Whoever read the output has seen enough of it, as in `opof list | head`: no failure at all.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// 1: refused or not found. 2: the question is wrong. 3: the device was not reached.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Input(_)
            | Self::Pem { .. }
            | Self::HalfIdentity
            | Self::SeveralServers
            | Self::Device(
                Error::Uri { .. } | Error::Pem { .. } | Error::Inexpressible(_) | Error::NoSuchCall { .. },
            ) => 2,
            Self::Device(error) if error.is_unreachable() => 3,
            Self::Conformance(error) => error.exit_code(),
            Self::Refused { .. }
            | Self::NotFound(_)
            | Self::NextHops(_)
            | Self::NoVlanFlow(_)
            | Self::NotServing
            | Self::NotFit
            | Self::Nonconforming(_)
            | Self::Output(_)
            | Self::Device(_) => 1,
        })
    }
}
