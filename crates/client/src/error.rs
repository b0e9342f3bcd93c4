//! What can go wrong with a call, and what to do about it.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use opof_api::Inexpressible;
use tonic::{Code, Status};

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The address of the device makes no sense.
    #[error("{uri}: not the address of a device: {reason}; it should look like https://localhost:3443")]
    Uri {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The session asks for what the dialect has no words for; nothing of its batch was sent.
    #[error(transparent)]
    Inexpressible(#[from] Inexpressible),
    /// No connection came about.
    #[error("cannot reach {uri}: {reason}; check that opofd runs there and listens on this address and port")]
    Connect {
        /// Where to.
        uri: String,
        /// The innermost cause.
        reason: String,
    },
    /// The two ends did not agree on TLS.
    #[error(
        "no TLS with {uri}: {reason}; give the CA that signed the device's certificate (or the self-signed certificate \
         itself), and check that the certificate names this host"
    )]
    Tls {
        /// Where to.
        uri: String,
        /// What is wrong.
        reason: String,
    },
    /// The device did not answer in time. What was asked may have been done all the same.
    #[error("no answer from {uri} within {} s; the request may have been carried out", .after.as_secs_f64())]
    Deadline {
        /// Where to.
        uri: String,
        /// The deadline that was set.
        after: Duration,
    },
    /// The connection broke, or the device can't serve now. What was asked may have been done all the same.
    #[error("{uri} is unavailable: {reason}; the request may have been carried out")]
    Unavailable {
        /// Where to.
        uri: String,
        /// What the device or the connection said.
        reason: String,
    },
    /// The device refused the call as a whole.
    #[error("{uri} refused the call ({code}): {reason}")]
    Refused {
        /// Where to.
        uri: String,
        /// gRPC's name of the status code.
        code: &'static str,
        /// What the device said.
        reason: String,
    },
    /// The answer is not what the protocol has here.
    #[error("{uri} gave an answer that makes no sense: {reason}; is it an OpenOffload v1 server?")]
    Answer {
        /// Where to.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// True when the device was not reached, or went away.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Tls { .. } | Self::Deadline { .. } | Self::Unavailable { .. })
    }

    /// Why no connection came about.
    pub(crate) fn connect(uri: &str, error: &tonic::transport::Error) -> Self {
        let uri = uri.to_owned();
        match tls_cause(error) {
            Some(reason) => Self::Tls { uri, reason },
            None => Self::Connect { uri, reason: innermost(error) },
        }
    }

    /// What a status means that is not an answer.
    pub(crate) fn call(uri: &str, deadline: Duration, status: &Status) -> Self {
        let uri = uri.to_owned();
        if let Some(broken) = status.source().filter(|source| source.is::<tonic::transport::Error>()) {
            return Self::Unavailable { uri, reason: innermost(broken) };
        }
        let reason =
            if status.message().is_empty() { status.code().description() } else { status.message() }.to_owned();
        match status.code() {
            Code::DeadlineExceeded => Self::Deadline { uri, after: deadline },
            Code::Cancelled | Code::Unavailable => Self::Unavailable { uri, reason },
            Code::Unimplemented => Self::Answer { uri, reason },
            code => Self::Refused { uri, code: code_name(code), reason },
        }
    }
}

/// What TLS has to say about it, if the error comes from there.
fn tls_cause(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls.to_string());
        }
        // An I/O error hands out the source of what it wraps, not the wrapped error itself.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|wrapped| wrapped as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: &Status) -> Error {
        Error::call("https://host:1", Duration::from_secs(2), status)
    }

    #[test]
    fn a_status_says_what_to_do() {
        assert!(of(&Status::deadline_exceeded("")).to_string().starts_with("no answer from https://host:1 within 2 s"));
        assert!(of(&Status::unavailable("draining")).is_unreachable());
        assert_eq!(
            of(&Status::permission_denied("not you")).to_string(),
            "https://host:1 refused the call (PERMISSION_DENIED): not you"
        );
        assert!(!of(&Status::permission_denied("not you")).is_unreachable());
        assert!(of(&Status::unimplemented("")).to_string().contains("is it an OpenOffload v1 server?"));
    }

    #[test]
    fn tls_is_found_however_deep() {
        let tls = rustls::Error::General("no".to_owned());
        let deep = io::Error::other(io::Error::other(tls));
        assert_eq!(tls_cause(&deep), Some("unexpected error: no".to_owned()));
        assert_eq!(tls_cause(&io::Error::other("no")), None);
    }
}
