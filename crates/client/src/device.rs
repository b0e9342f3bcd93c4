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
    /// For each LIF its wire ports, then its firewall port.
    pub ports: Vec<Port>,
}

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PortRole {
    /// Towards the network.
    Wire,
    /// Towards the firewall.
    Firewall,
    /// Something that this version does not know.
    Unknown,
}

impl PortRole {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Firewall => "firewall",
            Self::Unknown => "unknown",
        }
    }
}

/// One port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// The logical interface it belongs to.
    pub lif: u32,
    /// Its part in it.
    pub role: PortRole,
    /// The interface's name.
    pub name: String,
    /// How frames are received: `native`, `generic` or `simulated`.
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
}

/// Frames that were handed to the firewall for one reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlowPathTally {
    /// The reason in snake case, such as `miss`.
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
        let uptime = response.uptime.and_then(|uptime| Duration::try_from(uptime).ok());
        Self {
            version: response.version,
            data_plane: response.data_plane,
            uptime: uptime.unwrap_or_default(),
            statistics: response.statistics.unwrap_or_default().into(),
            ports: response.ports.into_iter().map(Port::from_message).collect(),
        }
    }
}

impl Port {
    fn from_message(port: device::Port) -> Self {
        let role = match port.role() {
            device::PortRole::Wire => PortRole::Wire,
            device::PortRole::Firewall => PortRole::Firewall,
            device::PortRole::Unspecified => PortRole::Unknown,
        };
        let counters = port.counters.unwrap_or_default();
        let slow_path = counters
            .slow_path
            .into_iter()
            .map(|slow_path| SlowPathTally { reason: slow_path.reason, tally: Tally::from_message(slow_path.tally) });
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
        }
    }
}

impl Tally {
    fn from_message(tally: Option<device::Tally>) -> Self {
        let device::Tally { packets, bytes } = tally.unwrap_or_default();
        Self { packets, bytes }
    }
}
