//! The cases of the story: a protocol over an address family, tagged or not.

use std::net::IpAddr;

use opof_testkit::netns::{CLIENT, FlowTuple, SERVER, VLAN};
use opof_tests::iperf::SERVER_PORT;
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

/// One of them. The addresses are those of the bench.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    pub name: &'static str,
    pub tcp: bool,
    pub vlan: bool,
    addresses: (IpAddr, IpAddr),
}

impl Case {
    /// All of them, in the order of the story.
    pub(crate) fn all() -> Vec<Self> {
        let plain = (CLIENT.ipv4.into(), SERVER.ipv4.into());
        let plain_ipv6 = (CLIENT.ipv6.into(), SERVER.ipv6.into());
        let tagged = (CLIENT.tagged.into(), SERVER.tagged.into());
        let tagged_ipv6 = (CLIENT.tagged_ipv6.into(), SERVER.tagged_ipv6.into());
        let case = |name, tcp, vlan, addresses| Self { name, tcp, vlan, addresses };
        vec![
            case("TCP, IPv4", true, false, plain),
            case("UDP, IPv4", false, false, plain),
            case("TCP, IPv6", true, false, plain_ipv6),
            case("UDP, IPv6", false, false, plain_ipv6),
            case("TCP, IPv4, VLAN", true, true, tagged),
            case("UDP, IPv4, VLAN", false, true, tagged),
            case("TCP, IPv6, VLAN", true, true, tagged_ipv6),
            case("UDP, IPv6, VLAN", false, true, tagged_ipv6),
        ]
    }

    /// The client's address.
    pub(crate) fn client(&self) -> IpAddr {
        self.addresses.0
    }

    /// The key of its packets to the server, from `client_port`.
    pub(crate) fn key(&self, client_port: u16) -> FlowKey {
        let addresses = match self.addresses {
            (IpAddr::V4(client), IpAddr::V4(server)) => {
                Addresses::V4 { source: client.octets(), destination: server.octets() }
            }
            (IpAddr::V6(client), IpAddr::V6(server)) => {
                Addresses::V6 { source: client.octets(), destination: server.octets() }
            }
            _ => unreachable!("both addresses of a case are of one family"),
        };
        FlowKey {
            vlan: if self.vlan { Vid::new(VLAN).expect("the bench's VLAN is a valid one") } else { Vid::UNTAGGED },
            tunnel: Tunnel::None,
            addresses,
            source_port: client_port,
            destination_port: SERVER_PORT,
            transport: if self.tcp { Transport::Tcp } else { Transport::Udp },
        }
    }

    /// Its flow, from `client_port`.
    pub(crate) fn flow(&self, client_port: u16) -> FlowTuple {
        let (client, server) = self.addresses;
        FlowTuple { tcp: self.tcp, client, client_port, server, server_port: SERVER_PORT }
    }
}
