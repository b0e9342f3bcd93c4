//! What a gRPC status or a failed connection means, as an [`Error`].

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::error::Error;

/// Milliseconds after which a server wants to be asked again (gRFC A6, "Pushback").
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// How rustls tells of an alert. With TLS 1.3 a device that does not trust a client says so after the handshake, when
/// HTTP/2 has the connection, which keeps nothing of an error but its text.
const TLS_ALERT: &str = "received fatal alert";

/// Why no connection came about.
pub(crate) fn connect_error(uri: &str, error: &tonic::transport::Error) -> Error {
    let uri = uri.to_owned();
    match tls_cause(error) {
        Some(reason) => Error::Tls { uri, reason },
        None => Error::Connect { uri, reason: innermost(error) },
    }
}

/// What a status means that is not an answer.
pub(crate) fn call_error(uri: &str, deadline: Duration, status: &Status) -> Error {
    let uri = uri.to_owned();
    // A status that the device sent has no source. One with a source was made on this side, from what the connection
    // said; its code is a guess.
    if let Some(broken) = status.source() {
        let reason = innermost(broken);
        if never_connected(broken) {
            return Error::Connect { uri, reason };
        }
        return match tls_cause(broken) {
            Some(reason) => Error::Tls { uri, reason },
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

/// No connection came about, so nothing can have been carried out.
fn never_connected(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)) {
            return true;
        }
        next = error.source();
    }
    false
}

fn retry_after(status: &Status) -> Option<Duration> {
    let pushback = || {
        let millis = status.metadata().get(PUSHBACK)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_millis(millis))
    };
    status.get_details_retry_info().and_then(|info| info.retry_delay).or_else(pushback)
}

/// What TLS has to say about it, if the error comes from there.
fn tls_cause(error: &(dyn StdError + 'static)) -> Option<String> {
    tls_error(error).map(|error| match error {
        rustls::Error::InvalidMessage(_) => "it does not speak TLS; use http:// if that is meant".to_owned(),
        other => other.to_string(),
    })
}

pub(crate) fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
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
        assert!(of(&pushed).to_string().ends_with("it asks to be tried again in 0.2 s"));
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
        assert_eq!(tls_cause(&deep), Some("unexpected error: no".to_owned()));
        assert_eq!(tls_cause(&io::Error::other("no")), None);
        let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert!(tls_cause(&plain).is_some_and(|cause| cause.contains("use http://")));
    }

    #[test]
    fn a_connection_that_never_was_carried_nothing_out() {
        let refused = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused)));
        let error = of(&refused);
        assert!(matches!(error, Error::Connect { .. }) && !error.to_string().contains("carried out"), "{error}");
        let broken = Status::from_error(Box::new(io::Error::from(io::ErrorKind::BrokenPipe)));
        assert!(of(&broken).to_string().contains("may have been carried out"));
    }
}
