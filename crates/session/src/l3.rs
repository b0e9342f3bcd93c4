//! The words of routed sessions as types: next hops, address translation, what happens on each link, VLAN flows.
//!
//! Values only, as in `types`. Which of these a device can do is its plane's to say; what is stored is in `engine`.

use core::fmt;
use core::net::IpAddr;
use core::num::{NonZeroU16, NonZeroU32};

pub use opof_wire::Tunnel;
use opof_wire::ethernet::MacAddress;
use opof_wire::{Endpoint, FlowKey, Vid};

use crate::types::Lif;

/// The firewall's number for a next hop. 0 names none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NextHopId(NonZeroU32);

impl NextHopId {
    /// The smallest.
    pub const MIN: Self = Self(NonZeroU32::MIN);
    /// The largest.
    pub const MAX: Self = Self(NonZeroU32::MAX);

    /// `None` for 0.
    pub const fn new(id: u32) -> Option<Self> {
        match NonZeroU32::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number in the API.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for NextHopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A neighbour that packets are sent to. Its MAC addresses replace theirs, and their TTL or hop limit is decremented.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NextHop {
    /// The firewall's number for it.
    pub id: NextHopId,
    /// Which packets it takes.
    pub family: Family,
    /// The device's own address on that link.
    pub source: MacAddress,
    /// The neighbour's address.
    pub destination: MacAddress,
}

/// What takes the place of a packet's address and port. Of a session that is wrapped in a tunnel these are the packet's outermost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Nat {
    /// Of the session's family.
    pub address: IpAddr,
    /// `None` leaves the port as it is.
    pub port: Option<NonZeroU16>,
}

/// What happens to packets on their way out of one interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Link {
    /// Where they are sent; `None` leaves MAC addresses and TTL as they are.
    pub next_hop: Option<NextHopId>,
    /// Takes the place of their source.
    pub snat: Option<Nat>,
    /// Takes the place of their destination.
    pub dnat: Option<Nat>,
    /// Takes the place of their outermost VLAN; a tag is never pushed.
    pub vlan: Option<Vid>,
}

/// What happens on both links of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Links {
    /// To packets that leave by `in_lif`. Addresses and ports are translated back without being told; where NAT is asked for here it
    /// must say just that, except inside of a tunnel.
    pub towards_in: Link,
    /// To packets that leave by `out_lif`.
    pub towards_out: Link,
}

impl From<Nat> for Endpoint {
    fn from(nat: Nat) -> Self {
        Self { address: nat.address, port: nat.port.map(NonZeroU16::get) }
    }
}

impl Links {
    /// True when addresses or ports are other ones on the far side.
    pub const fn translates(&self) -> bool {
        self.towards_out.snat.is_some() || self.towards_out.dnat.is_some()
    }

    /// True when the keys of a session in this tunnel, or in none, are other ones on the far side. Inside of a tunnel the key is the
    /// inner packet's, which NAT leaves alone.
    pub(crate) fn change_keys(&self, tunnel: Tunnel) -> bool {
        tunnel == Tunnel::None && self.translates()
    }

    /// The flow of packets that came in with `flow`, as it is when they leave by `out_lif`. Its VLAN is left alone.
    #[must_use]
    pub fn translate(&self, mut flow: FlowKey) -> FlowKey {
        if let Some(nat) = self.towards_out.snat {
            flow = flow.with_source(&nat.into());
        }
        if let Some(nat) = self.towards_out.dnat {
            flow = flow.with_destination(&nat.into());
        }
        flow
    }

    /// Both, each with the names of its fields.
    pub const fn named(&self) -> [(&'static LinkFields, &Link); 2] {
        [(&LinkFields::TOWARDS_IN, &self.towards_in), (&LinkFields::TOWARDS_OUT, &self.towards_out)]
    }
}

/// What the API calls the fields of a link, for messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkFields {
    /// [`Link::next_hop`].
    pub next_hop: &'static str,
    /// [`Link::snat`].
    pub snat: &'static str,
    /// [`Link::dnat`].
    pub dnat: &'static str,
    /// [`Link::vlan`].
    pub vlan: &'static str,
}

impl LinkFields {
    /// Of [`Links::towards_in`].
    pub const TOWARDS_IN: Self = Self {
        next_hop: "action.actionParams_inLif.nextHopId",
        snat: "action.actionParams_inLif.snat",
        dnat: "action.actionParams_inLif.dnat",
        vlan: "action.actionParams_inLif.vlan",
    };
    /// Of [`Links::towards_out`].
    pub const TOWARDS_OUT: Self = Self {
        next_hop: "action.actionParams_outLif.nextHopId",
        snat: "action.actionParams_outLif.snat",
        dnat: "action.actionParams_outLif.dnat",
        vlan: "action.actionParams_outLif.vlan",
    };
}

/// Where the misses of a VLAN go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VlanFlow {
    /// Tagged.
    pub vlan: Vid,
    /// The interface whose firewall port gets them.
    pub lif: Lif,
}

/// Why a next hop or a VLAN flow was not stored or not found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum L3Error {
    /// No next hop has this number.
    #[error("nextHopId: no next hop {0}")]
    NoNextHop(NextHopId),
    /// No room for another next hop.
    #[error("nextHopId: the device has no room for another next hop")]
    NextHopsFull,
    /// The VLAN has a flow already.
    #[error("vlanId: {vlan} goes to the firewall port of lif {lif} already")]
    VlanFlowExists {
        /// The VLAN.
        vlan: Vid,
        /// Where its misses go.
        lif: Lif,
    },
    /// The VLAN has no flow.
    #[error("vlanId: {0} has no flow")]
    NoVlanFlow(Vid),
    /// An interface that this device does not have.
    #[error("internalLif: no logical interface {0}")]
    UnknownLif(Lif),
    /// Sessions refer to the next hop that it would replace, and their packets are of the other family.
    #[error("ipVersion: next hop {id} is in use by {used_by} sessions")]
    OtherFamily {
        /// The next hop.
        id: NextHopId,
        /// What it takes now.
        used_by: Family,
    },
    /// The data plane could not take it now; it may later.
    #[error("the data plane is unavailable, try again")]
    Unavailable,
    /// Too many requests that close many sessions are under way.
    #[error("the session table is unavailable, try again")]
    Busy,
}
