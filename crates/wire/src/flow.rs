//! What a session is known by on the wire, and why a frame may have nothing of the kind.
//!
//! Only types live here; [`crate::classify()`] is the function that makes them from a frame. Logical interfaces
//! are not here: a frame does not carry them.

use core::fmt;
use core::net::IpAddr;

use crate::edit::Endpoint;

/// The 12-bit VLAN identifier that a session matches; [`Vid::UNTAGGED`] for none (IEEE 802.1Q, 9.6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Vid(u16);

impl Vid {
    /// No tag, or a priority tag alone: VID 0 names no VLAN.
    pub const UNTAGGED: Self = Self(0);
    /// The largest identifier that names a VLAN; 4095 is reserved.
    pub const MAX: Self = Self(4094);

    /// `None` when `vid` is above [`Vid::MAX`].
    pub const fn new(vid: u16) -> Option<Self> {
        if vid <= Self::MAX.0 { Some(Self(vid)) } else { None }
    }

    /// The identifier as a number, 0 for untagged.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// True for [`Vid::UNTAGGED`].
    pub const fn is_untagged(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Vid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_untagged() { f.write_str("untagged") } else { write!(f, "vlan {}", self.0) }
    }
}

/// The transport protocols that can be offloaded, by IP protocol number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Transport {
    /// RFC 9293.
    Tcp = 6,
    /// RFC 768.
    Udp = 17,
}

impl Transport {
    /// `None` for every protocol but TCP and UDP.
    pub const fn from_number(protocol: u8) -> Option<Self> {
        match protocol {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }

    /// The IP protocol number.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Source and destination address of one packet; both are of one family by construction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Addresses {
    /// IPv4, network byte order.
    V4 {
        /// Source address.
        source: [u8; 4],
        /// Destination address.
        destination: [u8; 4],
    },
    /// IPv6, network byte order.
    V6 {
        /// Source address.
        source: [u8; 16],
        /// Destination address.
        destination: [u8; 16],
    },
}

impl Addresses {
    /// The same pair as the answering packet carries it.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::V4 { source, destination } => Self::V4 { source: destination, destination: source },
            Self::V6 { source, destination } => Self::V6 { source: destination, destination: source },
        }
    }

    /// Source address.
    pub const fn source(self) -> IpAddr {
        use core::net::{Ipv4Addr, Ipv6Addr};
        match self {
            Self::V4 { source: [a, b, c, d], .. } => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            Self::V6 { source, .. } => IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes(source))),
        }
    }

    /// Destination address.
    pub const fn destination(self) -> IpAddr {
        self.reversed().source()
    }
}

/// What a packet is wrapped in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Tunnel {
    /// Nothing: addresses and ports are those of the frame's only IP packet.
    #[default]
    None = 0,
    /// GTP-U (3GPP TS 29.281): addresses, ports and protocol are those of the packet inside the G-PDU.
    Gtpu = 1,
}

impl Tunnel {
    /// The tunnel with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Gtpu),
            _ => None,
        }
    }

    /// As it is in the keys of the planes.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no tunnel",
            Self::Gtpu => "gtp-u",
        })
    }
}

/// What the fast path looks a packet up by, besides the port it came in on: one direction of a session.
///
/// With and without a tunnel, the same addresses and ports are two keys. No frame has a key without a tunnel that is UDP
/// to port 2152: such a frame is GTP-U, whatever it carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowKey {
    /// The outermost VLAN of the frame; inner tags are not matched.
    pub vlan: Vid,
    /// What the packet is wrapped in: the fields below are those of the innermost packet.
    pub tunnel: Tunnel,
    /// Source and destination address.
    pub addresses: Addresses,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// TCP or UDP.
    pub transport: Transport,
}

impl FlowKey {
    /// The key of the answering packet, on the same VLAN and in the same kind of tunnel.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            vlan: self.vlan,
            tunnel: self.tunnel,
            addresses: self.addresses.reversed(),
            source_port: self.destination_port,
            destination_port: self.source_port,
            transport: self.transport,
        }
    }
}

impl FlowKey {
    /// This key with another source. An address of the other family is not taken.
    #[must_use]
    pub fn with_source(mut self, endpoint: &Endpoint) -> Self {
        match (&mut self.addresses, endpoint.address) {
            (Addresses::V4 { source, .. }, IpAddr::V4(new)) => *source = new.octets(),
            (Addresses::V6 { source, .. }, IpAddr::V6(new)) => *source = new.octets(),
            _ => return self,
        }
        self.source_port = endpoint.port.unwrap_or(self.source_port);
        self
    }

    /// This key with another destination. An address of the other family is not taken.
    #[must_use]
    pub fn with_destination(self, endpoint: &Endpoint) -> Self {
        self.reversed().with_source(endpoint).reversed()
    }
}

impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use core::net::SocketAddr;
        let from = SocketAddr::new(self.addresses.source(), self.source_port);
        let to = SocketAddr::new(self.addresses.destination(), self.destination_port);
        write!(f, "{} {from} > {to}", self.transport)?;
        if self.tunnel != Tunnel::None {
            write!(f, " in {}", self.tunnel)?;
        }
        if !self.vlan.is_untagged() {
            write!(f, " {}", self.vlan)?;
        }
        Ok(())
    }
}

/// Why a frame takes the slow path, to the firewall. The numbers are those of `bpf/abi.h` and of the counters, and
/// never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum SlowPath {
    /// It has a flow key, but the table has no session for it. Given by a data plane, never by the parser.
    Miss = 0,
    /// TCP with SYN, FIN or RST set: TCP state belongs to the firewall.
    TcpControl = 1,
    /// A first or later fragment, IPv4 or IPv6.
    Fragment = 2,
    /// The IPv4 header has options.
    Ipv4Options = 3,
    /// An IPv6 extension header other than the fragment header.
    Ipv6Extension = 4,
    /// IP, but neither TCP nor UDP.
    Protocol = 5,
    /// Neither IPv4 nor IPv6: ARP, LLDP, an 802.3 length, an unknown EtherType.
    EtherType = 6,
    /// A header or a length field reaches past the end of the frame or of the enclosing header.
    Truncated = 7,
    /// VID 4095, or a priority tag (VID 0) in front of another tag.
    VlanReserved = 8,
    /// More than two VLAN tags.
    TooManyTags = 9,
    /// IPv4 version, header length, total length or the reserved flag is wrong (RFC 791, 3.1).
    Ipv4Malformed = 10,
    /// IPv6 version is wrong or the payload length is 0 (RFC 8200, 3; RFC 2675).
    Ipv6Malformed = 11,
    /// The TCP data offset is below 5 (RFC 9293, 3.1).
    TcpMalformed = 12,
    /// The UDP length is below 8 or differs from what IP carries (RFC 768).
    UdpMalformed = 13,
    /// It has a session, but TTL or hop limit would reach 0 at the next hop (RFC 1812, 5.3.1; RFC 8200, 3). Given by a data
    /// plane, never by the parser.
    TtlExpired = 14,
    /// GTP-U of another version or protocol type, with a length that is not what UDP carries, an extension header without
    /// length, or a G-PDU that is not one IP packet (3GPP TS 29.281, 5.1 and 5.2).
    GtpuMalformed = 15,
    /// A GTP-U message that carries no packet: echo, error indication, end marker and the like (3GPP TS 29.281, 7).
    GtpuControl = 16,
    /// More GTP-U extension headers than are looked behind.
    GtpuExtensions = 17,
}

impl SlowPath {
    /// How many reasons there are.
    pub const COUNT: usize = 18;

    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Miss,
        Self::TcpControl,
        Self::Fragment,
        Self::Ipv4Options,
        Self::Ipv6Extension,
        Self::Protocol,
        Self::EtherType,
        Self::Truncated,
        Self::VlanReserved,
        Self::TooManyTags,
        Self::Ipv4Malformed,
        Self::Ipv6Malformed,
        Self::TcpMalformed,
        Self::UdpMalformed,
        Self::TtlExpired,
        Self::GtpuMalformed,
        Self::GtpuControl,
        Self::GtpuExtensions,
    ];

    /// True for the reasons that [`crate::classify()`] gives; the others need a table.
    pub const fn is_of_the_parser(self) -> bool {
        !matches!(self, Self::Miss | Self::TtlExpired)
    }

    /// The reason with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        if (number as usize) < Self::COUNT { Some(Self::ALL[number as usize]) } else { None }
    }

    /// The name under which it is counted, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::TcpControl => "tcp_control",
            Self::Fragment => "fragment",
            Self::Ipv4Options => "ipv4_options",
            Self::Ipv6Extension => "ipv6_extension",
            Self::Protocol => "protocol",
            Self::EtherType => "ether_type",
            Self::Truncated => "truncated",
            Self::VlanReserved => "vlan_reserved",
            Self::TooManyTags => "too_many_tags",
            Self::Ipv4Malformed => "ipv4_malformed",
            Self::Ipv6Malformed => "ipv6_malformed",
            Self::TcpMalformed => "tcp_malformed",
            Self::UdpMalformed => "udp_malformed",
            Self::TtlExpired => "ttl_expired",
            Self::GtpuMalformed => "gtpu_malformed",
            Self::GtpuControl => "gtpu_control",
            Self::GtpuExtensions => "gtpu_extensions",
        }
    }
}

impl fmt::Display for SlowPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
