//! The configuration as the rest of the daemon sees it: checked, complete, without places.

mod ha;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use opof_api::Profile;
use opof_session::request::SameTuple;
use opof_session::types::Lif;
use opof_wire::geneve::OptionId;

pub use self::ha::{HaConfig, HaElection, HaPeer, HaTls};
use crate::access::Role;
use crate::limits;

/// Everything that can be set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listeners: Vec<Listener>,
    /// What forwards the packets.
    pub data_plane: DataPlaneConfig,
    /// The logical interfaces, in the order of the configuration; at least one.
    pub lifs: Vec<LifConfig>,
    /// Where sessions may copy to; `None`: on network interfaces they may not.
    pub copies: Option<TunnelConfig>,
    /// How firewalls behind tunnels are reached; on network interfaces where there is one, and not otherwise.
    pub uplink: Option<UplinkConfig>,
    /// Bounds of the session table.
    pub sessions: SessionsConfig,
    /// How this device and another one are a pair; `None`: it is alone.
    pub ha: Option<HaConfig>,
    /// Clients that are known by their certificate.
    pub clients: Vec<KnownClient>,
    /// What one client may take of the daemon.
    pub limits: ClientLimits,
    /// The threads that serve clients; 1: they and the session table share it.
    pub threads: NonZeroUsize,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// Where clients connect.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Address {
    /// Port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

impl Address {
    /// True when nobody outside of this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What the packets of tunnels have in common: of those to collectors, or of those to firewalls and back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunnelConfig {
    /// The network interface that they take.
    pub interface: String,
    /// GENEVE virtual network identifier.
    pub vni: u32,
    /// What their option is called.
    pub option: OptionId,
}

/// How firewalls behind tunnels are reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UplinkConfig {
    /// What goes there and comes back.
    pub tunnel: TunnelConfig,
    /// How many answers to packets that do not fit are given in a second.
    pub answers: u32,
}

/// One address that clients connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Where.
    pub address: Address,
    /// Permissions of a Unix socket.
    pub mode: u32,
    /// How the connection is protected.
    pub security: Security,
    /// The role of clients that no [`KnownClient`] names; `None` refuses them.
    pub role: Option<Role>,
    /// May firewalls and operators end the daemon by a call?
    pub shutdown: bool,
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
        /// Clients must have a certificate that one of these authorities has signed.
        client_ca: Option<PathBuf>,
        /// The oldest version of TLS that is spoken.
        min_version: TlsVersion,
    },
    /// TLS with a certificate for `localhost` that the daemon makes and keeps.
    SelfSigned,
    /// None.
    Plaintext,
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    #[default]
    V1_3,
}

/// A client that is known by its certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownClient {
    /// A DNS name or URI among the certificate's alternative names, or the common name of a certificate that has none.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// What one client may take of the daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLimits {
    /// Open connections of one listener. When there are that many, the oldest that has not made a call yet goes.
    pub connections: u32,
    /// Calls that one connection may have open.
    pub streams: u32,
    /// Bytes of one request message.
    pub message_bytes: u32,
    /// Sessions in one addSession stream.
    pub stream_sessions: u32,
    /// Calls and sessions of one client in a second.
    pub rate: u32,
    /// How long a new connection may take until its first call, TLS included.
    pub header_timeout: Duration,
    /// How long a connection may be without a byte. A live one answers pings.
    pub idle_timeout: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            streams: 128,
            // The largest message that means anything is below 300 bytes.
            message_bytes: 16 << 10,
            // Four times what the table holds by default: a stream of more is not one of sessions to offload.
            stream_sessions: 1 << 20,
            // Twice what one connection was measured to bring through on two cores: in the way of nobody who means well.
            rate: 2_000_000,
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
        }
    }
}

/// Where closed sessions are stored until they are collected.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum ClosedLogConfig {
    /// With XDP in a file in the daemon's state folder, else in memory.
    #[default]
    Default,
    /// Nowhere: they go with the daemon.
    Memory,
    /// In this file.
    File(PathBuf),
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
        /// What becomes of them at an orderly stop.
        at_stop: AtStop,
    },
}

/// Where maps and links are kept unless something else is said.
pub const PIN_DIR: &str = "/sys/fs/bpf/opof";

/// What an orderly stop leaves of the data plane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AtStop {
    /// Everything: sessions go on being forwarded, and the next start goes on with them.
    #[default]
    Keep,
    /// Nothing: the ports are plain interfaces again.
    Remove,
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

/// Which of a LIF's wire ports carries what leaves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BondMode {
    /// The first whose link is up.
    #[default]
    ActiveStandby,
    /// All whose link is up, each flow on one.
    Balance,
}

/// A logical interface and its ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LifConfig {
    /// Its number in the API.
    pub id: Lif,
    /// The interfaces towards the network, at least one. Names without meaning in the simulated plane, which has one wire
    /// port a LIF.
    pub wire: Vec<String>,
    /// How several of them are used.
    pub bond: BondMode,
    /// Where the firewall is. Without meaning in the simulated plane.
    pub firewall: FirewallConfig,
}

/// Where the firewall of a LIF is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FirewallConfig {
    /// Behind this network interface.
    Interface(String),
    /// At the far end of a GENEVE tunnel, at this address. LIFs may have the same.
    Tunnel(IpAddr),
}

/// Bounds of the session table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionsConfig {
    /// Sessions at most.
    pub max: u32,
    /// Closed sessions that wait to be collected, at most.
    pub closed_max: usize,
    /// Where closed sessions are stored until they are collected.
    pub closed_log: ClosedLogConfig,
    /// Next hops at most.
    pub next_hops_max: u32,
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
            closed_log: ClosedLogConfig::Default,
            next_hops_max: 262_144,
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
