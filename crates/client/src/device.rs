//! The device itself, as an operator wants to see it.

use std::time::Duration;

use opof_api::device;
use opof_session::engine::Statistics;

/// A device as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// The daemon's version.
    pub version: String,
    /// The kind of data plane: `xdp` or `sim`.
    pub data_plane: String,
    /// Since the daemon was started.
    pub uptime: Duration,
    /// The session table.
    pub statistics: Statistics,
    /// For each LIF its wire ports, then its firewall port; then the uplink, where a firewall is behind a tunnel.
    pub ports: Vec<Port>,
    /// What does not work as it should, the oldest first.
    pub faults: Vec<Fault>,
}

/// A part of the device that does not work as it should, while the device goes on as far as it can.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which part, such as `closed log`.
    pub part: String,
    /// One line for people.
    pub why: String,
    /// How long it has been so.
    pub age: Duration,
}

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PortRole {
    /// Towards the network.
    Wire,
    /// Towards the firewall.
    Firewall,
    /// Towards firewalls behind tunnels, for all LIFs together.
    Uplink,
    /// Something that this version does not know.
    Unknown,
}

impl PortRole {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Firewall => "firewall",
            Self::Uplink => "uplink",
            Self::Unknown => "unknown",
        }
    }
}

/// One port, and what came in on it. On the uplink these are the packets of firewalls to the port of tunnels, on the port of a
/// firewall behind a tunnel what was in them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// The logical interface it belongs to; 0: none, of the uplink.
    pub lif: u32,
    /// Its part in it.
    pub role: PortRole,
    /// The interface's name; of a firewall behind a tunnel, its address.
    pub name: String,
    /// How frames are received: `native`, `generic`, `simulated`, or `tunnel` of a firewall behind one: by the uplink.
    pub mode: String,
    /// Everything that came in.
    pub received: Tally,
    /// Sent out of a wire port by the fast path.
    pub forwarded: Tally,
    /// Dropped, as its session asks.
    pub dropped: Tally,
    /// Handed to the firewall, by reason; reasons that never occurred may be missing.
    pub slow_path: Vec<SlowPathTally>,
    /// Of those forwarded, copied to a collector.
    pub copied: Tally,
    /// Of those forwarded, to be copied to a collector, which was not possible.
    pub copies_lost: Tally,
    /// Too large for the tunnel to the firewall, and answered with the size that fits.
    pub too_big_answered: Tally,
    /// Too large for the tunnel to the firewall, and lost: its sender is not to be told, or enough have been told just then.
    pub too_big_dropped: Tally,
    /// Lost, because there was no way to the firewall.
    pub unreachable: Tally,
    /// Of the uplink: from a firewall, not taken as a packet of its tunnel and left to the host, by reason; reasons that never
    /// occurred may be missing.
    pub refused: Vec<RefusedTally>,
}

/// Frames that were handed to the firewall for one reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlowPathTally {
    /// The reason in snake case, such as `miss`.
    pub reason: String,
    /// How much.
    pub tally: Tally,
}

/// Packets that were not taken as those of a tunnel for one reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedTally {
    /// The reason in snake case, such as `vni`.
    pub reason: String,
    /// How much.
    pub tally: Tally,
}

/// Frames and their bytes, whole L2 frames without FCS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Device {
    pub(crate) fn from_message(response: device::GetDeviceResponse) -> Self {
        Self {
            version: response.version,
            data_plane: response.data_plane,
            uptime: duration(response.uptime),
            statistics: response.statistics.unwrap_or_default().into(),
            ports: response.ports.into_iter().map(Port::from_message).collect(),
            faults: response.faults.into_iter().map(Fault::from_message).collect(),
        }
    }
}

impl Fault {
    fn from_message(fault: device::Fault) -> Self {
        Self { part: fault.part, why: fault.why, age: duration(fault.age) }
    }
}

fn duration(duration: Option<impl TryInto<Duration>>) -> Duration {
    duration.and_then(|duration| duration.try_into().ok()).unwrap_or_default()
}

impl Port {
    fn from_message(port: device::Port) -> Self {
        let role = match port.role() {
            device::PortRole::Wire => PortRole::Wire,
            device::PortRole::Firewall => PortRole::Firewall,
            device::PortRole::Uplink => PortRole::Uplink,
            device::PortRole::Unspecified => PortRole::Unknown,
        };
        let counters = port.counters.unwrap_or_default();
        let slow_path = counters
            .slow_path
            .into_iter()
            .map(|slow_path| SlowPathTally { reason: slow_path.reason, tally: Tally::from_message(slow_path.tally) });
        let refused = counters
            .refused
            .into_iter()
            .map(|refused| RefusedTally { reason: refused.reason, tally: Tally::from_message(refused.tally) });
        Self {
            lif: port.lif,
            role,
            name: port.name,
            mode: port.mode,
            received: Tally::from_message(counters.received),
            forwarded: Tally::from_message(counters.forwarded),
            dropped: Tally::from_message(counters.dropped),
            slow_path: slow_path.collect(),
            copied: Tally::from_message(counters.copied),
            copies_lost: Tally::from_message(counters.copies_lost),
            too_big_answered: Tally::from_message(counters.too_big_answered),
            too_big_dropped: Tally::from_message(counters.too_big_dropped),
            unreachable: Tally::from_message(counters.unreachable),
            refused: refused.collect(),
        }
    }
}

impl Tally {
    fn from_message(tally: Option<device::Tally>) -> Self {
        let device::Tally { packets, bytes } = tally.unwrap_or_default();
        Self { packets, bytes }
    }
}
