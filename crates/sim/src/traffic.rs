//! The sessions that firewalls ask for, and the packets of them.
//!
//! A few numbers and a few ports in all the forms that a session can have, so that they meet in every way.

use std::num::NonZeroU16;

use opof_dataplane::Dice;
use opof_session::l3::{Family, Link, Links, Nat, NextHop, NextHopId};
use opof_session::types::{Action, Direction, Lif, SessionId, SessionSpec};
use opof_testkit::packet::Packet;
use opof_wire::ethernet::MacAddress;
use opof_wire::tcp::Flags;
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

use crate::limits::{PORTS, TIMEOUT};

/// What a session is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// From one interface to another.
    Across,
    /// The same, TCP over IPv6.
    V6,
    /// The same within VLANs that differ.
    Tagged,
    /// Its packets are discarded.
    Dropped,
    /// With a next hop.
    Routed,
    /// With another source; several ports share one outside.
    Translated,
    /// Out by the interface that it came in on.
    OneArmed,
    /// The answer to a one-armed session as a session of its own: it has the same two keys, crossed.
    Answer,
    /// Of a LIF that the device has not.
    Elsewhere,
}

const KINDS: [Kind; 9] = [
    Kind::Across,
    Kind::V6,
    Kind::Tagged,
    Kind::Dropped,
    Kind::Routed,
    Kind::Translated,
    Kind::OneArmed,
    Kind::Answer,
    Kind::Elsewhere,
];

/// The interfaces of the device.
///
/// # Panics
/// Never: these are numbers of interfaces.
pub fn lifs() -> Vec<Lif> {
    [1, 2].map(lif).to_vec()
}

fn lif(number: u16) -> Lif {
    Lif::new(number).expect("not 0")
}

/// One kind of those there are.
pub fn kind(dice: &mut Dice) -> Kind {
    KINDS[dice.below(KINDS.len())]
}

/// Some port.
pub fn port(dice: &mut Dice) -> u16 {
    1 + below_u16(dice, PORTS)
}

fn below_u16(dice: &mut Dice, bound: u16) -> u16 {
    u16::try_from(dice.below_u32(bound.into())).expect("less than the bound")
}

/// The timeout of a session with this number, in seconds: always the same, so that a record can be judged by itself.
pub fn timeout(id: SessionId) -> u32 {
    let spread = u32::try_from(id.0 % 8).expect("less than 8");
    TIMEOUT - spread
}

impl Kind {
    /// A session of this kind.
    pub fn session(self, id: u64, port: u16) -> SessionSpec {
        let id = SessionId(id);
        let (source_port, destination_port, vlan) = (port, 53, Vid::UNTAGGED);
        let v4 = Addresses::V4 { source: [10, 0, 0, 1], destination: [10, 1, 0, 3] };
        let (addresses, transport) = match self {
            Self::V6 => (Addresses::V6 { source: [0xFD; 16], destination: [0xFC; 16] }, Transport::Tcp),
            _ => (v4, Transport::Udp),
        };
        let flow = FlowKey { vlan, tunnel: Tunnel::None, addresses, source_port, destination_port, transport };
        let spec = SessionSpec {
            id,
            in_lif: lif(1),
            out_lif: lif(2),
            flow,
            out_vlan: Vid::UNTAGGED,
            action: Action::Forward,
            timeout_seconds: timeout(id),
        };
        let routed = |towards_out| Action::Route(Box::new(Links { towards_out, ..Links::default() }));
        match self {
            Self::Across | Self::V6 => spec,
            Self::Tagged => {
                let vid = |number| Vid::new(number).expect("below 4095");
                SessionSpec { flow: FlowKey { vlan: vid(7), ..flow }, out_vlan: vid(8), ..spec }
            }
            Self::Dropped => SessionSpec { action: Action::Drop, ..spec },
            Self::Routed => {
                SessionSpec { action: routed(Link { next_hop: Some(next_hop(port).id), ..Link::default() }), ..spec }
            }
            Self::Translated => {
                let snat = Nat { address: [192, 0, 2, 1].into(), port: NonZeroU16::new(1 + port % 3) };
                SessionSpec { action: routed(Link { snat: Some(snat), ..Link::default() }), ..spec }
            }
            Self::OneArmed => SessionSpec { out_lif: spec.in_lif, ..spec },
            Self::Answer => SessionSpec { out_lif: spec.in_lif, flow: flow.reversed(), ..spec },
            Self::Elsewhere => SessionSpec { out_lif: lif(9), ..spec },
        }
    }
}

/// One of two next hops for IPv4.
pub fn next_hop(number: u16) -> NextHop {
    let id = NextHopId::new(1 + u32::from(number % 2)).expect("not 0");
    let last = number.to_be_bytes()[1] % 2;
    let (source, destination) = (MacAddress([2, 0, 0, 0, 0, 9]), MacAddress([2, 0, 0, 0, 0, last]));
    NextHop { id, family: Family::V4, source, destination }
}

/// A packet of a session's direction; `control` gives it a flag that belongs to the firewall, where it is TCP.
pub fn frame(spec: &SessionSpec, direction: Direction, control: Option<Flags>, payload: usize) -> Vec<u8> {
    let key = spec.match_key(direction).flow;
    let packet = Packet::with_key(&key).payload(&vec![0xA5; payload]);
    let flags = control.filter(|_| key.transport == Transport::Tcp);
    flags.map_or(packet.clone(), |flags| packet.flags(flags)).build()
}
