//! The frames that the suite sends, put together byte by byte and marked as the suite's own.
//!
//! Deliberately without any code of the planes under test: nothing here parses. Checksums are left zero where no plane
//! looks at them. What must not be here: expectations.

use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

/// What every destination address of the suite begins with: locally administered, not multicast.
const DESTINATION: [u8; 6] = [0x02, 0x6F, 0x70, 0x6F, 0x66, 0x01];
/// The source address that marks a frame.
const SOURCE: [u8; 6] = [0x02, 0x6F, 0x70, 0x6F, 0x66, 0x02];
/// What the last byte of both addresses of a routed frame has on top: the mark stays a mark.
const ROUTED: u8 = 0x80;

/// IEEE 802.1Q, table 9-1: customer tag.
pub(crate) const CTAG: u16 = 0x8100;
/// IEEE 802.1Q, table 9-1: service tag.
pub(crate) const STAG: u16 = 0x88A8;
pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86DD;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// True for a frame that the suite may have sent, or that answers it; what is shorter than the mark is compared as far as it goes.
pub fn is_marked(frame: &[u8]) -> bool {
    let has = |mark: [[u8; 6]; 2]| {
        frame
            .iter()
            .zip(mark.as_flattened())
            .enumerate()
            .all(|(at, (a, b))| a == b || (at % 6 == 5 && *a & ROUTED != 0))
    };
    has([DESTINATION, SOURCE]) || has([SOURCE, DESTINATION])
}

/// MAC addresses of a next hop: source, destination. Those of different numbers, at most 127, differ in both.
pub(crate) fn routed_macs(number: u8) -> ([u8; 6], [u8; 6]) {
    assert!(number < ROUTED, "a number of 7 bits");
    let with_last = |mut address: [u8; 6]| {
        address[5] = ROUTED | number;
        address
    };
    (with_last(SOURCE), with_last(DESTINATION))
}

/// The frame as next hop `number` gets it, one hop on; its checksums are still those of the old TTL.
pub(crate) fn routed(frame: &[u8], number: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let (source, destination) = routed_macs(number);
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
    let at = hops_at(&frame);
    frame[at] -= 1;
    frame
}

/// The frame with this TTL or hop limit.
pub(crate) fn with_hops(frame: &[u8], hops: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let at = hops_at(&frame);
    frame[at] = hops;
    frame
}

/// Where IP begins, in a frame of the suite with at most one tag.
fn ip_at(frame: &[u8]) -> usize {
    if frame[12..14] == CTAG.to_be_bytes() { 18 } else { 14 }
}

fn is_v4(frame: &[u8]) -> bool {
    frame[ip_at(frame)] >> 4 == 4
}

fn hops_at(frame: &[u8]) -> usize {
    ip_at(frame) + if is_v4(frame) { 8 } else { 7 }
}

/// The frame with the right checksums in its IPv4 and TCP or UDP header (RFC 1071); with `udp` false a UDP checksum stays 0.
pub(crate) fn with_checksums(frame: &[u8], udp: bool) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let ip = ip_at(&frame);
    let (protocol, addresses, transport) = if is_v4(&frame) {
        (frame[ip + 9], ip + 12..ip + 20, ip + 20)
    } else {
        (frame[ip + 6], ip + 8..ip + 40, ip + 40)
    };
    if is_v4(&frame) {
        frame[ip + 10..ip + 12].fill(0);
        let sum = checksum(&frame[ip..ip + 20]);
        frame[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());
    }
    let at = transport + if protocol == Transport::Tcp.number() { 16 } else { 6 };
    if protocol == Transport::Tcp.number() || udp {
        frame[at..at + 2].fill(0);
        let length = u32::try_from(frame.len() - transport).expect("a small frame").to_be_bytes();
        let covered = [&frame[addresses], &length, &[0, 0, 0, protocol], &frame[transport..]].concat();
        let sum = match checksum(&covered) {
            0 if protocol == Transport::Udp.number() => 0xFFFF,
            sum => sum,
        };
        frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let folded = words.fold(0, |sum, word| (sum + word) % 0xFFFF);
    // No sum here is over zeros alone, so 0 stands for 0xFFFF.
    u16::try_from(if folded == 0 { 0 } else { 0xFFFF - folded }).expect("less than 2^16")
}

/// A tag: TPID and the whole TCI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag {
    pub(crate) tpid: u16,
    pub(crate) tci: u16,
}

impl Tag {
    pub(crate) const fn new(tpid: u16, tci: u16) -> Self {
        Self { tpid, tci }
    }
}

/// Ethernet with `tags`, outermost first, around `body`.
pub(crate) fn ethernet(tags: &[Tag], ether_type: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = [DESTINATION, SOURCE].concat();
    for tag in tags {
        frame.extend(tag.tpid.to_be_bytes());
        frame.extend(tag.tci.to_be_bytes());
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(body);
    frame
}

/// A well-formed packet of `flow` with `payload` bytes behind the transport header; TCP has ACK alone.
pub(crate) fn packet(flow: &FlowKey, payload: usize) -> Vec<u8> {
    tagged(&tags_of(flow), flow, payload)
}

/// As [`packet`], under `tags` instead of those of the flow.
pub(crate) fn tagged(tags: &[Tag], flow: &FlowKey, payload: usize) -> Vec<u8> {
    around(tags, flow, &transport(flow, payload))
}

/// As [`packet`], TCP with `flags` (RFC 9293, 3.1: CWR ECE URG ACK PSH RST SYN FIN).
pub(crate) fn with_flags(flow: &FlowKey, flags: u8) -> Vec<u8> {
    around(&tags_of(flow), flow, &tcp(flow, flags, 12))
}

/// The tags of a flow's packets.
pub(crate) fn tags_of(flow: &FlowKey) -> Vec<Tag> {
    if flow.vlan.is_untagged() { Vec::new() } else { vec![Tag::new(CTAG, flow.vlan.get())] }
}

/// `body` as the IP payload of a packet of `flow`; within GTP-U over IPv4, with 8 bytes of header, when the flow is.
pub(crate) fn around(tags: &[Tag], flow: &FlowKey, body: &[u8]) -> Vec<u8> {
    let packet = ip_of(flow, body);
    match (flow.tunnel, flow.addresses) {
        (Tunnel::None, Addresses::V4 { .. }) => ethernet(tags, ETHERTYPE_IPV4, &packet),
        (Tunnel::None, Addresses::V6 { .. }) => ethernet(tags, ETHERTYPE_IPV6, &packet),
        (Tunnel::Gtpu, _) => gtpu(tags, Family::V4, GtpU::new(&packet)),
    }
}

/// `body` as the IP payload of a packet of `flow`, without what the flow is within.
pub(crate) fn ip_of(flow: &FlowKey, body: &[u8]) -> Vec<u8> {
    let protocol = flow.transport.number();
    match flow.addresses {
        Addresses::V4 { .. } => ipv4(flow, protocol, 0, &[], body),
        Addresses::V6 { .. } => ipv6(flow, protocol, body),
    }
}

/// 3GPP TS 29.281, 4.4.2.
pub(crate) const GTPU_PORT: u16 = 2152;
/// 3GPP TS 29.281, 6.1: the message that carries a packet.
pub(crate) const G_PDU: u8 = 255;

/// A GTP-U message (3GPP TS 29.281, 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GtpU<'a> {
    /// Version and protocol type, the upper four bits of the first byte.
    pub(crate) version_pt: u8,
    /// Spare bit, E, S and PN.
    pub(crate) flags: u8,
    pub(crate) message_type: u8,
    /// By how much the length field says more than there is.
    pub(crate) excess: i16,
    /// Optional fields and extension headers.
    pub(crate) front: &'a [u8],
    /// What the message carries.
    pub(crate) body: &'a [u8],
}

impl<'a> GtpU<'a> {
    /// A G-PDU with 8 bytes of header.
    pub(crate) const fn new(body: &'a [u8]) -> Self {
        Self { version_pt: 0x30, flags: 0, message_type: G_PDU, excess: 0, front: &[], body }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u16::try_from(self.front.len() + self.body.len()).expect("the suite's packets are small");
        let mut message = vec![self.version_pt | self.flags, self.message_type];
        message.extend(length.wrapping_add_signed(self.excess).to_be_bytes());
        message.extend([0x0A, 0x0B, 0x0C, 0x0D]);
        message.extend(self.front);
        message.extend(self.body);
        message
    }
}

/// A GTP-U message in UDP over `outer`.
pub(crate) fn gtpu(tags: &[Tag], outer: Family, message: GtpU<'_>) -> Vec<u8> {
    ethernet_of(tags, outer, &udp_of(GTPU_PORT, GTPU_PORT, &message.bytes()))
}

/// A UDP datagram between the two ends of a tunnel.
pub(crate) fn ethernet_of(tags: &[Tag], family: Family, datagram: &[u8]) -> Vec<u8> {
    let ends = flow(family, Transport::Udp, 0, 0x00FE_DCBA);
    around(tags, &ends, datagram)
}

/// RFC 768, around these bytes.
pub(crate) fn udp_of(source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("the suite's packets are small");
    let header = [source_port, destination_port, length, 0].map(u16::to_be_bytes);
    [header.as_flattened(), payload].concat()
}

pub(crate) fn transport(flow: &FlowKey, payload: usize) -> Vec<u8> {
    match flow.transport {
        Transport::Tcp => tcp(flow, ACK, payload),
        Transport::Udp => udp(flow, payload),
    }
}

/// RFC 791, 3.1, with `fragment` as the sixteen bits of flags and offset.
pub(crate) fn ipv4(flow: &FlowKey, protocol: u8, fragment: u16, options: &[u8], body: &[u8]) -> Vec<u8> {
    let Addresses::V4 { source, destination } = flow.addresses else { panic!("{flow} is not IPv4") };
    let header = 20 + options.len();
    assert!(options.len() <= 40 && options.len().is_multiple_of(4), "options fill 32-bit words");
    let ihl = 0x40 | u8::try_from(header / 4).expect("at most 15 words");
    let total = u16::try_from(header + body.len()).expect("the suite's packets are small");
    let mut packet = vec![ihl, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend(options);
    packet.extend(body);
    packet
}

/// RFC 8200, 3.
pub(crate) fn ipv6(flow: &FlowKey, next_header: u8, body: &[u8]) -> Vec<u8> {
    let Addresses::V6 { source, destination } = flow.addresses else { panic!("{flow} is not IPv6") };
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(body.len()).expect("the suite's packets are small").to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend(body);
    packet
}

/// RFC 9293, 3.1, without options.
pub(crate) fn tcp(flow: &FlowKey, flags: u8, payload: usize) -> Vec<u8> {
    let mut segment = ports(flow);
    segment.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0xFF, 0xFF, 0, 0, 0, 0]);
    segment.extend(filler(payload));
    segment
}

/// RFC 768.
pub(crate) fn udp(flow: &FlowKey, payload: usize) -> Vec<u8> {
    let mut datagram = ports(flow);
    datagram.extend(u16::try_from(8 + payload).expect("the suite's packets are small").to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(filler(payload));
    datagram
}

fn ports(flow: &FlowKey) -> Vec<u8> {
    [flow.source_port.to_be_bytes(), flow.destination_port.to_be_bytes()].concat()
}

fn filler(length: usize) -> impl Iterator<Item = u8> {
    (0..=u8::MAX).cycle().take(length)
}

/// Addresses of this family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Flow number `n` of its kind; different numbers are different flows, and none is the reverse of another.
pub(crate) fn flow(family: Family, transport: Transport, vlan: u16, n: u32) -> FlowKey {
    let [_, a, b, c] = n.to_be_bytes();
    let addresses = match family {
        Family::V4 => Addresses::V4 { source: [10, a, b, c], destination: [192, 0, 2, 1] },
        Family::V6 => {
            let mut source = [0xFD; 16];
            source[13..].copy_from_slice(&[a, b, c]);
            Addresses::V6 { source, destination: *b"\x20\x01\x0d\xb8device-suite" }
        }
    };
    let vlan = Vid::new(vlan).expect("the suite uses VIDs that name a VLAN");
    FlowKey { vlan, tunnel: Tunnel::None, addresses, source_port: 40_000, destination_port: 443, transport }
}

/// One flow of each kind: IPv4 and IPv6, TCP and UDP, untagged and on a VLAN.
pub(crate) fn every_kind(n: u32) -> Vec<FlowKey> {
    let mut flows = Vec::new();
    for family in [Family::V4, Family::V6] {
        for transport in [Transport::Tcp, Transport::Udp] {
            flows.extend([0, 100].map(|vlan| flow(family, transport, vlan, n)));
        }
    }
    flows
}
