//! Why a plane can't be opened: one line that says what, and what to do.

use std::io;
use std::path::PathBuf;

use opof_session::types::Lif;

use crate::limits::{LIFS, WIRE_PORTS};

/// Why [`crate::XdpPlane::open`] failed. Whatever had been done by then has been undone.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Too few or too many interfaces.
    #[error("{0} logical interfaces: configure 1 to {LIFS}")]
    Lifs(usize),
    /// Too few or too many wire ports.
    #[error("logical interface {lif} has {wires} wire ports: configure 1 to {WIRE_PORTS}")]
    WirePorts {
        /// Which.
        lif: Lif,
        /// How many.
        wires: usize,
    },
    /// Two interfaces with one number.
    #[error("logical interface {0} is configured twice: give each a number of its own")]
    DuplicateLif(Lif),
    /// One port for two purposes.
    #[error("interface {0} is configured twice: each port of each logical interface needs one of its own")]
    DuplicateInterface(String),
    /// No next hops, or more than can be stored.
    #[error("{asked} next hops: configure 1 to {most}")]
    NextHops {
        /// As configured.
        asked: u32,
        /// At most.
        most: u32,
    },
    /// No sessions, or more than slots can number.
    #[error("{asked} sessions: configure 1 to {most}")]
    Sessions {
        /// As configured.
        asked: u32,
        /// At most.
        most: u32,
    },
    /// A firewall behind a tunnel, and nothing that says how tunnels go.
    #[error("the firewall of logical interface {0} is behind a tunnel, and no interface is configured for it")]
    NoUplink(Lif),
    /// The other way round.
    #[error("an interface is configured for tunnels to firewalls, and there is no firewall behind one")]
    NoTunnel,
    /// No answers, or more than time can be told apart for.
    #[error("{asked} answers a second to packets that are too big: configure 1 to {most}")]
    Answers {
        /// As configured.
        asked: u32,
        /// At most.
        most: u32,
    },
    /// The kernel refuses for want of a capability.
    #[error("{what}: permission denied: needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: run as root, or grant them")]
    Permission {
        /// What was tried.
        what: String,
    },
    /// There is no such interface.
    #[error("interface {0}: there is none of this name here: check the name with `ip link`")]
    NoInterface(String),
    /// It is not up.
    #[error("interface {0} is down: bring it up with `ip link set dev {0} up`")]
    Down(String),
    /// The driver takes VLAN tags off frames, and can't be told not to.
    #[error(
        "interface {interface}: its driver takes VLAN tags off received frames ({feature}) and does not stop when \
         asked: try `ethtool -K {interface} rxvlan off`, or use another port"
    )]
    TagsStripped {
        /// Its name.
        interface: String,
        /// The kernel's name of the feature.
        feature: &'static str,
    },
    /// Somebody else's program is attached.
    #[error("interface {0} has another XDP program: take it off with `ip link set dev {0} xdp off`, or stop its owner")]
    Occupied(String),
    /// The driver or the kernel refuses the program.
    #[error("interface {interface}: can't attach in {mode} mode ({source}): {hint}")]
    Attach {
        /// Its name.
        interface: String,
        /// `native` or `generic`.
        mode: &'static str,
        /// What the kernel said.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// Every frame that is redirected there in native mode would be lost.
    #[error(
        "interface {0}: its driver does not send what native XDP redirects to it: use generic mode; if it is a veth, switch \
         GRO on at its other end while that is up (`ethtool -K PEER gro on`)"
    )]
    NoRedirect(String),
    /// Another process has a plane with this directory.
    #[error("{0} is in use by another process: stop it, or configure another pin directory")]
    InUse(PathBuf),
    /// The directory is not on a BPF file system.
    #[error("{0} is not on a BPF file system: mount one (`mount -t bpf bpf /sys/fs/bpf`) and choose a directory in it")]
    NotBpffs(PathBuf),
    /// The directory can't be used.
    #[error("pin directory {path}: {source}: check that it may be written")]
    PinDirectory {
        /// The directory, or what in it.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The programs or maps were refused.
    #[error("the kernel refused the BPF object ({0}): it needs Linux 5.18 or newer, and memory for the session table")]
    Load(String),
    /// Another system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl OpenError {
    /// A failed system call, with a missing capability told apart.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let what = what.into();
            match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => Self::Permission { what },
                _ => Self::System { what, source },
            }
        }
    }
}
