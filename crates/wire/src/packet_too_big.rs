//! The answer to a frame whose packet does not fit into what the device would have to send it through: an ICMP error to
//! its sender, who then sends smaller ones (path MTU discovery: RFC 1191, RFC 8201).
//!
//! What lives here: which packets are answered ([`must_answer`]) and with what ([`answer`]). What must not: how large a
//! packet may be, and how often a device answers. Whoever calls this has to bound that (RFC 4443, 2.4 (f); RFC 1812,
//! 4.3.2.8).
//!
//! The device is no party to the conversation and has no address of its own on the wire, so the answer comes from the
//! packet's destination, as if that had sent it, and goes back where the frame came from: MAC addresses swapped, tags as
//! they were.

use core::fmt;

use crate::error::Error;
use crate::ethernet::MacAddress;
use crate::flow::Addresses;
use crate::{ethernet, icmp, ipv4, ipv6, ipv6_ext, vlan};

/// No IPv4 link has a smaller MTU (RFC 791, 3.2), so an answer must not say so.
pub const MTU_MIN_V4: u16 = 68;
/// No IPv6 link has a smaller MTU (RFC 8200, 5).
pub const MTU_MIN_V6: u16 = 1280;

/// Bytes of the packet that an answer quotes, IPv4: the largest header there is and the 8 bytes behind it that RFC 792 asks
/// for, so that its length never depends on options. A packet that does not fit is longer than [`MTU_MIN_V4`], so there
/// are always as many.
pub const QUOTE_V4: usize = 68;
/// The same for IPv6: its header and 48 bytes, which reach the ports of TCP, UDP and SCTP, or the SPI of ESP, behind a
/// fragment header and 32 bytes of other extension headers. RFC 4443, 2.4 (c) asks for as much as fits into 1280 bytes; so much would have to be summed up in the
/// fast path for every answer, and no host needs more than this to find the flow.
pub const QUOTE_V6: usize = ipv6::HEADER_LEN + 48;

/// Tags that a frame may have to be answered, as many as [`crate::classify()`] reads.
const MAX_TAGS: usize = 2;
const LINK_LEN_MAX: usize = ethernet::HEADER_LEN + MAX_TAGS * vlan::HEADER_LEN;
/// Extension headers that are looked behind. Each is one more look at the packet in the fast path. As in `bpf/abi.h`.
pub const EXTENSIONS_MAX: usize = 4;

/// Bytes of the longest answer: to IPv6 with two tags.
pub const MAX_LEN: usize = LINK_LEN_MAX + ipv6::HEADER_LEN + icmp::HEADER_LEN + QUOTE_V6;

const _: () = assert!(QUOTE_V4 <= MTU_MIN_V4 as usize && QUOTE_V6 <= MTU_MIN_V6 as usize);
const _: () = assert!(LINK_LEN_MAX + ipv4::HEADER_LEN + icmp::HEADER_LEN + QUOTE_V4 <= MAX_LEN);

/// Hops that an answer may take (RFC 1122, 3.2.1.7).
const HOPS: u8 = 64;
/// Internetwork control, as RFC 1812, 4.3.2.5 asks for. RFC 4443 asks for nothing of the kind.
const PRECEDENCE_V4: u8 = 0xc0;
/// Group bit of a MAC address: multicast and broadcast (IEEE 802, 8.2.2).
const GROUP: u8 = 0x01;

/// Why a frame gets no answer. The numbers are those of `bpf/abi.h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Silence {
    /// A header or length field reaches past the end, is wrong in itself, or does not bear out its checksum.
    Malformed = 0,
    /// Neither IPv4 nor IPv6, or behind too many tags to know.
    NotIp = 1,
    /// Sent to many on the link, or from no single station.
    LinkGroup = 2,
    /// IPv4 without DF: who finds it too big has to fragment it.
    MayFragment = 3,
    /// A fragment other than the first.
    Fragment = 4,
    /// Source or destination is no address of a single host, by its form: unspecified, loopback, multicast, broadcast,
    /// reserved.
    NotOneHost = 5,
    /// An ICMP error, or an ICMPv6 redirect.
    IcmpError = 6,
    /// Too many extension headers to know that it is no ICMPv6 error.
    Extensions = 7,
    /// The MTU is below what each link of the family must have; a host would not believe it.
    MtuTooSmall = 8,
    /// The packet is not larger than the MTU.
    Fits = 9,
}

impl Silence {
    /// How many reasons there are.
    pub const COUNT: usize = 10;

    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Malformed,
        Self::NotIp,
        Self::LinkGroup,
        Self::MayFragment,
        Self::Fragment,
        Self::NotOneHost,
        Self::IcmpError,
        Self::Extensions,
        Self::MtuTooSmall,
        Self::Fits,
    ];

    /// The reason with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        if (number as usize) < Self::COUNT { Some(Self::ALL[number as usize]) } else { None }
    }

    /// Its name in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotIp => "not_ip",
            Self::LinkGroup => "link_group",
            Self::MayFragment => "may_fragment",
            Self::Fragment => "fragment",
            Self::NotOneHost => "not_one_host",
            Self::IcmpError => "icmp_error",
            Self::Extensions => "extensions",
            Self::MtuTooSmall => "mtu_too_small",
            Self::Fits => "fits",
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::NotIp => "not IP",
            Self::LinkGroup => "a group address on the link",
            Self::MayFragment => "IPv4 without DF",
            Self::Fragment => "a fragment other than the first",
            Self::NotOneHost => "source or destination is not a single host",
            Self::IcmpError => "an ICMP error",
            Self::Extensions => "too many IPv6 extension headers",
            Self::MtuTooSmall => "the MTU is smaller than links of this family have",
            Self::Fits => "the packet fits",
        })
    }
}

impl core::error::Error for Silence {}

/// A packet that its sender must be told of when it does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subject<'a> {
    /// Bytes of Ethernet header and tags in front of it.
    pub link_len: usize,
    /// The IP packet, without bytes behind it.
    pub packet: &'a [u8],
    /// Its source and destination.
    pub addresses: Addresses,
}

/// The packet of `frame` (whole L2 frame without FCS), or why nothing may be said about it.
///
/// The rules are those of RFC 1122, 3.2.2 and RFC 4443, 2.4 (e). The order of the checks is part of the contract, for the
/// XDP program has the same:
///
/// 1. Fewer than 14 bytes: [`Silence::Malformed`]. Destination or source MAC address with the group bit:
///    [`Silence::LinkGroup`].
/// 2. A third tag, or an EtherType behind the tags that is neither 0x0800 nor 0x86DD: [`Silence::NotIp`]; a tag past the end
///    of the frame `Malformed`.
/// 3. IPv4: a header that [`ipv4::Packet::new_checked`] refuses, the reserved flag, or a wrong header checksum (RFC 1812,
///    5.2.2) `Malformed`; no DF [`Silence::MayFragment`]; an offset [`Silence::Fragment`]; source or destination in
///    0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 or 240.0.0.0/4 [`Silence::NotOneHost`]; an ICMP error [`Silence::IcmpError`].
///    Broadcasts of a subnet can't be told from hosts here.
/// 4. IPv6: a header that [`ipv6::Packet::new_checked`] refuses `Malformed`; source or destination ::, ::1 or in ff00::/8
///    `NotOneHost`. Then, for each hop-by-hop, routing, destination or fragment header: past the end `Malformed`; an offset
///    `Fragment`; a fifth one [`Silence::Extensions`]. An ICMPv6 error or redirect `IcmpError`. What ESP and AH protect is
///    not looked at.
///
/// # Errors
/// The reason for [`Silence`]; never [`Silence::MtuTooSmall`] or [`Silence::Fits`].
pub fn must_answer(frame: &[u8]) -> Result<Subject<'_>, Silence> {
    let header = ethernet::Frame::new_checked(frame).map_err(malformed)?;
    if is_group(header.destination()) || is_group(header.source()) {
        return Err(Silence::LinkGroup);
    }
    let (mut ether_type, mut rest) = (header.ether_type(), header.payload());
    for _ in 0..MAX_TAGS {
        if vlan::is_tpid(ether_type) {
            let tag = vlan::Tag::new_checked(rest).map_err(malformed)?;
            (ether_type, rest) = (tag.ether_type(), tag.payload());
        }
    }
    let (packet, addresses) = match ether_type {
        ethernet::IPV4 => subject_v4(rest)?,
        ethernet::IPV6 => subject_v6(rest)?,
        _ => return Err(Silence::NotIp),
    };
    Ok(Subject { link_len: frame.len() - rest.len(), packet, addresses })
}

/// Writes the answer to `frame`, whose packet is larger than `mtu` bytes, to the beginning of `out`, and returns how many
/// bytes it is. `mtu` is the largest IP packet that can go the same way, in bytes.
///
/// # Errors
/// The reason for [`Silence`]: those of [`must_answer`] first, then [`Silence::MtuTooSmall`], then [`Silence::Fits`].
pub fn answer(frame: &[u8], mtu: u16, out: &mut [u8; MAX_LEN]) -> Result<usize, Silence> {
    let subject = must_answer(frame)?;
    let (least, quote) = match subject.addresses {
        Addresses::V4 { .. } => (MTU_MIN_V4, QUOTE_V4),
        Addresses::V6 { .. } => (MTU_MIN_V6, QUOTE_V6),
    };
    if mtu < least {
        return Err(Silence::MtuTooSmall);
    }
    if subject.packet.len() <= usize::from(mtu) {
        return Err(Silence::Fits);
    }
    // The packet is longer than the MTU, that is not below the least one, and that not below the quote.
    let quote = &subject.packet[..quote];
    Ok(emit(frame, &subject, mtu, quote, out).expect("the longest answer has room, and its lengths fit their fields"))
}

fn emit(frame: &[u8], subject: &Subject<'_>, mtu: u16, quote: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let (link, ip) = out.split_at_mut(subject.link_len);
    link.copy_from_slice(&frame[..subject.link_len]);
    let (mut link, from) = (ethernet::Frame::new_unchecked(link), ethernet::Frame::new_unchecked(frame));
    link.set_destination(from.source());
    link.set_source(from.destination());

    let addresses = subject.addresses.reversed();
    let payload_len = icmp::HEADER_LEN + quote.len();
    let (ip_len, message) = match addresses {
        Addresses::V4 { source, destination } => {
            // Never fragmented, so that the identification may be 0 (RFC 6864, 4.1).
            let header = ipv4::Repr {
                source,
                destination,
                traffic_class: PRECEDENCE_V4,
                identification: 0,
                dont_fragment: true,
                more_fragments: false,
                fragment_offset: 0,
                ttl: HOPS,
                protocol: icmp::PROTOCOL_V4,
                options: &[],
                payload_len,
            };
            header.emit(ip)?;
            (header.buffer_len(), icmp::Repr::FragmentationNeeded { mtu })
        }
        Addresses::V6 { source, destination } => {
            let header = ipv6::Repr {
                source,
                destination,
                traffic_class: 0,
                flow_label: 0,
                next_header: icmp::PROTOCOL_V6,
                hop_limit: HOPS,
                payload_len,
            };
            header.emit(ip)?;
            (header.buffer_len(), icmp::Repr::PacketTooBig { mtu: u32::from(mtu) })
        }
    };
    let icmp = ip.get_mut(ip_len..ip_len + payload_len).ok_or(Error::Truncated)?;
    message.emit(icmp)?;
    icmp[icmp::HEADER_LEN..].copy_from_slice(quote);
    icmp::Packet::new_unchecked(icmp).fill_checksum(&addresses);
    Ok(subject.link_len + ip_len + payload_len)
}

fn subject_v4(bytes: &[u8]) -> Result<(&[u8], Addresses), Silence> {
    let packet = ipv4::Packet::new_checked(bytes).map_err(malformed)?;
    if packet.reserved_flag() || !packet.verify_checksum() {
        return Err(Silence::Malformed);
    }
    if !packet.dont_fragment() {
        return Err(Silence::MayFragment);
    }
    if packet.fragment_offset() != 0 {
        return Err(Silence::Fragment);
    }
    let addresses = packet.addresses();
    if !are_hosts(&addresses) {
        return Err(Silence::NotOneHost);
    }
    if packet.protocol() == icmp::PROTOCOL_V4 {
        let kind = packet.payload().first().ok_or(Silence::Malformed)?;
        if icmp::is_error_v4(*kind) {
            return Err(Silence::IcmpError);
        }
    }
    Ok((&bytes[..packet.total_len()], addresses))
}

fn subject_v6(bytes: &[u8]) -> Result<(&[u8], Addresses), Silence> {
    let packet = ipv6::Packet::new_checked(bytes).map_err(malformed)?;
    let addresses = packet.addresses();
    if !are_hosts(&addresses) {
        return Err(Silence::NotOneHost);
    }
    let (protocol, upper) = behind_extensions(packet.next_header(), packet.payload())?;
    if protocol == icmp::PROTOCOL_V6 {
        let kind = upper.first().ok_or(Silence::Malformed)?;
        if icmp::is_error_v6(*kind) {
            return Err(Silence::IcmpError);
        }
    }
    Ok((&bytes[..ipv6::HEADER_LEN + packet.payload_len()], addresses))
}

/// IP protocol number and bytes of what the extension headers lead to.
fn behind_extensions(mut next_header: u8, mut rest: &[u8]) -> Result<(u8, &[u8]), Silence> {
    for _ in 0..=EXTENSIONS_MAX {
        (next_header, rest) = match next_header {
            ipv6_ext::FRAGMENT => {
                let fragment = ipv6_ext::Fragment::new_checked(rest).map_err(malformed)?;
                if fragment.offset() != 0 {
                    return Err(Silence::Fragment);
                }
                (fragment.next_header(), fragment.payload())
            }
            ipv6_ext::HOP_BY_HOP | ipv6_ext::ROUTING | ipv6_ext::DESTINATION => {
                let header = ipv6_ext::Packet::new_checked(rest).map_err(malformed)?;
                (header.next_header(), header.payload())
            }
            _ => return Ok((next_header, rest)),
        };
    }
    Err(Silence::Extensions)
}

fn malformed(_: Error) -> Silence {
    Silence::Malformed
}

fn is_group(address: MacAddress) -> bool {
    address.0[0] & GROUP != 0
}

/// True when both addresses may be those of single hosts. The destination's counts as well: it is the answer's source.
fn are_hosts(addresses: &Addresses) -> bool {
    let v4 = |address: &[u8; 4]| !matches!(address[0], 0 | 127 | 224..);
    let v6 = |address: &[u8; 16]| address[0] != 0xff && u128::from_be_bytes(*address) > 1;
    match addresses {
        Addresses::V4 { source, destination } => v4(source) && v4(destination),
        Addresses::V6 { source, destination } => v6(source) && v6(destination),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
    const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];
    const LINK_V4: [u8; 14] = [2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x08, 0x00];
    /// UDP in 100 bytes, DF.
    const HEADERS_V4: [u8; 28] = [
        0x45, 0, 0, 100, 0x12, 0x34, 0x40, 0, 64, 17, 0x3c, 0x1f, 192, 0, 2, 1, 198, 51, 100, 1, //
        0xc0, 0, 0, 0x35, 0, 80, 0, 0,
    ];
    const LINK_V6: [u8; 14] = [2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x86, 0xdd];
    /// UDP in 1,340 bytes.
    const HEADERS_V6: [u8; 48] = [
        0x60, 0, 0, 0, 0x05, 0x14, 17, 64, //
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
        0xc0, 0, 0, 0x35, 0x05, 0x14, 0, 0,
    ];
    const TAGS: [u8; 8] = [0x88, 0xa8, 0x60, 0x64, 0x81, 0x00, 0xa0, 0x07];

    /// What stands behind the headers.
    fn filler(len: usize) -> Vec<u8> {
        (0..=255).cycle().take(len).collect()
    }

    fn v4() -> Vec<u8> {
        [&LINK_V4[..], &HEADERS_V4, &filler(72)].concat()
    }

    fn v6() -> Vec<u8> {
        [&LINK_V6[..], &HEADERS_V6, &filler(1292)].concat()
    }

    /// The frame with these bytes in its IP packet, and an IPv4 checksum that is right again.
    fn with(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
        frame[14 + at..14 + at + bytes.len()].copy_from_slice(bytes);
        if frame[12..14] == [0x08, 0x00] {
            ipv4::Packet::new_unchecked(&mut frame[14..]).fill_checksum();
        }
        frame
    }

    fn answered(frame: &[u8], mtu: u16) -> Result<Vec<u8>, Silence> {
        let mut out = [0xff; MAX_LEN];
        answer(frame, mtu, &mut out).map(|len| out[..len].to_vec())
    }

    /// The answers' headers without what is quoted.
    const ANSWER_V4: [u8; 42] = [
        2, 0, 0, 0, 0, 0xa, 2, 0, 0, 0, 0, 0xb, 0x08, 0x00, //
        0x45, 0xc0, 0, 96, 0, 0, 0x40, 0, 64, 1, 0x4d, 0xa7, 198, 51, 100, 1, 192, 0, 2, 1, //
        3, 4, 0xbe, 0x94, 0, 0, 0, 80,
    ];
    const ANSWER_V6: [u8; 62] = [
        2, 0, 0, 0, 0, 0xa, 2, 0, 0, 0, 0, 0xb, 0x86, 0xdd, //
        0x60, 0, 0, 0, 0, 96, 58, 64, //
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
        2, 0, 0x88, 0x4b, 0, 0, 0x05, 0x00,
    ];

    #[test]
    fn the_answers_byte_by_byte() {
        let frame = v4();
        assert_eq!(answered(&frame, 80).unwrap(), [&ANSWER_V4[..], &frame[14..82]].concat());
        let frame = v6();
        assert_eq!(answered(&frame, 1280).unwrap(), [&ANSWER_V6[..], &frame[14..102]].concat());
    }

    #[test]
    fn tags_stay_as_they_were() {
        for (frame, mtu, expect) in [(v4(), 80, &ANSWER_V4[..]), (v6(), 1280, &ANSWER_V6)] {
            for tags in [&TAGS[..4], &TAGS[4..], &TAGS] {
                let tagged = [&frame[..12], tags, &frame[12..]].concat();
                let quoted = answered(&frame, mtu).unwrap();
                let answer = answered(&tagged, mtu).unwrap();
                assert_eq!(answer, [&expect[..12], tags, &quoted[12..]].concat());
                assert!(answer.len() <= MAX_LEN);
            }
            let thrice = [&frame[..12], &TAGS, &TAGS[4..], &frame[12..]].concat();
            assert_eq!(answered(&thrice, mtu), Err(Silence::NotIp));
        }
    }

    #[test]
    fn bytes_behind_the_packet_are_not_part_of_it() {
        let padded = [v4(), [0; 40].to_vec()].concat();
        assert_eq!(answered(&padded, 80), answered(&v4(), 80));
        assert_eq!(answered(&padded, 100), Err(Silence::Fits));
    }

    #[test]
    fn the_mtu_bounds_the_answer() {
        let long = |len: u16| with([v4(), filler(100)].concat(), 2, &len.to_be_bytes());
        assert!(answered(&long(69), 68).is_ok());
        assert_eq!(answered(&long(68), 68), Err(Silence::Fits));
        assert_eq!(answered(&long(69), 67), Err(Silence::MtuTooSmall));
        assert_eq!(answered(&v6(), 1279), Err(Silence::MtuTooSmall));
        assert!(answered(&v6(), 1339).is_ok());
        assert_eq!(answered(&v6(), 1340), Err(Silence::Fits));
    }

    #[test]
    fn every_cut_is_silent() {
        for frame in [v4(), v6()] {
            for cut in 0..frame.len() {
                assert_eq!(must_answer(&frame[..cut]), Err(Silence::Malformed), "cut at {cut}");
            }
        }
        let tagged = [&v4()[..12], &TAGS[4..]].concat();
        assert_eq!(must_answer(&tagged[..15]), Err(Silence::Malformed));
    }

    #[test]
    fn each_rule_of_ipv4_on_literal_bytes() {
        let cases: [(Silence, usize, &[u8]); 20] = [
            (Silence::Malformed, 0, &[0x65]),
            (Silence::Malformed, 0, &[0x44]),
            (Silence::Malformed, 2, &[0, 19]),
            (Silence::Malformed, 2, &[0, 101]),
            (Silence::Malformed, 6, &[0xc0]),
            (Silence::MayFragment, 6, &[0x00]),
            (Silence::MayFragment, 6, &[0x20]),
            (Silence::Fragment, 6, &[0x40, 1]),
            (Silence::NotOneHost, 12, &[0, 0, 0, 0]),
            (Silence::NotOneHost, 12, &[127, 0, 0, 1]),
            (Silence::NotOneHost, 12, &[224, 0, 0, 1]),
            (Silence::NotOneHost, 12, &[255, 255, 255, 255]),
            (Silence::NotOneHost, 16, &[239, 1, 1, 1]),
            (Silence::NotOneHost, 16, &[255, 255, 255, 255]),
            (Silence::NotOneHost, 16, &[0, 0, 0, 0]),
            (Silence::NotOneHost, 16, &[240, 0, 0, 1]),
            (Silence::IcmpError, 9, &[1, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1, 3]),
            (Silence::IcmpError, 9, &[1, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1, 11]),
            (Silence::IcmpError, 9, &[1, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1, 12]),
            (Silence::IcmpError, 9, &[1, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1, 5]),
        ];
        for (expect, at, bytes) in cases {
            // The length and the version first, for the checksum is set by them.
            let mut frame = v4();
            frame[14 + at..14 + at + bytes.len()].copy_from_slice(bytes);
            if expect != Silence::Malformed {
                frame = with(frame, 0, &[]);
            }
            assert_eq!(must_answer(&frame), Err(expect), "{bytes:02x?} at {at}");
        }
        let mut damaged = v4();
        damaged[14 + 8] ^= 1;
        assert_eq!(must_answer(&damaged), Err(Silence::Malformed), "checksum");
    }

    #[test]
    fn what_is_answered_in_ipv4() {
        // A first fragment with DF, an echo request, TCP, what nobody knows; and options, an error behind them.
        for (at, bytes) in [(6, &[0x60][..]), (9, &[6]), (9, &[250])] {
            assert!(must_answer(&with(v4(), at, bytes)).is_ok(), "{bytes:02x?} at {at}");
        }
        let echo = with(with(v4(), 9, &[icmp::PROTOCOL_V4]), 20, &[8]);
        assert!(must_answer(&echo).is_ok());
        let options = with(echo, 0, &[0x4f]);
        assert_eq!(answered(&options, 80).unwrap().len(), 110);
        assert_eq!(must_answer(&with(options, 60, &[3])), Err(Silence::IcmpError));
    }

    #[test]
    fn each_rule_of_the_link() {
        for (at, value) in [(0, 0xff), (0, 0x01), (6, 0x03)] {
            let mut frame = v4();
            frame[at] = value;
            assert_eq!(must_answer(&frame), Err(Silence::LinkGroup));
        }
        let mut frame = v4();
        frame[12..14].copy_from_slice(&[0x08, 0x06]);
        assert_eq!(must_answer(&frame), Err(Silence::NotIp));
        assert_eq!((&v4()[..6], &v4()[6..12]), (&MAC_B[..], &MAC_A[..]));
    }

    #[test]
    fn each_rule_of_ipv6_on_literal_bytes() {
        let ff02 = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let mut loopback = [0; 16];
        loopback[15] = 1;
        let cases: [(Silence, usize, &[u8]); 8] = [
            (Silence::Malformed, 0, &[0x40]),
            (Silence::Malformed, 4, &[0x05, 0x15]),
            (Silence::NotOneHost, 8, &[0; 16]),
            (Silence::NotOneHost, 8, &loopback),
            (Silence::NotOneHost, 8, &ff02),
            (Silence::NotOneHost, 24, &ff02),
            (Silence::NotOneHost, 24, &[0; 16]),
            (Silence::NotOneHost, 24, &loopback),
        ];
        for (expect, at, bytes) in cases {
            assert_eq!(must_answer(&with(v6(), at, bytes)), Err(expect), "{bytes:02x?} at {at}");
        }
        let icmp = with(v6(), 6, &[icmp::PROTOCOL_V6]);
        for (kind, is_error) in [(1, true), (2, true), (4, true), (100, true), (137, true), (128, false), (135, false)]
        {
            let verdict = must_answer(&with(icmp.clone(), 40, &[kind])).map(|_| ());
            assert_eq!(verdict, if is_error { Err(Silence::IcmpError) } else { Ok(()) }, "type {kind}");
        }
    }

    #[test]
    fn extension_headers_are_looked_behind() {
        let chain = |headers: &[(u8, [u8; 8])], last: u8| {
            let mut frame = v6();
            let mut at = 20;
            let mut behind = 54;
            for (number, header) in headers {
                frame[at] = *number;
                frame[behind..behind + 8].copy_from_slice(header);
                (at, behind) = (behind, behind + 8);
            }
            frame[at] = last;
            frame[behind] = 1; // An ICMPv6 error, if it is one.
            frame
        };
        let options = |number| (number, [0; 8]);
        let first = (44, [0, 0, 0, 1, 0, 0, 0, 1]);
        let later = (44, [0, 0, 0, 8, 0, 0, 0, 1]);
        let four = [options(0), options(43), options(60), first];
        assert_eq!(must_answer(&chain(&four, 58)), Err(Silence::IcmpError));
        assert!(must_answer(&chain(&four, 17)).is_ok());
        assert!(must_answer(&chain(&[first], ipv6_ext::ESP)).is_ok());
        assert_eq!(must_answer(&chain(&[later], 17)), Err(Silence::Fragment));
        assert_eq!(must_answer(&chain(&[options(0), options(60), later], 58)), Err(Silence::Fragment));
        assert_eq!(must_answer(&chain(&[options(60); 5], 17)), Err(Silence::Extensions));
        // 1,304 bytes long: past the end.
        assert_eq!(must_answer(&chain(&[(60, [0, 162, 0, 0, 0, 0, 0, 0])], 17)), Err(Silence::Malformed));
        // 1,296 bytes long: four are left.
        assert!(must_answer(&chain(&[(60, [0, 161, 0, 0, 0, 0, 0, 0])], 17)).is_ok());
    }
}
