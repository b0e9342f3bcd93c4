//! What a gRPC status or a failed connection means, as an [`Error`].

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustls::InvalidMessage;
use tonic::{Code, ConnectError, Status};
use tonic_types::StatusExt;

use crate::error::Error;

/// Milliseconds after which a server wants to be asked again (gRFC A6, "Pushback").
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// How rustls tells of an alert. With TLS 1.3 a device that does not trust a client says so after the handshake, when
/// HTTP/2 has the connection, which keeps nothing of an error but its text.
const TLS_ALERT: &str = "received fatal alert";

/// Why no connection came about.
pub(crate) fn connect_error(uri: &str, error: &tonic::transport::Error) -> Error {
    tls_failure(uri, error).unwrap_or_else(|| Error::Connect { uri: uri.to_owned(), reason: innermost(error) })
}

/// What a status means that is not an answer.
pub(crate) fn call_error(uri: &str, deadline: Duration, status: &Status) -> Error {
    let uri = uri.to_owned();
    // What the connection said; the code is a guess.
    if let Some(broken) = status.source() {
        if let Some(failure) = tls_failure(&uri, broken) {
            return failure;
        }
        let reason = innermost(broken);
        return match find::<ConnectError>(broken) {
            // A connection that comes back by itself tells so of a failed attempt, before it takes the request.
            Some(_) => Error::Connect { uri, reason },
            None if reason.contains(TLS_ALERT) => Error::Tls { uri, reason },
            None => Error::Unavailable { uri, reason },
        };
    }
    let reason = if status.message().is_empty() { status.code().description() } else { status.message() }.to_owned();
    match status.code() {
        Code::DeadlineExceeded => Error::Deadline { uri, after: deadline },
        Code::Cancelled | Code::Unavailable => Error::Unavailable { uri, reason },
        Code::Unauthenticated => Error::Unauthenticated { uri, reason },
        Code::PermissionDenied => Error::PermissionDenied { uri, reason },
        Code::ResourceExhausted => Error::ResourceExhausted { uri, reason, retry_after: retry_after(status) },
        Code::Unimplemented => Error::Unimplemented { uri, reason },
        code => Error::Refused { uri, code: code_name(code), reason },
    }
}

/// A status that the device sent has no source. One with a source was made on this side.
pub(crate) fn is_from_device(status: &Status) -> bool {
    status.source().is_none()
}

/// No connection came about, so nothing was sent.
pub(crate) fn is_not_sent(status: &Status) -> bool {
    status.source().is_some_and(|broken| tls_error(broken).is_some() || find::<ConnectError>(broken).is_some())
}

pub(crate) fn retry_after(status: &Status) -> Option<Duration> {
    let pushback = || {
        let millis = status.metadata().get(PUSHBACK)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_millis(millis))
    };
    status.get_details_retry_info().and_then(|info| info.retry_delay).or_else(pushback)
}

/// What TLS has to say about it, if the error comes from there.
fn tls_failure(uri: &str, error: &(dyn StdError + 'static)) -> Option<Error> {
    let uri = uri.to_owned();
    Some(match tls_error(error)? {
        // Not a record of TLS: an answer in plain text.
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Error::Plaintext { uri },
        error => Error::Tls { uri, reason: error.to_string() },
    })
}

pub(crate) fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    find(error)
}

/// The first error of this kind among an error and its causes.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // An I/O error hands out the source of what it wraps, not the wrapped error itself.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|wrapped| wrapped as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

const fn code_name(code: Code) -> &'static str {
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
    use tonic_types::ErrorDetails;

    use super::*;

    fn of(status: &Status) -> Error {
        call_error("https://host:1", Duration::from_secs(2), status)
    }

    #[test]
    fn a_status_says_what_to_do() {
        assert!(of(&Status::deadline_exceeded("")).to_string().starts_with("no answer from https://host:1 within 2 s"));
        assert!(of(&Status::unavailable("draining")).is_unreachable());
        assert_eq!(
            of(&Status::permission_denied("not you")).to_string(),
            "https://host:1 does not permit it: not you; its configuration says who may do what"
        );
        assert!(of(&Status::unimplemented("")).to_string().contains("choose a dialect that has it"));
        assert_eq!(of(&Status::aborted("again")).to_string(), "https://host:1 refused the call (ABORTED): again");
    }

    #[test]
    fn what_a_retry_mends_and_what_it_does_not() {
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted, Code::Internal, Code::Unknown]
        {
            assert!(of(&Status::new(code, "")).is_retryable(), "{code:?}");
        }
        for code in [Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented, Code::InvalidArgument] {
            assert!(!of(&Status::new(code, "")).is_retryable(), "{code:?}");
            assert!(!of(&Status::new(code, "")).is_unreachable(), "{code:?}");
        }
    }

    #[test]
    fn both_ways_to_say_when_to_come_back_are_read() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        let detailed = Status::with_error_details(Code::ResourceExhausted, "full", details);
        assert_eq!(of(&detailed).retry_after(), Some(Duration::from_secs(3)));
        let mut pushed = Status::resource_exhausted("full");
        pushed.metadata_mut().insert(PUSHBACK, "250".parse().unwrap());
        assert_eq!(of(&pushed).retry_after(), Some(Duration::from_millis(250)));
        assert!(of(&pushed).to_string().ends_with("it asks to be tried again in 0.25 s"));
        let mut said = Status::resource_exhausted("over the rate, try again in 250 ms (limits.rate)");
        said.metadata_mut().insert(PUSHBACK, "250".parse().unwrap());
        assert!(of(&said).to_string().ends_with("(limits.rate)"), "it is said once");
        pushed.metadata_mut().insert(PUSHBACK, "-1".parse().unwrap());
        assert_eq!(of(&pushed).retry_after(), None);
    }

    #[test]
    fn an_alert_is_told_as_rustls_tells_it() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        assert!(alert.to_string().contains(TLS_ALERT), "{alert}");
    }

    #[test]
    fn tls_is_found_however_deep() {
        let tls = rustls::Error::General("no".to_owned());
        let deep = io::Error::other(io::Error::other(tls));
        let reason = "unexpected error: no".to_owned();
        assert_eq!(tls_failure("u", &deep), Some(Error::Tls { uri: "u".to_owned(), reason }));
        assert_eq!(tls_failure("u", &io::Error::other("no")), None);
    }
}
