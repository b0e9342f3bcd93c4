//! One function that turns a frame into its flow key, or into the reason why it has none.
//!
//! `bpf/parse.h` makes the same decisions in the same order; the differential test compares the two frame by frame.
//! Nothing here looks a session up.

use crate::error::Error;
use crate::flow::{Addresses, FlowKey, SlowPath, Transport, Tunnel, Vid};
use crate::{ethernet, gtpu, ipv4, ipv6, ipv6_ext, tcp, udp, vlan};

/// How many tags a frame with a flow key may have.
const MAX_TAGS: usize = 2;
/// How many GTP-U extension headers a G-PDU with a flow key may have. On N3 there is one, between base stations two or
/// three.
pub const MAX_GTPU_EXTENSIONS: usize = 4;

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
/// 8. UDP to port 2152 is GTP-U (3GPP TS 29.281), always: it has the key of the packet inside, or none. Within what UDP
///    carries: fewer than 8 bytes `Truncated`; version not 1 or protocol type not 1 `GtpuMalformed`; message type not 255
///    `GtpuControl`; length greater than what is behind the first 8 bytes `Truncated`, smaller `GtpuMalformed`; E, S or PN
///    set and fewer than 4 more bytes `Truncated`. With E set, for each extension header, which is there when the type
///    in front of it is not 0: a fifth one is [`SlowPath::GtpuExtensions`]; no more bytes `Truncated`; length 0
///    `GtpuMalformed`; length past the end of the message `Truncated`. Then the packet inside: no more bytes `Truncated`;
///    version neither 4 nor 6 `GtpuMalformed`; rule 4 or 5, with the end of the message for the end of the frame; bytes
///    behind the IP packet `GtpuMalformed`; rule 6 or 7. Rule 8 is not applied again: GTP-U in GTP-U has the key of the
///    datagram that is inside the outer tunnel.
///
/// The key has the outermost VID of the frame, whatever it carries. GTP-U flags and types are those that TS 29.281 has a
/// receiver look at: spare bits and the fields whose flag is not set are not evaluated. The TEID is not part of the key.
///
/// Bytes behind the outermost IP packet are Ethernet padding and are not looked at. Checksums are not verified: a frame
/// that was damaged on the way is no less damaged at its receiver, which checks them.
///
/// # Errors
/// The [`SlowPath`] reason; always one [`SlowPath::is_of_the_parser`].
pub fn classify(frame: &[u8]) -> Result<FlowKey, SlowPath> {
    match flow(frame)? {
        (_, Ports { is_control: true, .. }) => Err(SlowPath::TcpControl),
        (key, _) => Ok(key),
    }
}

/// The flow that a frame belongs to, be it that it has its key or that it is TCP control, which has none: where both take one
/// way, a FIN does not overtake the data in front of it.
pub fn flow_of(frame: &[u8]) -> Option<FlowKey> {
    flow(frame).ok().map(|(key, _)| key)
}

/// The rules, but for what becomes of TCP control.
fn flow(frame: &[u8]) -> Verdict<(FlowKey, Ports)> {
    let l2 = link(frame)?;
    let l3 = match l2.ether_type {
        ethernet::IPV4 => internet_v4(l2.payload)?,
        ethernet::IPV6 => internet_v6(l2.payload)?,
        _ => return Err(SlowPath::EtherType),
    };
    let ports = l3.ports()?;
    if l3.transport == Transport::Udp && ports.destination == gtpu::PORT {
        let inner = inside_gtpu(&l3.payload[udp::HEADER_LEN..])?;
        let ports = inner.ports()?;
        return Ok((inner.key(l2.vlan, Tunnel::Gtpu, ports), ports));
    }
    Ok((l3.key(l2.vlan, Tunnel::None, ports), ports))
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

/// What the transport header says.
#[derive(Clone, Copy)]
struct Ports {
    source: u16,
    destination: u16,
    /// TCP with SYN, FIN or RST.
    is_control: bool,
}

/// What is behind the IP header, and nothing behind the IP packet.
struct Internet<'a> {
    addresses: Addresses,
    transport: Transport,
    payload: &'a [u8],
}

impl Internet<'_> {
    /// Rule 6 or 7.
    fn ports(&self) -> Verdict<Ports> {
        match self.transport {
            Transport::Tcp => tcp_ports(self.payload),
            Transport::Udp => udp_ports(self.payload),
        }
    }

    const fn key(&self, vlan: Vid, tunnel: Tunnel, ports: Ports) -> FlowKey {
        let (addresses, transport) = (self.addresses, self.transport);
        FlowKey { vlan, tunnel, addresses, source_port: ports.source, destination_port: ports.destination, transport }
    }
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

/// Rule 6.
fn tcp_ports(bytes: &[u8]) -> Verdict<Ports> {
    let packet = tcp::Packet::new_checked(bytes).map_err(|error| malformed(error, SlowPath::TcpMalformed))?;
    let is_control = packet.flags().intersects(tcp::Flags::CONTROL);
    Ok(Ports { source: packet.source_port(), destination: packet.destination_port(), is_control })
}

/// Rule 7.
fn udp_ports(bytes: &[u8]) -> Verdict<Ports> {
    let packet = udp::Packet::new_checked(bytes).map_err(|error| malformed(error, SlowPath::UdpMalformed))?;
    if packet.length() < bytes.len() {
        return Err(SlowPath::UdpMalformed);
    }
    Ok(Ports { source: packet.source_port(), destination: packet.destination_port(), is_control: false })
}

/// Rule 8, up to the ports: the IP packet in a GTP-U message, which is all that UDP carries.
fn inside_gtpu(bytes: &[u8]) -> Verdict<Internet<'_>> {
    let packet = g_pdu(bytes)?;
    let (inner, header_len) = match packet.first().ok_or(SlowPath::Truncated)? >> 4 {
        4 => (internet_v4(packet)?, ipv4::HEADER_LEN),
        6 => (internet_v6(packet)?, ipv6::HEADER_LEN),
        _ => return Err(SlowPath::GtpuMalformed),
    };
    if header_len + inner.payload.len() < packet.len() {
        return Err(SlowPath::GtpuMalformed);
    }
    Ok(inner)
}

/// What a G-PDU has behind its header and extension headers. The view is unchecked, for the type of the message comes
/// before its length.
fn g_pdu(bytes: &[u8]) -> Verdict<&[u8]> {
    if bytes.len() < gtpu::HEADER_LEN {
        return Err(SlowPath::Truncated);
    }
    let message = gtpu::Packet::new_unchecked(bytes);
    if message.version() != gtpu::VERSION || !message.is_gtp() {
        return Err(SlowPath::GtpuMalformed);
    }
    if message.message_type() != gtpu::G_PDU {
        return Err(SlowPath::GtpuControl);
    }
    if message.message_len() > bytes.len() {
        return Err(SlowPath::Truncated);
    }
    if message.message_len() < bytes.len() {
        return Err(SlowPath::GtpuMalformed);
    }
    if message.header_len() > bytes.len() {
        return Err(SlowPath::Truncated);
    }
    let mut rest = message.payload();
    let mut next = message.next_extension().unwrap_or(gtpu::NO_EXTENSION);
    let mut extensions = 0;
    while next != gtpu::NO_EXTENSION {
        if extensions == MAX_GTPU_EXTENSIONS {
            return Err(SlowPath::GtpuExtensions);
        }
        let extension =
            gtpu::Extension::new_checked(rest).map_err(|error| malformed(error, SlowPath::GtpuMalformed))?;
        next = extension.next_extension();
        rest = extension.payload();
        extensions += 1;
    }
    Ok(rest)
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

    /// UDP without payload, IPv4, in a G-PDU with a PDU session container, over IPv4, untagged.
    const GTPU: [u8; 86] = [
        2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x08, 0x00, //
        0x45, 0, 0, 72, 0, 1, 0, 0, 64, 17, 0, 0, 203, 0, 113, 1, 203, 0, 113, 2, //
        0xd0, 0x00, 0x08, 0x68, 0, 52, 0, 0, //
        0x34, 0xff, 0, 36, 0, 0, 0, 7, 0xab, 0xcd, 0xef, 0x85, 1, 0x10, 9, 0, //
        0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1, //
        0xc0, 0x00, 0x08, 0x68, 0, 8, 0, 0,
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

    fn gtpu_with(at: usize, bytes: &[u8]) -> Verdict<FlowKey> {
        let mut frame = GTPU;
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        classify(&frame)
    }

    #[test]
    fn the_key_of_a_g_pdu_is_that_of_its_packet_which_is_not_looked_into_again() {
        let key = FlowKey {
            vlan: Vid::UNTAGGED,
            tunnel: Tunnel::Gtpu,
            addresses: Addresses::V4 { source: [192, 0, 2, 1], destination: [198, 51, 100, 1] },
            source_port: 0xc000,
            destination_port: gtpu::PORT,
            transport: Transport::Udp,
        };
        assert_eq!(classify(&GTPU), Ok(key));
        // Sequence and N-PDU number without their flags, the spare bit, a TEID.
        assert_eq!(gtpu_with(42, &[0x3f]), Ok(key));
        assert_eq!(gtpu_with(46, &[0xff; 4]), Ok(key));
        // To another port it is a datagram.
        assert_eq!(gtpu_with(37, &[0x69]).map(|key| (key.tunnel, key.destination_port)), Ok((Tunnel::None, 2153)));
        // From that port it is one as well.
        assert_eq!(gtpu_with(34, &[8, 0x68, 0, 1]).map(|key| (key.tunnel, key.source_port)), Ok((Tunnel::None, 2152)));
    }

    #[test]
    fn rule_8_on_literal_bytes() {
        let cases = [
            (SlowPath::GtpuMalformed, gtpu_with(42, &[0x54])),
            (SlowPath::GtpuMalformed, gtpu_with(42, &[0x14])),
            (SlowPath::GtpuMalformed, gtpu_with(42, &[0x24])),
            (SlowPath::GtpuControl, gtpu_with(43, &[254])),
            (SlowPath::GtpuControl, gtpu_with(43, &[1])),
            (SlowPath::Truncated, gtpu_with(44, &[0, 37])),
            (SlowPath::GtpuMalformed, gtpu_with(44, &[0, 35])),
            (SlowPath::GtpuMalformed, gtpu_with(54, &[0])),
            (SlowPath::Truncated, gtpu_with(54, &[9])),
            // Without E the extension header is where the packet should be.
            (SlowPath::GtpuMalformed, gtpu_with(42, &[0x32])),
            // A second extension header, of 0x45 units.
            (SlowPath::Truncated, gtpu_with(57, &[0x85])),
            (SlowPath::GtpuMalformed, gtpu_with(58, &[0x55])),
            (SlowPath::Ipv4Options, gtpu_with(58, &[0x46])),
            (SlowPath::GtpuMalformed, gtpu_with(60, &[0, 27])),
            (SlowPath::Truncated, gtpu_with(60, &[0, 29])),
            (SlowPath::Fragment, gtpu_with(64, &[0x20])),
            (SlowPath::Protocol, gtpu_with(67, &[1])),
            (SlowPath::UdpMalformed, gtpu_with(83, &[7])),
            // Of two faults the first.
            (SlowPath::GtpuMalformed, gtpu_with(42, &[0x54, 1, 0, 37])),
            (SlowPath::GtpuControl, gtpu_with(42, &[0x34, 1, 0, 37])),
            (SlowPath::Truncated, gtpu_with(44, &[0, 37, 0, 0, 0, 7, 0, 0, 0, 0x85, 0])),
            (SlowPath::Fragment, gtpu_with(14, &[0x45, 0, 0, 72, 0, 1, 0x20])),
        ];
        for (at, (expect, got)) in cases.into_iter().enumerate() {
            assert_eq!(got, Err(expect), "case {at}");
        }
    }

    #[test]
    fn one_extension_header_too_many() {
        for count in 1..=MAX_GTPU_EXTENSIONS + 1 {
            // As many units of 4 bytes in place of the one that is there.
            let mut bytes = [0; GTPU.len() + 4 * MAX_GTPU_EXTENSIONS];
            let more = 4 * (count - 1);
            let frame = &mut bytes[..GTPU.len() + more];
            frame[..54].copy_from_slice(&GTPU[..54]);
            frame[58 + more..].copy_from_slice(&GTPU[58..]);
            for (at, unit) in frame[54..58 + more].chunks_mut(4).enumerate() {
                unit.copy_from_slice(&[1, 0, 0, if at + 1 == count { 0 } else { 0xc0 }]);
            }
            for at in [17, 39, 45] {
                frame[at] += u8::try_from(more).unwrap();
            }
            let expect = if count <= MAX_GTPU_EXTENSIONS { Ok(Tunnel::Gtpu) } else { Err(SlowPath::GtpuExtensions) };
            assert_eq!(classify(frame).map(|key| key.tunnel), expect, "{count} extension headers");
        }
    }

    #[test]
    fn keys_of_literal_frames() {
        let tcp = FlowKey {
            vlan: Vid::new(100).unwrap(),
            tunnel: Tunnel::None,
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
            tunnel: Tunnel::None,
            addresses: Addresses::V6 { source, destination },
            source_port: 0xc000,
            destination_port: 53,
            transport: Transport::Udp,
        };
        assert_eq!(classify(&UDP6), Ok(udp));
    }

    #[test]
    fn tcp_control_belongs_to_its_flow() {
        let key = classify(&TCP4).unwrap();
        for flags in [0x02, 0x12, 0x11, 0x14] {
            let mut frame = TCP4;
            frame[51] = flags;
            assert_eq!((classify(&frame), flow_of(&frame)), (Err(SlowPath::TcpControl), Some(key)));
            frame[50] = 0x40;
            assert_eq!(flow_of(&frame), None, "what is malformed has no flow");
        }
        assert_eq!((flow_of(&TCP4), flow_of(&GTPU)), (Some(key), classify(&GTPU).ok()));
        assert_eq!(flow_of(&TCP4[..57]), None);
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
        for cut in 0..GTPU.len() {
            assert_eq!(classify(&GTPU[..cut]), Err(SlowPath::Truncated), "gtpu cut at {cut}");
        }
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
