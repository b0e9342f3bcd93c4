//! Frames with a name, a reason to exist, and the verdict every plane must give.

use opof_wire::tcp::Flags;
use opof_wire::{Addresses, FlowKey, SlowPath, Transport, Tunnel, Vid, ethernet, ipv6_ext, vlan};

use super::gtpu;
use crate::packet::{Layer, MIN_FRAME_LEN, Packet};

const CLIENT4: [u8; 4] = [192, 0, 2, 1];
const SERVER4: [u8; 4] = [198, 51, 100, 1];
const CLIENT6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
const SERVER6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1];
const CLIENT_PORT: u16 = 49152;
const SERVER_PORT: u16 = 443;

/// A frame and the verdict it must get.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// Unique, in snake case.
    pub name: String,
    /// What is particular about the frame.
    pub description: String,
    /// The frame without FCS. May be shorter than an Ethernet header.
    pub frame: Vec<u8>,
    /// The key, or why there is none.
    pub expect: Result<FlowKey, SlowPath>,
}

impl Fixture {
    pub(super) fn new(name: &str, description: &str, packet: Packet, expect: Result<FlowKey, SlowPath>) -> Self {
        Self { name: name.into(), description: description.into(), frame: packet.build(), expect }
    }
}

/// All fixtures: [`whole`] and [`cuts`].
pub fn fixtures() -> Vec<Fixture> {
    let mut all = whole();
    all.extend(cuts());
    all
}

/// The fixtures that end where their sender meant them to end.
pub fn whole() -> Vec<Fixture> {
    let groups = [offloadable(), tags(), ether_types(), ipv4(), fragments(), ipv6(), protocols(), tcp(), udp()];
    groups.into_iter().flatten().chain(gtpu::whole()).collect()
}

/// Frames of each family, transport and tagging, cut at every byte: none has a key.
pub fn cuts() -> Vec<Fixture> {
    let bases = [
        ("tcp4", tcp4().payload(b"data")),
        ("udp4", udp4().payload(b"data")),
        ("tcp6", tcp6().payload(b"data")),
        ("udp6", udp6().payload(b"data")),
        ("tcp4_vlan", tcp4().vlan(100)),
        ("udp6_qinq", udp6().qinq(100, 200)),
    ];
    let cut = |(name, packet): (&str, Packet)| {
        let frame = packet.build();
        let name = name.to_owned();
        (0..frame.len()).map(move |len| Fixture {
            name: format!("{name}_cut_at_{len}"),
            description: format!("the first {len} of {} bytes of a valid frame ({name})", frame.len()),
            frame: frame[..len].to_vec(),
            expect: Err(SlowPath::Truncated),
        })
    };
    bases.into_iter().chain(gtpu::to_cut()).flat_map(cut).chain(gtpu::cuts()).collect()
}

fn v4() -> Packet {
    Packet::new().ipv4(CLIENT4, SERVER4)
}

fn v6() -> Packet {
    Packet::new().ipv6(CLIENT6, SERVER6)
}

fn tcp4() -> Packet {
    v4().tcp(CLIENT_PORT, SERVER_PORT)
}

fn udp4() -> Packet {
    v4().udp(CLIENT_PORT, SERVER_PORT)
}

fn tcp6() -> Packet {
    v6().tcp(CLIENT_PORT, SERVER_PORT)
}

fn udp6() -> Packet {
    v6().udp(CLIENT_PORT, SERVER_PORT)
}

pub(super) fn key4(transport: Transport) -> FlowKey {
    FlowKey {
        vlan: Vid::UNTAGGED,
        tunnel: Tunnel::None,
        addresses: Addresses::V4 { source: CLIENT4, destination: SERVER4 },
        source_port: CLIENT_PORT,
        destination_port: SERVER_PORT,
        transport,
    }
}

pub(super) fn key6(transport: Transport) -> FlowKey {
    let addresses = Addresses::V6 { source: CLIENT6, destination: SERVER6 };
    FlowKey { addresses, ..key4(transport) }
}

pub(super) fn on(vid: u16, key: FlowKey) -> FlowKey {
    FlowKey { vlan: Vid::new(vid).expect("fixtures with a key use VIDs below 4095"), ..key }
}

fn offloadable() -> Vec<Fixture> {
    use Transport::{Tcp, Udp};
    let ok = |name, description, packet, key| Fixture::new(name, description, packet, Ok(key));
    vec![
        ok("tcp4", "TCP over IPv4, ACK alone", tcp4(), key4(Tcp)),
        ok("udp4", "UDP over IPv4", udp4().payload(b"data"), key4(Udp)),
        ok("tcp6", "TCP over IPv6, ACK alone", tcp6(), key6(Tcp)),
        ok("udp6", "UDP over IPv6", udp6().payload(b"data"), key6(Udp)),
        ok("tcp4_answer", "the other direction", Packet::with_key(&key4(Tcp).reversed()), key4(Tcp).reversed()),
        ok("udp6_answer", "the other direction", Packet::with_key(&key6(Udp).reversed()), key6(Udp).reversed()),
        ok("tcp4_full", "as long as MTU 1500 lets it be", tcp4().payload(&[0x5a; 1460]), key4(Tcp)),
        ok("udp4_empty", "UDP that carries nothing", udp4(), key4(Udp)),
        ok("udp6_empty", "UDP that carries nothing", udp6(), key6(Udp)),
        ok("tcp4_padded", "zeros behind the IP packet up to 60 bytes", tcp4().pad_to(MIN_FRAME_LEN), key4(Tcp)),
        ok("udp4_padded", "zeros behind the IP packet up to 60 bytes", udp4().pad_to(MIN_FRAME_LEN), key4(Udp)),
        ok("udp6_padded", "zeros behind the IP packet", udp6().pad_to(100), key6(Udp)),
        ok("tcp4_ttl_1", "TTL is not looked at", tcp4().hops(1), key4(Tcp)),
        ok("tcp4_bad_checksum", "checksums are not verified", tcp4().overwrite(Layer::Network, 10, &[0, 0]), key4(Tcp)),
        ok("tcp4_ecn", "DSCP and ECN are not looked at", tcp4().overwrite(Layer::Network, 1, &[0xbb]), key4(Tcp)),
        ok("tcp4_no_df", "without DF", tcp4().overwrite(Layer::Network, 6, &[0]), key4(Tcp)),
        ok("udp6_label", "class and flow label", udp6().overwrite(Layer::Network, 0, &[0x6f, 0xff]), key6(Udp)),
    ]
}

fn tags() -> Vec<Fixture> {
    use Transport::{Tcp, Udp};
    let case = |name, description, packet, expect| Fixture::new(name, description, packet, expect);
    let (tcp, udp) = (key4(Tcp), key6(Udp));
    let priority = |tpid| tcp4().tag(tpid, 7, false, 0);
    vec![
        case("vlan", "one customer tag", tcp4().vlan(100), Ok(on(100, tcp))),
        case("vlan6", "one customer tag before IPv6", udp6().vlan(100), Ok(on(100, udp))),
        case("vlan_1", "the smallest VID", tcp4().vlan(1), Ok(on(1, tcp))),
        case("vlan_4094", "the largest VID", tcp4().vlan(4094), Ok(on(4094, tcp))),
        case("vlan_priority", "PCP and DEI", tcp4().tag(vlan::TPID_CUSTOMER, 7, true, 100), Ok(on(100, tcp))),
        case("vlan_service", "one service tag", tcp4().tag(vlan::TPID_SERVICE, 0, false, 100), Ok(on(100, tcp))),
        case("vlan_padded", "a tag and padding", tcp4().vlan(100).pad_to(64), Ok(on(100, tcp))),
        case("priority_tag", "VID 0 names no VLAN", priority(vlan::TPID_CUSTOMER), Ok(tcp)),
        case("priority_service_tag", "VID 0 in a service tag", priority(vlan::TPID_SERVICE), Ok(tcp)),
        case("qinq", "the outer VID counts", tcp4().qinq(100, 200), Ok(on(100, tcp))),
        case("qinq6", "the outer VID counts, IPv6", udp6().qinq(100, 200), Ok(on(100, udp))),
        case("qinq_customer", "two customer tags", tcp4().vlan(100).vlan(200), Ok(on(100, tcp))),
        case("qinq_inner_priority", "a priority tag inside", tcp4().qinq(100, 0), Ok(on(100, tcp))),
        case("vlan_4095", "VID 4095", tcp4().vlan(4095), Err(SlowPath::VlanReserved)),
        case("qinq_outer_4095", "VID 4095 outside", tcp4().qinq(4095, 200), Err(SlowPath::VlanReserved)),
        case("qinq_inner_4095", "VID 4095 inside", tcp4().qinq(100, 4095), Err(SlowPath::VlanReserved)),
        case("qinq_outer_0", "a priority tag before a tag", tcp4().qinq(0, 200), Err(SlowPath::VlanReserved)),
        case("qinq_zeros", "two priority tags", tcp4().qinq(0, 0), Err(SlowPath::VlanReserved)),
        case("three_tags", "three tags", tcp4().qinq(1, 2).vlan(3), Err(SlowPath::TooManyTags)),
        case("three_tags_outer_0", "the third comes first", tcp4().qinq(0, 2).vlan(3), Err(SlowPath::TooManyTags)),
        case("three_tags_4095", "4095 is seen on the way", tcp4().qinq(1, 4095).vlan(3), Err(SlowPath::VlanReserved)),
        case(
            "three_tags_cut",
            "a third TPID ends it",
            tcp4().qinq(1, 2).vlan(3).cut_to(22),
            Err(SlowPath::TooManyTags),
        ),
        case("vlan_4095_cut", "nothing behind the tag", tcp4().vlan(4095).cut_to(18), Err(SlowPath::VlanReserved)),
    ]
}

fn ether_types() -> Vec<Fixture> {
    let arp = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 10, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2];
    let lldp = [0x02, 0x07, 0x04, 2, 0, 0, 0, 0, 10, 0x04, 0x03, 0x05, b'p', b'1', 0x06, 0x02, 0, 120, 0, 0];
    let case = |name, description, packet: Packet| {
        Fixture::new(name, description, packet.pad_to(MIN_FRAME_LEN), Err(SlowPath::EtherType))
    };
    let raw = |ether_type| Packet::new().ether_type(ether_type).payload(&[0x45; 46]);
    vec![
        case("arp", "an ARP request", Packet::new().ether_type(ethernet::ARP).payload(&arp)),
        case("arp_vlan", "an ARP request in a VLAN", Packet::new().vlan(100).ether_type(ethernet::ARP).payload(&arp)),
        case(
            "arp_qinq",
            "an ARP request in two tags",
            Packet::new().qinq(1, 2).ether_type(ethernet::ARP).payload(&arp),
        ),
        case("lldp", "LLDP", Packet::new().ether_type(ethernet::LLDP).payload(&lldp)),
        case("length_46", "an 802.3 length", raw(46)),
        case("length_0", "an 802.3 length of 0", raw(0)),
        case("mpls", "EtherType 0x8847", raw(0x8847)),
        case("pppoe", "EtherType 0x8864", raw(0x8864)),
        case("qinq_legacy", "TPID 0x9100 is no tag", raw(0x9100)),
        case("unknown_ether_type", "EtherType 0x88b5", raw(0x88b5)),
        case("unknown_ether_type_vlan", "EtherType 0x88b5 in a VLAN", raw(0x88b5).vlan(100)),
        case("ether_type_ffff", "EtherType 0xffff", raw(0xffff)),
    ]
}

fn ipv4() -> Vec<Fixture> {
    use SlowPath::{Ipv4Malformed, Ipv4Options, Truncated};
    let edit = |name, description, at, bytes: &[u8], reason| {
        let packet = udp4().payload(b"data").overwrite(Layer::Network, at, bytes).pad_to(MIN_FRAME_LEN);
        Fixture::new(name, description, packet, Err(reason))
    };
    let options = |name, packet: Packet, bytes: &[u8]| {
        Fixture::new(name, "options in the IPv4 header", packet.ipv4_options(bytes), Err(Ipv4Options))
    };
    vec![
        options("ipv4_router_alert", tcp4(), &[0x94, 4, 0, 0]),
        options("ipv4_no_operation", udp4(), &[1; 4]),
        options("ipv4_record_route_vlan", udp4().vlan(100), &[7, 7, 4, 0, 0, 0, 0, 0]),
        options("ipv4_most_options", tcp4(), &[1; 40]),
        options("ipv4_options_in_fragment", udp4().fragment(0, true), &[1; 4]),
        edit("ipv4_options_not_there", "IHL 15 in a short packet", 0, &[0x4f], Ipv4Options),
        Fixture::new(
            "ipv4_options_cut",
            "19 bytes come first",
            udp4().ipv4_options(&[1; 4]).cut_to(33),
            Err(Truncated),
        ),
        edit("ipv4_version_6", "version 6 behind EtherType 0x0800", 0, &[0x65], Ipv4Malformed),
        edit("ipv4_version_0", "version 0", 0, &[0x05], Ipv4Malformed),
        edit("ipv4_ihl_4", "IHL 4", 0, &[0x44], Ipv4Malformed),
        edit("ipv4_ihl_0", "IHL 0", 0, &[0x40], Ipv4Malformed),
        edit("ipv4_total_0", "total length 0", 2, &[0, 0], Ipv4Malformed),
        edit("ipv4_total_19", "total length 19", 2, &[0, 19], Ipv4Malformed),
        edit("ipv4_total_20", "total length leaves no room for UDP", 2, &[0, 20], Truncated),
        edit("ipv4_total_27", "total length cuts the UDP header", 2, &[0, 27], Truncated),
        edit("ipv4_total_47", "total length one byte past the end", 2, &[0, 47], Truncated),
        edit("ipv4_total_max", "total length 65535", 2, &[0xff, 0xff], Truncated),
        edit("ipv4_reserved_flag", "the reserved flag", 6, &[0x80], Ipv4Malformed),
        edit("ipv4_reserved_flag_mf", "the reserved flag and MF", 6, &[0xa0], Ipv4Malformed),
    ]
}

fn fragments() -> Vec<Fixture> {
    let case = |name, description, packet| Fixture::new(name, description, packet, Err(SlowPath::Fragment));
    let part = [0x5a; 64];
    vec![
        case("ipv4_first_fragment", "MF with a UDP header", udp4().payload(&part).fragment(0, true)),
        case("ipv4_first_fragment_tcp", "MF with a TCP header", tcp4().payload(&part).fragment(0, true)),
        case("ipv4_middle_fragment", "offset and MF", v4().protocol(17).payload(&part).fragment(185, true)),
        case("ipv4_last_fragment", "offset alone", v4().protocol(17).payload(&part).fragment(185, false)),
        case("ipv4_last_fragment_vlan", "in a VLAN", v4().vlan(100).protocol(6).payload(&part).fragment(1, false)),
        case("ipv4_far_fragment", "the largest offset", v4().protocol(6).payload(&part).fragment(8191, false)),
        case("ipv4_fragment_icmp", "before the protocol", v4().protocol(1).payload(&part).fragment(1, false)),
        case("ipv4_fragment_short", "too short for TCP", v4().protocol(6).payload(&[0; 8]).fragment(0, true)),
        case("ipv6_first_fragment", "first, UDP", udp6().payload(&part).fragment(0, true)),
        case("ipv6_first_fragment_tcp", "first, TCP", tcp6().payload(&part).fragment(0, true)),
        case("ipv6_middle_fragment", "offset, more", v6().protocol(17).payload(&part).fragment(185, true)),
        case("ipv6_last_fragment", "offset", v6().protocol(17).payload(&part).fragment(185, false)),
        case("ipv6_last_fragment_qinq", "in two tags", v6().qinq(1, 2).protocol(6).payload(&part).fragment(1, false)),
        case("ipv6_atomic_fragment", "a fragment that is whole", udp6().payload(&part).fragment(0, false)),
    ]
}

fn ipv6() -> Vec<Fixture> {
    use SlowPath::{Ipv6Extension, Ipv6Malformed, Truncated};
    let edit = |name, description, at, bytes: &[u8], reason| {
        let packet = udp6().payload(b"data").overwrite(Layer::Network, at, bytes).pad_to(80);
        Fixture::new(name, description, packet, Err(reason))
    };
    let extension = |name: &str, packet: Packet| {
        Fixture::new(name, "an extension header before the transport", packet, Err(Ipv6Extension))
    };
    let jumbo_cut = udp6().overwrite(Layer::Network, 4, &[0, 0]).cut_to(53);
    let mut all = vec![
        extension("ipv6_hop_by_hop", tcp6().hop_by_hop()),
        extension("ipv6_routing", tcp6().routing()),
        extension("ipv6_destination_options", udp6().destination_options()),
        extension("ipv6_hop_by_hop_vlan", udp6().vlan(100).hop_by_hop()),
        extension("ipv6_two_extensions", udp6().hop_by_hop().destination_options()),
        extension("ipv6_fragment_behind_options", udp6().hop_by_hop().fragment(0, true)),
        Fixture::new("ipv6_length_0_cut", "39 bytes come first", jumbo_cut, Err(Truncated)),
        edit("ipv6_version_4", "version 4 behind EtherType 0x86dd", 0, &[0x45], Ipv6Malformed),
        edit("ipv6_version_0", "version 0", 0, &[0], Ipv6Malformed),
        edit("ipv6_length_0", "payload length 0, a jumbogram perhaps", 4, &[0, 0], Ipv6Malformed),
        edit("ipv6_length_0_hop_by_hop", "the length comes first", 4, &[0, 0, 0], Ipv6Malformed),
        edit("ipv6_length_1", "payload length leaves no room for UDP", 4, &[0, 1], Truncated),
        edit("ipv6_length_7", "payload length cuts the UDP header", 4, &[0, 7], Truncated),
        edit("ipv6_length_27", "payload length one byte past the end", 4, &[0, 27], Truncated),
        edit("ipv6_length_max", "payload length 65535", 4, &[0xff, 0xff], Truncated),
    ];
    for number in [ipv6_ext::ESP, ipv6_ext::AUTHENTICATION, 135, 139, 140, 253, 254] {
        all.push(extension(&format!("ipv6_extension_{number}"), udp6().extension(number, &[0; 6])));
    }
    all
}

fn protocols() -> Vec<Fixture> {
    let echo = [8, 0, 0xf7, 0xfd, 0, 1, 0, 1];
    let case = |name: &str, packet: Packet, number: u8| {
        let packet = packet.protocol(number).payload(&echo).pad_to(MIN_FRAME_LEN);
        Fixture::new(name, &format!("IP protocol {number}"), packet, Err(SlowPath::Protocol))
    };
    let mut all = vec![
        case("icmp", v4(), 1),
        case("icmp_vlan", v4().vlan(100), 1),
        case("icmpv6", v6(), 58),
        case("icmpv6_qinq", v6().qinq(100, 200), 58),
        case("ipv6_no_next_header", v6(), 59),
    ];
    // IGMP, IPIP, DCCP, GRE, OSPF, SCTP, UDP-Lite, reserved; an extension header's number is none in IPv4.
    for number in [0, 2, 4, 33, 44, 47, 50, 51, 89, 132, 136, 255] {
        all.push(case(&format!("ipv4_protocol_{number}"), v4(), number));
    }
    for number in [1, 4, 33, 47, 89, 132, 136, 255] {
        all.push(case(&format!("ipv6_protocol_{number}"), v6(), number));
    }
    all
}

fn tcp() -> Vec<Fixture> {
    use SlowPath::{TcpControl, TcpMalformed, Truncated};
    let edit = |name, description, at, bytes: &[u8], reason| {
        let packet = tcp4().payload(b"data").overwrite(Layer::Transport, at, bytes);
        Fixture::new(name, description, packet, Err(reason))
    };
    let options = tcp6().tcp_options(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    let mut all = vec![
        Fixture::new("tcp6_options", "TCP options: timestamps", options, Ok(key6(Transport::Tcp))),
        Fixture::new("tcp4_most_options", "data offset 15", tcp4().tcp_options(&[1; 40]), Ok(key4(Transport::Tcp))),
        edit("tcp_offset_4", "data offset 4", 12, &[0x40], TcpMalformed),
        edit("tcp_offset_0", "data offset 0", 12, &[0x00], TcpMalformed),
        edit("tcp_offset_4_syn", "data offset 4 and SYN", 12, &[0x40, 0x02], TcpMalformed),
        edit("tcp_offset_7", "data offset four bytes past the end", 12, &[0x70], Truncated),
        edit("tcp_offset_15_syn", "data offset past the end and SYN", 12, &[0xf0, 0x02], Truncated),
    ];
    // Every combination of the eight flags: a key exactly without SYN, FIN and RST.
    for bits in 0..=u8::MAX {
        let flags = Flags(bits);
        let expect = if flags.intersects(Flags::CONTROL) { Err(TcpControl) } else { Ok(key4(Transport::Tcp)) };
        all.push(Fixture::new(&format!("tcp4_flags_{bits:02x}"), &flags.to_string(), tcp4().flags(flags), expect));
    }
    for flags in [Flags::SYN, Flags::FIN, Flags::RST, Flags::SYN | Flags::ACK, Flags::FIN | Flags::ACK | Flags::PSH] {
        for (name, packet) in [("tcp6", tcp6()), ("tcp6_vlan", tcp6().vlan(100)), ("tcp6_qinq", tcp6().qinq(1, 2))] {
            let name = format!("{name}_flags_{:02x}", flags.0);
            all.push(Fixture::new(&name, &flags.to_string(), packet.flags(flags), Err(TcpControl)));
        }
    }
    // A header that IP cuts short, with padding behind it that is not part of it.
    for len in 0..20_u8 {
        let packet = tcp4().flags(Flags::SYN).overwrite(Layer::Transport, 12, &[0]);
        let packet = packet.overwrite(Layer::Network, 2, &[0, 20 + len]).pad_to(MIN_FRAME_LEN);
        let description = format!("IP carries {len} bytes of a bad SYN");
        all.push(Fixture::new(&format!("tcp4_header_of_{len}"), &description, packet, Err(Truncated)));
    }
    all
}

fn udp() -> Vec<Fixture> {
    use SlowPath::{Truncated, UdpMalformed};
    let edit = |name: &str, description, packet: Packet, length: u16, reason| {
        let packet = packet.payload(b"data").overwrite(Layer::Transport, 4, &length.to_be_bytes());
        Fixture::new(name, description, packet.pad_to(80), Err(reason))
    };
    let mut all = Vec::new();
    for (family, packet) in [("udp4", udp4()), ("udp6", udp6()), ("udp4_vlan", udp4().vlan(100))] {
        let mut push = |length, description, reason| {
            let name = format!("{family}_length_{length}");
            all.push(edit(&name, description, packet.clone(), length, reason));
        };
        push(0, "UDP length 0", UdpMalformed);
        push(7, "UDP length below its header", UdpMalformed);
        push(8, "UDP length leaves bytes behind it", UdpMalformed);
        push(11, "UDP length one less than IP carries", UdpMalformed);
        push(13, "UDP length one more than IP carries, within the padding", Truncated);
        push(65535, "the largest UDP length", Truncated);
    }
    for len in 0..8_u8 {
        let packet = udp4().overwrite(Layer::Network, 2, &[0, 20 + len]).pad_to(MIN_FRAME_LEN);
        let description = format!("IP carries {len} bytes of the UDP header");
        all.push(Fixture::new(&format!("udp4_header_of_{len}"), &description, packet, Err(Truncated)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let all = fixtures();
        let names: BTreeSet<_> = all.iter().map(|fixture| fixture.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn every_reason_of_the_parser_has_a_fixture() {
        let seen: BTreeSet<_> = fixtures().iter().filter_map(|fixture| fixture.expect.err()).collect();
        let expect: BTreeSet<_> = SlowPath::ALL.into_iter().filter(|reason| reason.is_of_the_parser()).collect();
        assert_eq!(seen, expect);
    }
}
