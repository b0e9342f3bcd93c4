//! A builder of frames that reads like the packet, on top of `opof-wire`'s representations.
//!
//! Lengths and checksums come out right; what a test wants wrong it says with [`Packet::overwrite`] and
//! [`Packet::cut_to`]. Which verdict a frame should get is not known here.

mod gtpu;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

use opof_wire::ethernet::{self, MacAddress};
use opof_wire::tcp::Flags;
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, ipv4, ipv6, ipv6_ext, tcp, udp, vlan};

pub use gtpu::Gtpu;

/// Source address of a frame that names none.
pub const SOURCE_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x0a]);
/// Destination address of a frame that names none.
pub const DESTINATION_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x0b]);
/// The shortest frame an Ethernet carries, in bytes without FCS.
pub const MIN_FRAME_LEN: usize = 60;

const FITS: &str = "the parts of a test packet fit their fields";

/// Where [`Packet::overwrite`] counts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// The first byte of the frame.
    Link,
    /// The first byte of the outermost IP header: behind Ethernet header and tags.
    Outer,
    /// The first byte of the GTP-U header.
    Tunnel,
    /// The first byte of the innermost IP header; without a tunnel the same as [`Layer::Outer`].
    Network,
    /// The first byte behind that header, its options and its extension headers.
    Transport,
}

#[derive(Clone, Copy, Debug)]
struct Tag {
    tpid: u16,
    priority: u8,
    drop_eligible: bool,
    vid: u16,
}

#[derive(Clone, Debug)]
enum Network {
    Raw(u16),
    V4 { source: [u8; 4], destination: [u8; 4], offset: u16, more: bool, options: Vec<u8> },
    V6 { source: [u8; 16], destination: [u8; 16], extensions: Vec<Extension> },
}

#[derive(Clone, Debug)]
enum Extension {
    Body { number: u8, body: Vec<u8> },
    Fragment { offset: u16, more: bool },
}

#[derive(Clone, Debug)]
enum Upper {
    Raw(u8),
    Tcp { source_port: u16, destination_port: u16, flags: Flags, options: Vec<u8> },
    Udp { source_port: u16, destination_port: u16 },
}

/// A packet to be. Each method takes it and gives it back, so that a packet is one expression:
///
/// ```
/// use opof_testkit::packet::Packet;
/// use opof_wire::tcp::Flags;
///
/// let frame = Packet::new()
///     .vlan(100)
///     .ipv4([192, 0, 2, 1], [198, 51, 100, 1])
///     .tcp(49152, 80)
///     .flags(Flags::SYN)
///     .payload(b"hello")
///     .pad_to(60)
///     .build();
/// assert_eq!(frame.len(), 63);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Packet {
    source: MacAddress,
    destination: MacAddress,
    tags: Vec<Tag>,
    tunnel: Option<Box<gtpu::Around>>,
    network: Network,
    hops: u8,
    upper: Upper,
    payload: Vec<u8>,
    pad_to: usize,
    cut_to: usize,
    overwrites: Vec<(Layer, usize, Vec<u8>)>,
}

impl Default for Packet {
    fn default() -> Self {
        Self {
            source: SOURCE_MAC,
            destination: DESTINATION_MAC,
            tags: Vec::new(),
            tunnel: None,
            // A local experiment (IEEE 802, 9.2.4): the frame says nothing yet.
            network: Network::Raw(0x88b5),
            hops: 64,
            // Reserved by IANA: the IP packet carries nothing yet.
            upper: Upper::Raw(255),
            payload: Vec::new(),
            pad_to: 0,
            cut_to: usize::MAX,
            overwrites: Vec::new(),
        }
    }
}

/// Link and network layer.
impl Packet {
    /// An untagged frame of an experimental EtherType with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet with this key; TCP has the ACK flag. A VLAN of the key is a customer tag, a tunnel [`Gtpu::default`] over
    /// IPv4.
    pub fn with_key(key: &FlowKey) -> Self {
        let packet = if key.vlan.is_untagged() { Self::new() } else { Self::new().vlan(key.vlan.get()) };
        let packet = match key.tunnel {
            Tunnel::None => packet,
            Tunnel::Gtpu => packet.gtpu4(Gtpu::default()),
        };
        packet.flow(key)
    }

    /// IP and transport header of this key, without its VLAN and its tunnel; TCP has the ACK flag.
    pub fn flow(self, key: &FlowKey) -> Self {
        let packet = match key.addresses {
            Addresses::V4 { source, destination } => self.ipv4(source, destination),
            Addresses::V6 { source, destination } => self.ipv6(source, destination),
        };
        match key.transport {
            Transport::Tcp => packet.tcp(key.source_port, key.destination_port),
            Transport::Udp => packet.udp(key.source_port, key.destination_port),
        }
    }

    /// Source and destination MAC address.
    pub fn mac(mut self, source: [u8; 6], destination: [u8; 6]) -> Self {
        (self.source, self.destination) = (MacAddress(source), MacAddress(destination));
        self
    }

    /// One more tag behind those that are there.
    pub fn tag(mut self, tpid: u16, priority: u8, drop_eligible: bool, vid: u16) -> Self {
        self.tags.push(Tag { tpid, priority, drop_eligible, vid });
        self
    }

    /// One more customer tag, priority 0.
    pub fn vlan(self, vid: u16) -> Self {
        self.tag(vlan::TPID_CUSTOMER, 0, false, vid)
    }

    /// A service tag and a customer tag behind it, priority 0.
    pub fn qinq(self, outer: u16, inner: u16) -> Self {
        self.tag(vlan::TPID_SERVICE, 0, false, outer).vlan(inner)
    }

    /// No IP: an EtherType, or an 802.3 length when below 0x0600. The payload follows it.
    pub fn ether_type(mut self, ether_type: u16) -> Self {
        self.network = Network::Raw(ether_type);
        self
    }

    /// An IPv4 header.
    pub fn ipv4(mut self, source: impl Into<Ipv4Addr>, destination: impl Into<Ipv4Addr>) -> Self {
        let (source, destination) = (source.into().octets(), destination.into().octets());
        self.network = Network::V4 { source, destination, offset: 0, more: false, options: Vec::new() };
        self
    }

    /// Options of the IPv4 header: a multiple of 4 bytes, at most 40.
    ///
    /// # Panics
    /// When the packet is not IPv4.
    pub fn ipv4_options(mut self, bytes: &[u8]) -> Self {
        let Network::V4 { options, .. } = &mut self.network else {
            panic!("IPv4 options on a packet that is not IPv4")
        };
        *options = bytes.to_vec();
        self
    }

    /// An IPv6 header.
    pub fn ipv6(mut self, source: impl Into<Ipv6Addr>, destination: impl Into<Ipv6Addr>) -> Self {
        let (source, destination) = (source.into().octets(), destination.into().octets());
        self.network = Network::V6 { source, destination, extensions: Vec::new() };
        self
    }

    /// One more IPv6 extension header with this next header number, behind those that are there. `body` is all behind
    /// its length field: 6 bytes more than a multiple of 8.
    ///
    /// # Panics
    /// When the packet is not IPv6.
    pub fn extension(self, number: u8, body: &[u8]) -> Self {
        self.push_extension(Extension::Body { number, body: body.to_vec() })
    }

    /// Hop-by-hop options that only pad.
    pub fn hop_by_hop(self) -> Self {
        self.extension(ipv6_ext::HOP_BY_HOP, &PADDING_OPTION)
    }

    /// Destination options that only pad.
    pub fn destination_options(self) -> Self {
        self.extension(ipv6_ext::DESTINATION, &PADDING_OPTION)
    }

    /// A routing header of an unknown type with no segments left.
    pub fn routing(self) -> Self {
        self.extension(ipv6_ext::ROUTING, &[253, 0, 0, 0, 0, 0])
    }

    /// Makes it a fragment, `offset` in units of 8 bytes: fields of the IPv4 header or an IPv6 fragment header.
    ///
    /// # Panics
    /// When the packet is not IP.
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        if let Network::V4 { offset: at, more: flag, .. } = &mut self.network {
            (*at, *flag) = (offset, more);
            return self;
        }
        self.push_extension(Extension::Fragment { offset, more })
    }

    /// TTL or hop limit.
    pub fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    fn push_extension(mut self, extension: Extension) -> Self {
        let Network::V6 { extensions, .. } = &mut self.network else {
            panic!("an extension header on a packet that is not IPv6")
        };
        extensions.push(extension);
        self
    }
}

/// `PadN` over the whole body of the smallest header (RFC 8200, 4.2).
const PADDING_OPTION: [u8; 6] = [1, 4, 0, 0, 0, 0];

/// Transport layer, payload and what is to be wrong.
impl Packet {
    /// Neither TCP nor UDP: the payload follows the IP header.
    pub fn protocol(mut self, number: u8) -> Self {
        self.upper = Upper::Raw(number);
        self
    }

    /// A TCP header with the ACK flag.
    pub fn tcp(mut self, source_port: u16, destination_port: u16) -> Self {
        self.upper = Upper::Tcp { source_port, destination_port, flags: Flags::ACK, options: Vec::new() };
        self
    }

    /// The TCP flags, all of them.
    ///
    /// # Panics
    /// When the packet is not TCP.
    pub fn flags(mut self, flags: Flags) -> Self {
        let Upper::Tcp { flags: old, .. } = &mut self.upper else { panic!("TCP flags on a packet that is not TCP") };
        *old = flags;
        self
    }

    /// Options of the TCP header: a multiple of 4 bytes, at most 40.
    ///
    /// # Panics
    /// When the packet is not TCP.
    pub fn tcp_options(mut self, bytes: &[u8]) -> Self {
        let Upper::Tcp { options, .. } = &mut self.upper else { panic!("TCP options on a packet that is not TCP") };
        *options = bytes.to_vec();
        self
    }

    /// A UDP header.
    pub fn udp(mut self, source_port: u16, destination_port: u16) -> Self {
        self.upper = Upper::Udp { source_port, destination_port };
        self
    }

    /// What the innermost header carries.
    pub fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }

    /// Zeros behind the packet until the frame has `len` bytes: Ethernet padding.
    pub fn pad_to(mut self, len: usize) -> Self {
        self.pad_to = len;
        self
    }

    /// Puts `bytes` at `offset` into `layer` after lengths and checksums were set: one field made wrong.
    pub fn overwrite(mut self, layer: Layer, offset: usize, bytes: &[u8]) -> Self {
        self.overwrites.push((layer, offset, bytes.to_vec()));
        self
    }

    /// Only the first `len` bytes of the frame are left.
    pub fn cut_to(mut self, len: usize) -> Self {
        self.cut_to = len;
        self
    }

    /// The frame, without FCS.
    ///
    /// # Panics
    /// When a part does not fit its field, or an overwrite lies outside of the frame.
    #[must_use]
    pub fn build(self) -> Vec<u8> {
        let network = self.network_bytes();
        let mut frame = self.link_bytes();
        let outer_at = frame.len();
        let mut tunnel_at = outer_at;
        if let Some(around) = &self.tunnel {
            let front = around.bytes(&network);
            tunnel_at += front.tunnel_at;
            frame.extend_from_slice(&front.bytes);
        }
        let network_at = frame.len();
        frame.extend_from_slice(&network);
        frame.resize(frame.len().max(self.pad_to), 0);
        for (layer, offset, bytes) in &self.overwrites {
            let start = match layer {
                Layer::Link => 0,
                Layer::Outer => outer_at,
                Layer::Tunnel => tunnel_at,
                Layer::Network => network_at,
                Layer::Transport => network_at + self.network_header_len(),
            };
            frame[start + offset..][..bytes.len()].copy_from_slice(bytes);
        }
        frame.truncate(self.cut_to);
        frame
    }
}

/// From the packet to its bytes, outside in.
impl Packet {
    fn link_bytes(&self) -> Vec<u8> {
        let innermost = match self.tunnel.as_ref().map_or(&self.network, |around| around.network()) {
            &Network::Raw(ether_type) => ether_type,
            Network::V4 { .. } => ethernet::IPV4,
            Network::V6 { .. } => ethernet::IPV6,
        };
        // Each tag's TPID stands in the header in front of it.
        let mut types = self.tags.iter().map(|tag| tag.tpid).chain([innermost]);
        let mut next = || types.next().expect("there is one type more than there are tags");

        let header = ethernet::Repr { destination: self.destination, source: self.source, ether_type: next() };
        let mut bytes = vec![0; header.buffer_len() + self.tags.len() * vlan::HEADER_LEN];
        let (front, mut rest) = bytes.split_at_mut(header.buffer_len());
        header.emit(front).expect(FITS);
        for &Tag { priority, drop_eligible, vid, .. } in &self.tags {
            vlan::Repr { priority, drop_eligible, vid, ether_type: next() }.emit(rest).expect(FITS);
            rest = &mut rest[vlan::HEADER_LEN..];
        }
        bytes
    }

    fn network_header_len(&self) -> usize {
        match &self.network {
            Network::Raw(_) => 0,
            Network::V4 { options, .. } => ipv4::HEADER_LEN + options.len(),
            Network::V6 { extensions, .. } => ipv6::HEADER_LEN + extension_bytes(extensions, 0).1.len(),
        }
    }

    fn network_bytes(&self) -> Vec<u8> {
        match &self.network {
            Network::Raw(_) => self.payload.clone(),
            &Network::V4 { source, destination, offset, more, ref options } => {
                let upper = self.upper_bytes(&Addresses::V4 { source, destination });
                let repr = ipv4::Repr {
                    source,
                    destination,
                    traffic_class: 0,
                    identification: 0x4f4f,
                    dont_fragment: offset == 0 && !more,
                    more_fragments: more,
                    fragment_offset: offset,
                    ttl: self.hops,
                    protocol: self.upper.number(),
                    options,
                    payload_len: upper.len(),
                };
                let mut bytes = vec![0; repr.buffer_len()];
                repr.emit(&mut bytes).expect(FITS);
                bytes.extend_from_slice(&upper);
                bytes
            }
            &Network::V6 { source, destination, ref extensions } => {
                let upper = self.upper_bytes(&Addresses::V6 { source, destination });
                let (next_header, extensions) = extension_bytes(extensions, self.upper.number());
                let payload_len = extensions.len() + upper.len();
                let hop_limit = self.hops;
                let repr = ipv6::Repr {
                    source,
                    destination,
                    traffic_class: 0,
                    flow_label: 0,
                    next_header,
                    hop_limit,
                    payload_len,
                };
                let mut bytes = vec![0; repr.buffer_len()];
                repr.emit(&mut bytes).expect(FITS);
                bytes.extend_from_slice(&extensions);
                bytes.extend_from_slice(&upper);
                bytes
            }
        }
    }

    fn upper_bytes(&self, addresses: &Addresses) -> Vec<u8> {
        match &self.upper {
            Upper::Raw(_) => self.payload.clone(),
            &Upper::Tcp { source_port, destination_port, flags, ref options } => {
                let repr = tcp::Repr {
                    source_port,
                    destination_port,
                    sequence: 1,
                    acknowledgment: u32::from(flags.intersects(Flags::ACK)),
                    flags,
                    window: u16::MAX,
                    urgent: 0,
                    options,
                };
                let mut bytes = vec![0; repr.buffer_len()];
                repr.emit(&mut bytes).expect(FITS);
                bytes.extend_from_slice(&self.payload);
                tcp::Packet::new_unchecked(&mut bytes).fill_checksum(addresses);
                bytes
            }
            &Upper::Udp { source_port, destination_port } => {
                let repr = udp::Repr { source_port, destination_port, payload_len: self.payload.len() };
                let mut bytes = vec![0; repr.buffer_len()];
                repr.emit(&mut bytes).expect(FITS);
                bytes.extend_from_slice(&self.payload);
                udp::Packet::new_unchecked(&mut bytes).fill_checksum(addresses);
                bytes
            }
        }
    }
}

impl Upper {
    fn number(&self) -> u8 {
        match self {
            Self::Raw(number) => *number,
            Self::Tcp { .. } => Transport::Tcp.number(),
            Self::Udp { .. } => Transport::Udp.number(),
        }
    }
}

/// The number of the first header, and the bytes of all extension headers in front of `last`.
fn extension_bytes(extensions: &[Extension], last: u8) -> (u8, Vec<u8>) {
    let mut next_header = last;
    let mut bytes = Vec::new();
    for extension in extensions.iter().rev() {
        let (number, mut header) = match extension {
            Extension::Body { number, body } => {
                let repr = ipv6_ext::Repr { next_header, body };
                let mut header = vec![0; repr.buffer_len()];
                repr.emit(&mut header).expect(FITS);
                (*number, header)
            }
            &Extension::Fragment { offset, more } => {
                let repr =
                    ipv6_ext::FragmentRepr { next_header, offset, more_fragments: more, identification: 0x4f4f_4f4f };
                let mut header = vec![0; repr.buffer_len()];
                repr.emit(&mut header).expect(FITS);
                (ipv6_ext::FRAGMENT, header)
            }
        };
        header.extend_from_slice(&bytes);
        (next_header, bytes) = (number, header);
    }
    (next_header, bytes)
}
