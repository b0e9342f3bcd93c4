//! Which interface, source address and MAC addresses a packet to an IP address takes: the kernel's routes and neighbours,
//! asked by rtnetlink (rtnetlink(7)).
//!
//! What lives here: the questions and how the answers are read. What must not: what is sent there, and when to ask again.
//! Routes and neighbours change; whoever keeps a [`Path`] has to ask again from time to time. Asking is also what keeps a
//! neighbour known: frames that XDP sends are not seen by the kernel, which would forget it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use opof_wire::ethernet::MacAddress;

use crate::netlink::{self, ACKNOWLEDGE, CREATE, Request, Socket, find, invalid, word_at};

/// <linux/rtnetlink.h>: requests.
const GET_LINK: u16 = 18;
const NEW_NEIGHBOUR: u16 = 28;
const GET_NEIGHBOUR: u16 = 30;
const GET_ROUTE: u16 = 26;

/// `struct rtmsg`, its attributes, those within `RTA_METRICS`, and the types of routes.
const ROUTE_HEADER: usize = 12;
const ROUTE_TYPE: usize = 7;
const ROUTE_DESTINATION: u16 = 1;
const ROUTE_INTERFACE: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;
const ROUTE_SOURCE: u16 = 7;
const ROUTE_METRICS: u16 = 8;
const ROUTE_VIA: u16 = 18;
const METRIC_MTU: u16 = 2;
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
/// Broadcast, anycast, multicast.
const TO_MANY: [u8; 3] = [3, 4, 5];

/// `struct ndmsg` in <linux/neighbour.h>, its attributes and states, and the flag that asks for use.
const NEIGHBOUR_HEADER: usize = 12;
const NEIGHBOUR_STATE: usize = 8;
const NEIGHBOUR_DESTINATION: u16 = 1;
const NEIGHBOUR_ADDRESS: u16 = 2;
const USE: u8 = 0x01;
const REACHABLE: u16 = 0x02;
const STALE: u16 = 0x04;
const DELAY: u16 = 0x08;
const PROBE: u16 = 0x10;
const NO_ARP: u16 = 0x40;
const PERMANENT: u16 = 0x80;
/// As the kernel's `NUD_VALID`: it would send a packet there.
const SENDING: u16 = REACHABLE | STALE | DELAY | PROBE | NO_ARP | PERMANENT;

/// `struct ifinfomsg` in <linux/rtnetlink.h>, attributes in <linux/if_link.h>, types in <linux/if_arp.h>.
const LINK_HEADER: usize = 16;
const LINK_TYPE: usize = 2;
const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_FILTER: u16 = 29;
const SKIP_STATISTICS: u32 = 8;
const ETHERNET: u16 = 1;

/// How a packet gets to an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path {
    /// Index of the interface that it leaves by.
    pub interface: u32,
    /// The address that this machine takes for its own there, of the destination's family.
    pub source: IpAddr,
    /// The interface's link address.
    pub source_mac: MacAddress,
    /// The next hop's.
    pub destination_mac: MacAddress,
    /// The largest IP packet that goes this way, in bytes: the interface's MTU, or the route's (path MTU discovery included)
    /// when that is smaller.
    pub mtu: u32,
}

/// Why there is no [`Path`] to an address, now.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The kernel knows no way there.
    #[error("no route to {to} ({source}): add one, or check the address")]
    NoRoute {
        /// The address.
        to: IpAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is this machine's own.
    #[error("{to} is an address of this machine: nothing is sent there over a wire")]
    Local {
        /// The address.
        to: IpAddr,
    },
    /// It is no single host's: broadcast, multicast, anycast, unspecified; or link-local, which names none without an
    /// interface.
    #[error("{to} is not the address of a single host: use a unicast address that is not link-local")]
    NotUnicast {
        /// The address.
        to: IpAddr,
    },
    /// The interface has no address of the family.
    #[error("no source address for packets to {to}: give the interface an address")]
    NoSource {
        /// The address.
        to: IpAddr,
    },
    /// The next hop's link address is not known. The kernel has been told to ask for it; try again in a moment. When this
    /// stays, the next hop does not answer.
    #[error("{next_hop} on {interface} has not answered yet, so that its MAC address is not known")]
    NoNeighbour {
        /// The gateway, or the address itself.
        next_hop: IpAddr,
        /// Name of the interface.
        interface: String,
    },
    /// There are no MAC addresses on the interface.
    #[error("{to} is behind {interface}, which is no Ethernet: choose an address that is")]
    NoHardwareAddress {
        /// The address.
        to: IpAddr,
        /// Name of the interface.
        interface: String,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Unreachable {
    fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what: what.into(), source }
    }
}

/// Asks the kernel. No call waits for the network.
#[derive(Debug)]
pub struct Resolver {
    socket: Socket,
}

impl Resolver {
    /// For the network namespace that the calling thread is in; it stays that one, wherever the resolver is used.
    pub fn new() -> io::Result<Self> {
        Ok(Self { socket: Socket::open(None)? })
    }

    /// How a packet to `to` would go now.
    ///
    /// When the next hop's link address is not known, the kernel is told to find it out, and when it has not been confirmed
    /// for a while, to confirm it; both need CAP_NET_ADMIN.
    pub fn resolve(&mut self, to: IpAddr) -> Result<Path, Unreachable> {
        if !is_single_host(to) {
            return Err(Unreachable::NotUnicast { to });
        }
        let route = self.route(to)?;
        let link = self.link(route.interface)?;
        let Some(source_mac) = link.address else {
            return Err(Unreachable::NoHardwareAddress { to, interface: link.name });
        };
        let source = route.source.ok_or(Unreachable::NoSource { to })?;
        let next_hop = route.gateway.unwrap_or(to);
        let neighbour = self.neighbour(next_hop, route.interface)?;
        if neighbour.is_none_or(|known| !known.is_valid() || known.state & STALE != 0) {
            self.use_neighbour(next_hop, route.interface)?;
        }
        let Some(neighbour) = neighbour.filter(Neighbour::is_valid) else {
            return Err(Unreachable::NoNeighbour { next_hop, interface: link.name });
        };
        let Some(destination_mac) = neighbour.address else {
            return Err(Unreachable::NoHardwareAddress { to, interface: link.name });
        };
        let mtu = route.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu));
        Ok(Path { interface: route.interface, source, source_mac, destination_mac, mtu })
    }

    fn route(&mut self, to: IpAddr) -> Result<Route, Unreachable> {
        let mut header = [0; ROUTE_HEADER];
        let address = octets(to);
        (header[0], header[1]) = (family(to), if to.is_ipv4() { 32 } else { 128 });
        let request = Request::new(GET_ROUTE, 0, &header).attribute(ROUTE_DESTINATION, &address);
        let answer = self.socket.ask(request).map_err(|source| match source.raw_os_error() {
            // No route; and routes that say so: unreachable, prohibit, blackhole.
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL) => {
                Unreachable::NoRoute { to, source }
            }
            _ => Unreachable::System { what: format!("ask for the route to {to}"), source },
        })?;
        let route = Route::read(&answer).map_err(Unreachable::system(format!("read the route to {to}")))?;
        match route.kind {
            UNICAST => Ok(route),
            LOCAL => Err(Unreachable::Local { to }),
            kind if TO_MANY.contains(&kind) => Err(Unreachable::NotUnicast { to }),
            _ => Err(Unreachable::NoRoute { to, source: io::Error::from_raw_os_error(libc::EHOSTUNREACH) }),
        }
    }

    fn link(&mut self, interface: u32) -> Result<Link, Unreachable> {
        let mut header = [0; LINK_HEADER];
        header[4..8].copy_from_slice(&interface.to_ne_bytes());
        let request = Request::new(GET_LINK, 0, &header).attribute(LINK_FILTER, &SKIP_STATISTICS.to_ne_bytes());
        let answer = self.socket.ask(request);
        let what = || format!("ask for interface {interface}");
        answer.and_then(|answer| Link::read(&answer)).map_err(|source| Unreachable::System { what: what(), source })
    }

    /// `None` when the kernel has no entry.
    fn neighbour(&mut self, address: IpAddr, interface: u32) -> Result<Option<Neighbour>, Unreachable> {
        let request = Request::new(GET_NEIGHBOUR, 0, &neighbour_header(address, interface, 0))
            .attribute(NEIGHBOUR_DESTINATION, &octets(address));
        let answer = match self.socket.ask(request) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            answer => answer.and_then(|answer| Neighbour::read(&answer)),
        };
        answer.map(Some).map_err(Unreachable::system(format!("ask for neighbour {address}")))
    }

    /// Has the kernel do what it does when it sends a packet there: make an entry, find the address out, confirm it.
    fn use_neighbour(&mut self, address: IpAddr, interface: u32) -> Result<(), Unreachable> {
        let header = neighbour_header(address, interface, USE);
        let request = Request::new(NEW_NEIGHBOUR, CREATE | ACKNOWLEDGE, &header)
            .attribute(NEIGHBOUR_DESTINATION, &octets(address));
        self.socket.ask(request).map_err(Unreachable::system(format!("have neighbour {address} asked for")))?;
        Ok(())
    }
}

/// What of a route counts here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Route {
    kind: u8,
    interface: u32,
    source: Option<IpAddr>,
    gateway: Option<IpAddr>,
    mtu: Option<u32>,
}

impl Route {
    fn read(answer: &[u8]) -> io::Result<Self> {
        let kind = *answer.get(ROUTE_TYPE).ok_or_else(invalid)?;
        let attributes = answer.get(ROUTE_HEADER..).ok_or_else(invalid)?;
        let address_of = |kind| find(attributes, kind)?.map(address).transpose();
        let gateway = match find(attributes, ROUTE_VIA)? {
            // A gateway of the other family: that comes first, then its address.
            Some(via) => Some(address(via.get(2..).ok_or_else(invalid)?)?),
            None => address_of(ROUTE_GATEWAY)?,
        };
        let metrics = find(attributes, ROUTE_METRICS)?.unwrap_or_default();
        let mtu = find(metrics, METRIC_MTU)?.map(|mtu| word_at(mtu, 0)).transpose()?;
        // Only routes that lead nowhere have none, and those are told by their type.
        let interface = find(attributes, ROUTE_INTERFACE)?.map_or(Ok(0), |index| word_at(index, 0))?;
        Ok(Self { kind, interface, source: address_of(ROUTE_SOURCE)?, gateway, mtu })
    }
}

/// What of an interface counts here.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Link {
    name: String,
    /// `None` when it is no Ethernet.
    address: Option<MacAddress>,
    mtu: u32,
}

impl Link {
    fn read(answer: &[u8]) -> io::Result<Self> {
        let kind = netlink::half_at(answer, LINK_TYPE)?;
        let attributes = answer.get(LINK_HEADER..).ok_or_else(invalid)?;
        let name = find(attributes, LINK_NAME)?.ok_or_else(invalid)?;
        let name = name.strip_suffix(&[0]).unwrap_or(name);
        let address = find(attributes, LINK_ADDRESS)?.and_then(mac).filter(|_| kind == ETHERNET);
        let mtu = word_at(find(attributes, LINK_MTU)?.ok_or_else(invalid)?, 0)?;
        Ok(Self { name: String::from_utf8_lossy(name).into_owned(), address, mtu })
    }
}

/// What of a neighbour counts here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Neighbour {
    state: u16,
    address: Option<MacAddress>,
}

impl Neighbour {
    fn read(answer: &[u8]) -> io::Result<Self> {
        let state = netlink::half_at(answer, NEIGHBOUR_STATE)?;
        let attributes = answer.get(NEIGHBOUR_HEADER..).ok_or_else(invalid)?;
        Ok(Self { state, address: find(attributes, NEIGHBOUR_ADDRESS)?.and_then(mac) })
    }

    fn is_valid(&self) -> bool {
        self.state & SENDING != 0
    }
}

fn neighbour_header(address: IpAddr, interface: u32, flags: u8) -> [u8; NEIGHBOUR_HEADER] {
    let mut header = [0; NEIGHBOUR_HEADER];
    header[0] = family(address);
    header[4..8].copy_from_slice(&interface.to_ne_bytes());
    header[10] = flags;
    header
}

/// False for what by its form names many hosts, none, or none without an interface: fe80::/10 (RFC 4291, 2.5.6) and
/// 169.254.0.0/16 (RFC 3927). Broadcasts of a subnet are the kernel's to tell.
fn is_single_host(address: IpAddr) -> bool {
    let is_scoped_or_broadcast = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !is_scoped_or_broadcast && !address.is_multicast() && !address.is_unspecified()
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).expect("2 or 10")
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An address as the kernel gives it; its length says of which family it is.
fn address(bytes: &[u8]) -> io::Result<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes).map_err(|_| invalid())?;
    Ok(Ipv6Addr::from(octets).into())
}

/// `None` for a link address of another length.
fn mac(bytes: &[u8]) -> Option<MacAddress> {
    bytes.try_into().map(MacAddress).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn route(attributes: &[Vec<u8>]) -> Vec<u8> {
        [&[2, 32, 0, 0, 254, 0, 0, UNICAST, 0, 2, 0, 0][..], &attributes.concat()].concat()
    }

    #[test]
    fn routes_of_literal_bytes() {
        let interface = attribute(4, &7_u32.to_ne_bytes());
        let source = attribute(7, &[10, 9, 0, 1]);
        let direct =
            Route { kind: UNICAST, interface: 7, source: Some([10, 9, 0, 1].into()), gateway: None, mtu: None };
        let read = |more: &[Vec<u8>]| {
            Route::read(&route(&[&[attribute(1, &[192, 0, 2, 1]), interface.clone(), source.clone()], more].concat()))
        };
        assert_eq!(read(&[]).unwrap(), direct);
        let gateway = Some(IpAddr::from([10, 9, 0, 2]));
        assert_eq!(read(&[attribute(5, &[10, 9, 0, 2])]).unwrap(), Route { gateway, ..direct });
        let via = [&10_u16.to_ne_bytes()[..], &Ipv6Addr::LOCALHOST.octets()].concat();
        let gateway = Some(Ipv6Addr::LOCALHOST.into());
        assert_eq!(read(&[attribute(18, &via)]).unwrap(), Route { gateway, ..direct });
        let metrics = [attribute(1, &[9; 4]), attribute(2, &1300_u32.to_ne_bytes())].concat();
        assert_eq!(read(&[attribute(8 | 0x8000, &metrics)]).unwrap(), Route { mtu: Some(1300), ..direct });

        assert!(read(&[attribute(5, &[10, 9, 0])]).is_err(), "an address of three bytes");
        assert!(read(&[attribute(18, &[10])]).is_err(), "a family of one byte");
        assert!(read(&[attribute(8, &attribute(2, &[0; 3]))]).is_err(), "a number of three bytes");
        assert!(Route::read(&[2; ROUTE_HEADER - 1]).is_err());
    }

    #[test]
    fn links_of_literal_bytes() {
        let link = |kind: u16, address: &[u8]| {
            let mut bytes = vec![0; LINK_HEADER];
            bytes[2..4].copy_from_slice(&kind.to_ne_bytes());
            bytes.extend([attribute(3, b"eth0\0"), attribute(4, &1400_u32.to_ne_bytes())].concat());
            bytes.extend(attribute(1, address));
            bytes
        };
        let expect = |address| Link { name: "eth0".to_owned(), address, mtu: 1400 };
        assert_eq!(Link::read(&link(ETHERNET, &MAC)).unwrap(), expect(Some(MacAddress(MAC))));
        assert_eq!(Link::read(&link(ETHERNET, &[1; 8])).unwrap(), expect(None));
        assert_eq!(Link::read(&link(772, &MAC)).unwrap(), expect(None), "loopback");
        let whole = link(ETHERNET, &MAC);
        for cut in 0..LINK_HEADER + 20 {
            assert!(Link::read(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn neighbours_of_literal_bytes() {
        let neighbour = |state: u16| {
            let mut bytes = vec![0; NEIGHBOUR_HEADER];
            bytes[8..10].copy_from_slice(&state.to_ne_bytes());
            bytes.extend([attribute(1, &[10, 9, 0, 2]), attribute(2, &MAC)].concat());
            Neighbour::read(&bytes).unwrap()
        };
        for state in [REACHABLE, STALE, DELAY, PROBE, NO_ARP, PERMANENT] {
            assert_eq!(neighbour(state), Neighbour { state, address: Some(MacAddress(MAC)) });
            assert!(neighbour(state).is_valid());
        }
        // None, incomplete, failed.
        assert!([0, 0x01, 0x20].into_iter().all(|state| !neighbour(state).is_valid()));
        let incomplete = [&[0; 8][..], &1_u16.to_ne_bytes(), &[0; 2]].concat();
        assert_eq!(Neighbour::read(&incomplete).unwrap(), Neighbour { state: 1, address: None });
        assert!(Neighbour::read(&incomplete[..11]).is_err());
    }

    #[test]
    fn a_neighbour_is_asked_for_byte_by_byte() {
        let expected = [&[10, 0, 0, 0][..], &7_u32.to_ne_bytes(), &[0, 0, USE, 0]].concat();
        assert_eq!(neighbour_header(Ipv6Addr::LOCALHOST.into(), 7, USE).to_vec(), expected);
    }

    #[test]
    fn what_names_no_single_host_is_refused_without_asking() {
        let mut resolver = Resolver::new().unwrap();
        for to in ["fe80::1", "169.254.0.1", "255.255.255.255", "224.0.0.1", "ff05::1", "0.0.0.0", "::"] {
            let error = resolver.resolve(to.parse().unwrap()).unwrap_err();
            assert!(matches!(error, Unreachable::NotUnicast { .. }), "{error}");
        }
    }
}
