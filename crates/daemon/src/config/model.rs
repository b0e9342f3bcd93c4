//! The configuration as the rest of the daemon sees it: checked, complete, without places.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use opof_session::request::SameTuple;
use opof_session::types::Lif;

/// Everything that can be set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listeners: Vec<Listener>,
    /// What forwards the packets.
    pub data_plane: DataPlaneConfig,
    /// The logical interfaces, in the order of the configuration; at least two.
    pub lifs: Vec<LifConfig>,
    /// Bounds of the session table.
    pub sessions: SessionsConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// One address that clients connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Port 0 lets the system choose.
    pub address: SocketAddr,
    /// How the connection is protected.
    pub security: Security,
    /// How messages are read where published peers disagree.
    pub profile: Profile,
    /// What becomes of a session whose tuple a newer one takes.
    pub same_tuple: SameTuple,
}

/// How a listener's connections are protected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Security {
    /// TLS with this certificate chain and key, PEM files.
    Tls {
        /// The certificate chain, the server's own first.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// TLS with a certificate for `localhost` that the daemon makes and keeps.
    SelfSigned,
    /// None.
    Plaintext,
}

/// A named set of readings of the API. This version has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// As the API's text says.
    #[default]
    Spec,
}

/// What forwards the packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DataPlaneConfig {
    /// Frames in memory: for tests and for authors of clients.
    Sim,
    /// XDP programs on network interfaces.
    Xdp {
        /// How the programs are attached.
        mode: XdpMode,
        /// The folder of a BPF file system where maps and links are kept.
        pin_dir: PathBuf,
    },
}

/// How XDP programs are attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum XdpMode {
    /// In the driver where it can, in generic mode otherwise.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the kernel's stack, whatever the driver can.
    Generic,
}

/// A logical interface and its two ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LifConfig {
    /// Its number in the API.
    pub id: Lif,
    /// The interface towards the network. A name without meaning in the simulated plane.
    pub wire: String,
    /// The interface towards the firewall. A name without meaning in the simulated plane.
    pub firewall: String,
}

/// Bounds of the session table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionsConfig {
    /// Sessions at most.
    pub max: u32,
    /// Closed sessions that wait to be collected, at most.
    pub closed_max: usize,
    /// Idle timeout of a TCP session that names none.
    pub tcp_timeout: Duration,
    /// Idle timeout of a UDP session that names none.
    pub udp_timeout: Duration,
    /// Longer timeouts are clamped to this one.
    pub max_timeout: Duration,
}

impl Default for SessionsConfig {
    /// The timeouts are the shortest that a firewall behind which hosts sit may use: some firewalls forget a session
    /// when its device reports a timeout, so a shorter one could cut an idle connection.
    fn default() -> Self {
        Self {
            max: 262_144,
            closed_max: 262_144,
            // RFC 5382, REQ-5: established connections live at least 2 hours 4 minutes.
            tcp_timeout: Duration::from_secs(7_440),
            // RFC 4787, REQ-5: 5 minutes are recommended.
            udp_timeout: Duration::from_secs(300),
            max_timeout: Duration::from_secs(86_400),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// A level, or directives as `tracing` has them: `info,opof_daemon=debug`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
