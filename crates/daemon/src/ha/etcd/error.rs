//! Why an etcd can't be used, as far as that is known without asking it.

use crate::limits;
use crate::tls::TlsError;

/// What is wrong with a configuration.
#[derive(thiserror::Error, Debug)]
pub enum EtcdError {
    /// No member is named, or too many.
    #[error("etcd: {0} endpoints; 1 to {most} are needed", most = limits::ELECTION_MEMBERS)]
    Endpoints(usize),
    /// A member's URI makes no sense, or not together with the certificates.
    #[error("etcd endpoint {uri}: {reason}")]
    Endpoint {
        /// As it was given.
        uri: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A text that is empty, too long, or no text.
    #[error("etcd: the {what} {reason}")]
    Text {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A certificate or key can't be used.
    #[error("etcd: {0}")]
    Tls(#[from] TlsError),
}
