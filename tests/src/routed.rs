//! Sessions between the subnets of a bench whose firewall is a router, and the next hops that stand for its own routes.

use std::net::IpAddr;
use std::num::NonZeroU16;

use opof_client::Dialect;
use opof_session::l3::{Family, Link, Links, Nat, NextHop, NextHopId};
use opof_session::types::{Action, SessionSpec};
use opof_testkit::netns::{CLIENT_NET, FlowTuple, SERVER_NET, Subnet};
use opof_wire::ethernet::MacAddress;
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

use crate::{Error, Opofd, session};

/// The families of a test that is done once for each.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// The key of a flow's packets from the client.
///
/// # Panics
/// When the addresses are of two families.
pub fn key(flow: &FlowTuple) -> FlowKey {
    let addresses = match (flow.client, flow.server) {
        (IpAddr::V4(client), IpAddr::V4(server)) => {
            Addresses::V4 { source: client.octets(), destination: server.octets() }
        }
        (IpAddr::V6(client), IpAddr::V6(server)) => {
            Addresses::V6 { source: client.octets(), destination: server.octets() }
        }
        _ => panic!("one flow, one family"),
    };
    FlowKey {
        vlan: Vid::UNTAGGED,
        tunnel: Tunnel::None,
        addresses,
        source_port: flow.client_port,
        destination_port: flow.server_port,
        transport: if flow.tcp { Transport::Tcp } else { Transport::Udp },
    }
}

/// From the client to the server of a bench with a router.
pub fn flow(family: Family, tcp: bool, client_port: u16, server_port: u16) -> FlowTuple {
    let is_v4 = family == Family::V4;
    let (client, server) = (CLIENT_NET.host(is_v4), SERVER_NET.host(is_v4));
    FlowTuple { tcp, client, client_port, server, server_port }
}

/// The family of a flow.
pub fn family(flow: &FlowTuple) -> Family {
    if flow.client.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// A translation to this address and port.
pub fn nat(address: IpAddr, port: Option<u16>) -> Nat {
    Nat { address, port: port.and_then(NonZeroU16::new) }
}

/// A session from the client's side to the server's with these links.
pub fn routed(id: u64, key: FlowKey, links: Links) -> SessionSpec {
    SessionSpec { action: Action::Route(Box::new(links)), ..session(id, key) }
}

/// What the firewall's routes are on the device: next hops to the client and to the server, for each family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hops;

impl Hops {
    /// Makes them.
    pub fn set(opofd: &Opofd) -> Result<Self, Error> {
        for family in FAMILIES {
            for (subnet, id) in [(CLIENT_NET, Self::to_client(family)), (SERVER_NET, Self::to_server(family))] {
                opofd.set_next_hop(towards(id, family, &subnet))?;
            }
        }
        Ok(Self)
    }

    /// Forwards by the next hops of its family, translating as told.
    pub fn links(self, family: Family, snat: Option<Nat>, dnat: Option<Nat>) -> Links {
        Links {
            towards_in: Link { next_hop: Some(Self::to_client(family)), ..Link::default() },
            towards_out: Link { next_hop: Some(Self::to_server(family)), snat, dnat, vlan: None },
        }
    }

    /// A session that is routed, and translated as told.
    pub fn offload(
        self,
        opofd: &Opofd,
        id: u64,
        flow: &FlowTuple,
        snat: Option<Nat>,
        dnat: Option<Nat>,
    ) -> Result<(), Error> {
        opofd.add_in(Dialect::V1Beta1, routed(id, key(flow), self.links(family(flow), snat, dnat)))
    }

    fn to_client(family: Family) -> NextHopId {
        Self::id(1, family)
    }

    fn to_server(family: Family) -> NextHopId {
        Self::id(2, family)
    }

    fn id(number: u32, family: Family) -> NextHopId {
        let families = if family == Family::V4 { 40 } else { 60 };
        NextHopId::new(families + number).expect("not 0")
    }
}

/// From the firewall's port to the host behind it.
fn towards(id: NextHopId, family: Family, subnet: &Subnet) -> NextHop {
    NextHop { id, family, source: MacAddress(subnet.gateway_mac), destination: MacAddress(subnet.mac) }
}
