//! High availability: this device and the other one of its pair.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use opof_session::ha::term::{Role, Side};

use crate::ha::etcd::EtcdConfig;

/// How this device and another one are a pair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HaConfig {
    /// This device's name.
    pub node: String,
    /// Where the peer connects.
    pub listen: SocketAddr,
    /// `HOST:PORT` where clients reach this device's API: what the peer is told, and clients that have come to the standby.
    pub api: String,
    /// The other device.
    pub peer: HaPeer,
    /// By what the two trust each other; they have no other way to talk.
    pub tls: HaTls,
    /// Who says which of the two is active.
    pub election: HaElection,
    /// How long a standby that hears nothing goes on forwarding.
    pub hold: Duration,
    /// Whether an addSession is answered when the standby has the sessions, too.
    pub sync: bool,
    /// Where the term in which this device is active is kept for a later process; `None`: in the daemon's state folder.
    pub term_file: Option<PathBuf>,
}

/// The other device of a pair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HaPeer {
    /// Its name, which is not this device's.
    pub node: String,
    /// `HOST:PORT` where it listens for this device.
    pub address: String,
    /// `HOST:PORT` where clients reach its API.
    pub api: String,
}

/// By what the devices of a pair trust each other, PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HaTls {
    /// This device's certificate chain, its own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that sign the peer's certificate.
    pub ca: PathBuf,
}

/// Who says which device of a pair is active.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HaElection {
    /// The configuration.
    Fixed(Role),
    /// Somebody outside, by a command.
    External,
    /// An etcd.
    Etcd {
        /// Which, and who this device is there.
        config: EtcdConfig,
        /// How long a lease is asked for.
        ttl: Duration,
    },
}

impl HaConfig {
    /// Which of the two this device is: A is the one whose name sorts first.
    pub fn side(&self) -> Side {
        if self.node < self.peer.node { Side::A } else { Side::B }
    }

    /// The section as a part of a line.
    pub(crate) fn summary(&self) -> String {
        let mode = if self.sync { "sync" } else { "async" };
        let election = match &self.election {
            HaElection::Fixed(role) => format!("always {role}"),
            HaElection::External => "told when to be active".to_owned(),
            HaElection::Etcd { .. } => "elected by etcd".to_owned(),
        };
        format!("{} in a pair with {}, {mode}, {election}", self.node, self.peer.node)
    }
}
