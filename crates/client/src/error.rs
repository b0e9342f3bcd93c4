//! What can go wrong with a call, and what to do about it. How a gRPC status becomes one of these is in `status`.

use std::time::Duration;

use opof_api::{Inexpressible, Refusal};

/// What went wrong. New kinds may come with new versions.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of the device makes no sense.
    #[error(
        "{uri}: not the address of a device: {reason}; it should look like https://localhost:3443 or \
         unix:/run/opof.sock"
    )]
    Uri {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate or a key that was given can't be used.
    #[error("{what}: {reason}; it must be PEM, as openssl writes it")]
    Pem {
        /// Which of those that were given.
        what: &'static str,
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
         itself), check that it names this host, and give a client certificate where the device asks for one"
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
    #[error("{uri} is unavailable: {reason}; the request may have been carried out{}", plain_text_hint(.uri))]
    Unavailable {
        /// Where to.
        uri: String,
        /// What the device or the connection said.
        reason: String,
    },
    /// The device does not know who asks.
    #[error("{uri} does not know who asks: {reason}; give a client certificate that it trusts")]
    Unauthenticated {
        /// Where to.
        uri: String,
        /// What the device said.
        reason: String,
    },
    /// The device knows who asks, and that is not enough.
    #[error("{uri} does not permit it: {reason}; its configuration says who may do what")]
    PermissionDenied {
        /// Where to.
        uri: String,
        /// What the device said.
        reason: String,
    },
    /// The device has no room for the call, or for what this client does in all.
    #[error("{uri} has no room for it: {reason}; {}", retry_hint(*.retry_after))]
    ResourceExhausted {
        /// Where to.
        uri: String,
        /// What the device said.
        reason: String,
        /// When it wants to be asked again, where it says so (`google.rpc.RetryInfo`, or `grpc-retry-pushback-ms` as in
        /// gRFC A6).
        retry_after: Option<Duration>,
    },
    /// The dialect that is spoken does not have this call, or the device does not have the dialect.
    #[error("{uri} does not have this call: {reason}; choose a dialect that has it and that the device speaks")]
    Unimplemented {
        /// Where to.
        uri: String,
        /// What the device, or the dialect, says.
        reason: String,
    },
    /// The device refused the call as a whole, for a reason that has no variant of its own.
    #[error("{uri} refused the call ({code}): {reason}")]
    Refused {
        /// Where to.
        uri: String,
        /// gRPC's name of the status code.
        code: &'static str,
        /// What the device said.
        reason: String,
    },
    /// The device answered, and the answer is "no".
    #[error("{uri} refused {what}: {}", .message.clone().unwrap_or_else(|| format!("{status}; its log may say why")))]
    Rejected {
        /// Where to.
        uri: String,
        /// What was asked for.
        what: String,
        /// The status in the answer, by the name that the API gives it.
        status: String,
        /// Why, in the device's own words, where it has some.
        message: Option<String>,
    },
    /// The device did not do what was asked about a next hop.
    #[error("{uri} refused {}: {}", next_hop(*.id), .message.clone().unwrap_or_else(|| .reason.to_string()))]
    NextHop {
        /// Where to.
        uri: String,
        /// Which; `None` where all were meant.
        id: Option<u32>,
        /// Why, as far as the answer tells.
        reason: Refusal,
        /// `errorStatus` as it came.
        code: i32,
        /// Why, in the device's own words, where it has some.
        message: Option<String>,
    },
    /// The answer is not what the protocol has here.
    #[error(
        "{uri} gave an answer that makes no sense: {reason}; check that it is an OpenOffload server, and that dialect \
         and profile are those that it speaks"
    )]
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

    /// True when the same call may succeed later although nobody has mended anything on this side: the device was away,
    /// busy, or at fault. It does not say that the call had no effect.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Deadline { .. }
            | Self::Unavailable { .. }
            | Self::ResourceExhausted { .. }
            | Self::NextHop { reason: Refusal::Unavailable, .. } => true,
            Self::Refused { code, .. } => matches!(*code, "ABORTED" | "INTERNAL" | "UNKNOWN"),
            _ => false,
        }
    }

    /// When the device wants to be asked again, where it says so.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ResourceExhausted { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn retry_hint(after: Option<Duration>) -> String {
    match after {
        Some(after) => format!("it asks to be tried again in {:.1} s", after.as_secs_f64()),
        None => "ask for less, or try again later".to_owned(),
    }
}

/// A device that speaks TLS ends a connection without it, and says no word.
fn plain_text_hint(uri: &str) -> &'static str {
    if uri.starts_with("http://") { " (if the device speaks TLS, use https://)" } else { "" }
}

fn next_hop(id: Option<u32>) -> String {
    id.map_or_else(|| "to clear the next hops".to_owned(), |id| format!("next hop {id}"))
}
