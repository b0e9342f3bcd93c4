//! One function that turns a frame into its flow key, or into the reason why it has none.
//!
//! `bpf/parse.h` makes the same decisions in the same order; the differential test compares the two frame by frame.
//! Nothing here looks a session up.

use crate::error::Error;
use crate::flow::{Addresses, FlowKey, SlowPath, Transport, Vid};
use crate::{ethernet, ipv4, ipv6, ipv6_ext, tcp, udp, vlan};

/// How many tags a frame with a flow key may have.
const MAX_TAGS: usize = 2;

type Verdict<T> = Result<T, SlowPath>;

/// The flow key of `frame` (whole L2 frame without FCS), or why it must go to the firewall.
///
/// The order of the checks is part of the contract, for a frame with two faults is counted under the first:
///
/// 1. Fewer than 14 bytes: [`SlowPath::Truncated`].
/// 2. For each tag (TPID 0x8100 or 0x88A8; IEEE 802.1Q, 9.5): a third one is [`SlowPath::TooManyTags`]; fewer than
///    4 more bytes [`SlowPath::Truncated`]; VID 4095 [`SlowPath::VlanReserved`]. Then, of two tags, an outer VID 0 is
///    [`SlowPath::VlanReserved`]. The key has the outermost VID.
/// 3. The EtherType behind the tags is neither 0x0800 nor 0x86DD: [`SlowPath::EtherType`].
/// 4. IPv4 (RFC 791): fewer than 20 bytes `Truncated`; version not 4 or IHL below 5 `Ipv4Malformed`; IHL above 5
///    `Ipv4Options`; total length below 20 `Ipv4Malformed`; total length past the end of the frame `Truncated`;
///    reserved flag `Ipv4Malformed`; MF or an offset `Fragment`; neither TCP nor UDP `Protocol`.
/// 5. IPv6 (RFC 8200): fewer than 40 bytes `Truncated`; version not 6 or payload length 0 `Ipv6Malformed`; payload
///    past the end of the frame `Truncated`; next header 44 `Fragment`; 0, 43, 50, 51, 60, 135, 139, 140, 253 or 254 (the
///    extension headers of the IANA registry) `Ipv6Extension`; neither TCP nor UDP `Protocol`.
/// 6. TCP, within what IP carries: fewer than 20 bytes `Truncated`; data offset below 5 `TcpMalformed`; data offset past
///    the end `Truncated`; SYN, FIN or RST `TcpControl`.
/// 7. UDP, within what IP carries: fewer than 8 bytes `Truncated`; length below 8 `UdpMalformed`; length greater than
///    what IP carries `Truncated`, smaller `UdpMalformed`.
///
/// Bytes behind the IP packet are Ethernet padding and are not looked at. Checksums are not verified: a frame
/// that was damaged on the way is no less damaged at its receiver, which checks them.
///
/// # Errors
/// The [`SlowPath`] reason; never [`SlowPath::Miss`].
pub fn classify(frame: &[u8]) -> Result<FlowKey, SlowPath> {
    let l2 = link(frame)?;
    let l3 = match l2.ether_type {
        ethernet::IPV4 => internet_v4(l2.payload)?,
        ethernet::IPV6 => internet_v6(l2.payload)?,
        _ => return Err(SlowPath::EtherType),
    };
    let (source_port, destination_port) = match l3.transport {
        Transport::Tcp => tcp_ports(l3.payload)?,
        Transport::Udp => udp_ports(l3.payload)?,
    };
    Ok(FlowKey { vlan: l2.vlan, addresses: l3.addresses, source_port, destination_port, transport: l3.transport })
}

/// The VID that a frame belongs to although it may have no key: that of its outermost tag. Untagged without one, with one that is
/// cut short, and with the reserved VID.
pub fn outer_vid(frame: &[u8]) -> Vid {
    let Ok(header) = ethernet::Frame::new_checked(frame) else { return Vid::UNTAGGED };
    if !vlan::is_tpid(header.ether_type()) {
        return Vid::UNTAGGED;
    }
    let tag = vlan::Tag::new_checked(header.payload());
    tag.ok().and_then(|tag| Vid::new(tag.vid())).unwrap_or(Vid::UNTAGGED)
}

/// What is behind Ethernet header and tags.
struct Link<'a> {
    vlan: Vid,
    ether_type: u16,
    payload: &'a [u8],
}

/// Rules 1 and 2.
fn link(frame: &[u8]) -> Verdict<Link<'_>> {
    let header = ethernet::Frame::new_checked(frame).map_err(|_| SlowPath::Truncated)?;
    let mut link = Link { vlan: Vid::UNTAGGED, ether_type: header.ether_type(), payload: header.payload() };
    let mut tags = 0;
    while vlan::is_tpid(link.ether_type) {
        if tags == MAX_TAGS {
            return Err(SlowPath::TooManyTags);
        }
        let tag = vlan::Tag::new_checked(link.payload).map_err(|_| SlowPath::Truncated)?;
        let vid = Vid::new(tag.vid()).ok_or(SlowPath::VlanReserved)?;
        if tags == 0 {
            link.vlan = vid;
        }
        link.ether_type = tag.ether_type();
        link.payload = tag.payload();
        tags += 1;
    }
    if tags == MAX_TAGS && link.vlan.is_untagged() {
        return Err(SlowPath::VlanReserved);
    }
    Ok(link)
}

/// What is behind the IP header, and nothing behind the IP packet.
struct Internet<'a> {
    addresses: Addresses,
    transport: Transport,
    payload: &'a [u8],
}

/// Rule 4. The view is unchecked, for options come before the length fields that a checked one would look at.
fn internet_v4(bytes: &[u8]) -> Verdict<Internet<'_>> {
    if bytes.len() < ipv4::HEADER_LEN {
        return Err(SlowPath::Truncated);
    }
    let packet = ipv4::Packet::new_unchecked(bytes);
    if packet.version() != 4 || packet.header_len() < ipv4::HEADER_LEN {
        return Err(SlowPath::Ipv4Malformed);
    }
    if packet.header_len() > ipv4::HEADER_LEN {
        return Err(SlowPath::Ipv4Options);
    }
    if packet.total_len() < ipv4::HEADER_LEN {
        return Err(SlowPath::Ipv4Malformed);
    }
    if packet.total_len() > bytes.len() {
        return Err(SlowPath::Truncated);
    }
    if packet.reserved_flag() {
        return Err(SlowPath::Ipv4Malformed);
    }
    if packet.is_fragment() {
        return Err(SlowPath::Fragment);
    }
    let transport = Transport::from_number(packet.protocol()).ok_or(SlowPath::Protocol)?;
    Ok(Internet { addresses: packet.addresses(), transport, payload: packet.payload() })
}

/// Rule 5.
fn internet_v6(bytes: &[u8]) -> Verdict<Internet<'_>> {
    if bytes.len() < ipv6::HEADER_LEN {
        return Err(SlowPath::Truncated);
    }
    let packet = ipv6::Packet::new_unchecked(bytes);
    if packet.version() != 6 || packet.payload_len() == 0 {
        return Err(SlowPath::Ipv6Malformed);
    }
    if ipv6::HEADER_LEN + packet.payload_len() > bytes.len() {
        return Err(SlowPath::Truncated);
    }
    if packet.next_header() == ipv6_ext::FRAGMENT {
        return Err(SlowPath::Fragment);
    }
    if ipv6_ext::is_extension(packet.next_header()) {
        return Err(SlowPath::Ipv6Extension);
    }
    let transport = Transport::from_number(packet.next_header()).ok_or(SlowPath::Protocol)?;
    Ok(Internet { addresses: packet.addresses(), transport, payload: packet.payload() })
}

/// Rule 6: source and destination port.
fn tcp_ports(bytes: &[u8]) -> Verdict<(u16, u16)> {
    let packet = tcp::Packet::new_checked(bytes).map_err(|error| malformed(error, SlowPath::TcpMalformed))?;
    if packet.flags().intersects(tcp::Flags::CONTROL) {
        return Err(SlowPath::TcpControl);
    }
    Ok((packet.source_port(), packet.destination_port()))
}

/// Rule 7: source and destination port.
fn udp_ports(bytes: &[u8]) -> Verdict<(u16, u16)> {
    let packet = udp::Packet::new_checked(bytes).map_err(|error| malformed(error, SlowPath::UdpMalformed))?;
    if packet.length() < bytes.len() {
        return Err(SlowPath::UdpMalformed);
    }
    Ok((packet.source_port(), packet.destination_port()))
}

/// The reason for a header that its view refuses: short of bytes, or wrong in itself.
fn malformed(error: Error, reason: SlowPath) -> SlowPath {
    if error == Error::Truncated { SlowPath::Truncated } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TCP ACK, IPv4, VLAN 100 with priority 5.
    const TCP4: [u8; 58] = [
        2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x81, 0x00, 0xa0, 0x64, 0x08, 0x00, //
        0x45, 0, 0, 0x28, 0, 1, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1, //
        0xc0, 0x00, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0,
    ];
    /// UDP with four bytes, IPv6, untagged, two bytes of padding.
    const UDP6: [u8; 68] = [
        2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x86, 0xdd, //
        0x60, 0, 0, 0, 0, 12, 17, 64, //
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
        0xc0, 0x00, 0x00, 0x35, 0, 12, 0, 0, 1, 2, 3, 4, 0, 0,
    ];

    fn tcp4_with(at: usize, bytes: &[u8]) -> Verdict<FlowKey> {
        let mut frame = TCP4;
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        classify(&frame)
    }

    fn udp6_with(at: usize, bytes: &[u8]) -> Verdict<FlowKey> {
        let mut frame = UDP6;
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        classify(&frame)
    }

    #[test]
    fn keys_of_literal_frames() {
        let tcp = FlowKey {
            vlan: Vid::new(100).unwrap(),
            addresses: Addresses::V4 { source: [192, 0, 2, 1], destination: [198, 51, 100, 1] },
            source_port: 0xc000,
            destination_port: 443,
            transport: Transport::Tcp,
        };
        assert_eq!(classify(&TCP4), Ok(tcp));

        let source = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let destination = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        let udp = FlowKey {
            vlan: Vid::UNTAGGED,
            addresses: Addresses::V6 { source, destination },
            source_port: 0xc000,
            destination_port: 53,
            transport: Transport::Udp,
        };
        assert_eq!(classify(&UDP6), Ok(udp));
    }

    #[test]
    fn every_cut_is_truncated() {
        for cut in 0..TCP4.len() {
            assert_eq!(classify(&TCP4[..cut]), Err(SlowPath::Truncated), "tcp4 cut at {cut}");
        }
        for cut in 0..UDP6.len() - 2 {
            assert_eq!(classify(&UDP6[..cut]), Err(SlowPath::Truncated), "udp6 cut at {cut}");
        }
        assert!(classify(&UDP6[..66]).is_ok(), "padding may be missing");
    }

    #[test]
    fn each_rule_on_literal_bytes() {
        let tcp4 = [
            (SlowPath::EtherType, tcp4_with(12, &[0x08, 0x06])),
            (SlowPath::VlanReserved, tcp4_with(14, &[0xaf, 0xff])),
            (SlowPath::EtherType, tcp4_with(16, &[0x08, 0x06])),
            (SlowPath::Ipv4Malformed, tcp4_with(18, &[0x65])),
            (SlowPath::Ipv4Malformed, tcp4_with(18, &[0x44])),
            (SlowPath::Ipv4Options, tcp4_with(18, &[0x46])),
            (SlowPath::Ipv4Malformed, tcp4_with(20, &[0, 19])),
            (SlowPath::Truncated, tcp4_with(20, &[0, 41])),
            (SlowPath::Truncated, tcp4_with(20, &[0, 39])),
            (SlowPath::Ipv4Malformed, tcp4_with(24, &[0xc0, 0])),
            (SlowPath::Fragment, tcp4_with(24, &[0x20, 0])),
            (SlowPath::Fragment, tcp4_with(24, &[0, 1])),
            (SlowPath::Protocol, tcp4_with(27, &[1])),
            (SlowPath::TcpMalformed, tcp4_with(50, &[0x40])),
            (SlowPath::Truncated, tcp4_with(50, &[0x60])),
            (SlowPath::TcpControl, tcp4_with(51, &[0x01])),
            (SlowPath::TcpControl, tcp4_with(51, &[0x12])),
            (SlowPath::TcpControl, tcp4_with(51, &[0x04])),
        ];
        let udp6 = [
            (SlowPath::Ipv6Malformed, udp6_with(14, &[0x40])),
            (SlowPath::Ipv6Malformed, udp6_with(18, &[0, 0])),
            (SlowPath::Truncated, udp6_with(18, &[0, 15])),
            (SlowPath::Fragment, udp6_with(20, &[44])),
            (SlowPath::Ipv6Extension, udp6_with(20, &[0])),
            (SlowPath::Ipv6Extension, udp6_with(20, &[43])),
            (SlowPath::Ipv6Extension, udp6_with(20, &[60])),
            (SlowPath::Protocol, udp6_with(20, &[58])),
            (SlowPath::UdpMalformed, udp6_with(58, &[0, 7])),
            (SlowPath::UdpMalformed, udp6_with(58, &[0, 11])),
            (SlowPath::Truncated, udp6_with(58, &[0, 13])),
        ];
        for (at, (expect, got)) in tcp4.into_iter().chain(udp6).enumerate() {
            assert_eq!(got, Err(expect), "case {at}");
        }
    }

    #[test]
    fn of_two_faults_the_first_is_named() {
        // Options, a total length of 0, a fragment, another protocol: the order of rule 4.
        assert_eq!(tcp4_with(18, &[0x46, 0, 0, 0, 0, 0, 0xa0, 0, 0, 1]), Err(SlowPath::Ipv4Options));
        assert_eq!(tcp4_with(18, &[0x45, 0, 0, 0, 0, 0, 0xa0, 0, 0, 1]), Err(SlowPath::Ipv4Malformed));
        assert_eq!(tcp4_with(18, &[0x45, 0, 1, 0, 0, 0, 0xa0, 0, 0, 1]), Err(SlowPath::Truncated));
        assert_eq!(tcp4_with(24, &[0x20, 0, 0, 1]), Err(SlowPath::Fragment));
        assert_eq!(tcp4_with(50, &[0x40, 0x02]), Err(SlowPath::TcpMalformed));
        assert_eq!(udp6_with(18, &[0, 0, 44]), Err(SlowPath::Ipv6Malformed));
        assert_eq!(udp6_with(18, &[1, 0, 44]), Err(SlowPath::Truncated));
    }

    #[test]
    fn the_vlan_of_a_frame_without_a_key() {
        let mut frame = TCP4;
        assert_eq!(outer_vid(&frame), Vid::new(100).unwrap());
        assert_eq!(outer_vid(&frame[..17]), Vid::UNTAGGED, "cut short");
        assert_eq!(outer_vid(&frame[..18]), Vid::new(100).unwrap());
        assert_eq!(outer_vid(&UDP6), Vid::UNTAGGED);
        frame[14..16].copy_from_slice(&[0xaf, 0xff]);
        assert_eq!(outer_vid(&frame), Vid::UNTAGGED, "reserved");
        frame[14..20].copy_from_slice(&[0, 7, 0x81, 0, 0, 8]);
        assert_eq!(outer_vid(&frame), Vid::new(7).unwrap(), "the outer one");
    }
}
