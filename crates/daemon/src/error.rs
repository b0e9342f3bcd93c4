//! Why a daemon did not start, as one line that says what to do, and the exit code that goes with it.

use std::io;

use opof_dataplane_linux::OpenError;

use crate::config::{Address, ConfigError};
use crate::store::StoreError;
use crate::tls::TlsError;

/// Why a daemon did not start.
#[derive(thiserror::Error, Debug)]
pub enum StartError {
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A listener could not be opened.
    #[error("listener {address}: {}", listen_hint(address, source))]
    Listen {
        /// Where.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key can't be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The closed log can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data plane could not be opened.
    #[error("data plane: {0}")]
    Plane(#[from] OpenError),
    /// The line to the other device of a pair can't be opened.
    #[error(transparent)]
    Line(#[from] crate::ha::LineError),
    /// The etcd that elects can't be asked.
    #[error("ha.etcd: {0}")]
    Etcd(#[from] crate::ha::etcd::EtcdError),
    /// The operating system refused something that is not anybody's configuration.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl StartError {
    /// The exit code, as docs/configuration.md has it.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 1,
            Self::Listen { .. } => 3,
            Self::Tls(_) | Self::Line(_) | Self::Etcd(_) => 4,
            Self::Plane(_) => 5,
            Self::Store(_) => 7,
            Self::System { .. } => EXIT_FAILED,
        }
    }
}

/// The exit code of a daemon that failed while it was running.
pub const EXIT_FAILED: u8 = 6;

fn listen_hint(address: &Address, error: &io::Error) -> String {
    if let Address::Unix(_) = address {
        return match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another server listens on this socket; stop it or choose another path".to_owned()
            }
            io::ErrorKind::NotFound => "there is no such folder; make it, or choose another path".to_owned(),
            io::ErrorKind::PermissionDenied => format!("{error}; opofd must be allowed to write to the folder"),
            _ => error.to_string(),
        };
    }
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use; stop the other server or choose another port (--listener address=...)".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; see: ip address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("{error}; ports below 1024 need CAP_NET_BIND_SERVICE, another port does not")
        }
        _ => error.to_string(),
    }
}
