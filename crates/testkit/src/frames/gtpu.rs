//! Fixtures of GTP-U: every rule of the header, every cut, and packets inside that get the verdict they would get
//! outside.

use opof_wire::gtpu::{ECHO_REQUEST, ECHO_RESPONSE, END_MARKER, ERROR_INDICATION, G_PDU, PORT, SUPPORTED_EXTENSIONS};
use opof_wire::tcp::Flags;
use opof_wire::{FlowKey, SlowPath, Transport, Tunnel};

use super::fixtures::{Fixture, key4, key6, on};
use crate::packet::{Gtpu, Layer, Packet};

const CONTENT: [u8; 2] = [0x10, 9];

/// The key of what is inside.
fn inside(key: FlowKey) -> FlowKey {
    FlowKey { tunnel: Tunnel::Gtpu, ..key }
}

/// Within a G-PDU over IPv4.
fn within(header: Gtpu, key: FlowKey) -> Packet {
    Packet::new().gtpu4(header).flow(&key)
}

fn plain() -> Gtpu {
    Gtpu::default()
}

/// One extension header more than is looked behind.
fn five_extensions() -> Gtpu {
    (1..=5).fold(plain(), |header, number| header.extension(number, &CONTENT))
}

pub(super) fn whole() -> Vec<Fixture> {
    [offloadable(), ports(), messages(), headers(), extensions(), inner(), outer()].into_iter().flatten().collect()
}

/// Frames of each pair of families and each form of the header, to be cut at every byte.
pub(super) fn to_cut() -> Vec<(&'static str, Packet)> {
    use Transport::{Tcp, Udp};
    vec![
        ("gtpu_tcp4_in_4", within(plain(), key4(Tcp)).payload(b"data")),
        ("gtpu_udp6_in_4", within(plain().sequence(1), key6(Udp)).payload(b"data")),
        ("gtpu_tcp6_in_6", Packet::new().gtpu6(plain().pdu_session_container()).flow(&key6(Tcp))),
        ("gtpu_udp4_in_6_vlan", Packet::new().vlan(100).gtpu6(plain()).flow(&key4(Udp))),
    ]
}

/// The messages of [`to_cut`], cut at every byte where the headers around them know of it: UDP, then GTP-U as well. With
/// nothing behind the cut, and with zeros or the rest of the message there: Ethernet padding, which must not be read.
pub(super) fn cuts() -> Vec<Fixture> {
    let mut all = Vec::new();
    for (name, packet) in to_cut() {
        let frame = packet.build();
        let message_at = frame.windows(2).position(|bytes| bytes == PORT.to_be_bytes()).expect("the source port") + 8;
        let message = &frame[message_at..];
        for len in 0..message.len() {
            let mut push = |how: &str, cut: &[u8]| {
                let frame = Packet::new().ipv4([1; 4], [2; 4]).udp(PORT, PORT).payload(cut).build();
                let padded = [&frame[..], &message[len..]].concat();
                let zeros = [&frame[..], &[0; 16]].concat();
                for (padding, frame) in [("", frame), ("_padded", padded), ("_zeros", zeros)] {
                    all.push(Fixture {
                        name: format!("{name}_{how}_{len}{padding}"),
                        description: format!("{how} carries the first {len} bytes of what it should"),
                        frame,
                        expect: Err(SlowPath::Truncated),
                    });
                }
            };
            push("udp", &message[..len]);
            if let Some(length) = len.checked_sub(8) {
                let mut cut = message[..len].to_vec();
                cut[2..4].copy_from_slice(&u16::try_from(length).expect("a short message").to_be_bytes());
                push("gtpu", &cut);
            }
        }
    }
    all
}

fn offloadable() -> Vec<Fixture> {
    use Transport::{Tcp, Udp};
    let ok = |name, description, packet, key| Fixture::new(name, description, packet, Ok(inside(key)));
    let (tcp, udp) = (key4(Tcp), key6(Udp));
    vec![
        ok("gtpu_tcp4", "TCP over IPv4 in a G-PDU over IPv4", within(plain(), tcp), tcp),
        ok("gtpu_udp4", "UDP over IPv4", within(plain(), key4(Udp)).payload(b"data"), key4(Udp)),
        ok("gtpu_tcp6", "TCP over IPv6", within(plain(), key6(Tcp)), key6(Tcp)),
        ok("gtpu_udp6", "UDP over IPv6", within(plain(), udp).payload(b"data"), udp),
        ok("gtpu_4_in_6", "IPv4 in a G-PDU over IPv6", Packet::new().gtpu6(plain()).flow(&tcp), tcp),
        ok("gtpu_6_in_6", "IPv6 in a G-PDU over IPv6", Packet::new().gtpu6(plain()).flow(&udp), udp),
        ok("gtpu_answer", "the other direction", within(plain(), tcp.reversed()), tcp.reversed()),
        ok("gtpu_vlan", "the tag is outside", within(plain(), tcp).vlan(100), on(100, tcp)),
        ok("gtpu_qinq", "the outermost tag counts", within(plain(), udp).qinq(100, 200), on(100, udp)),
        ok("gtpu_teid_0", "the TEID is not looked at", within(Gtpu::new(0), tcp), tcp),
        ok("gtpu_padded", "zeros behind the outer packet", within(plain(), tcp).pad_to(120), tcp),
        ok("gtpu_full", "as long as MTU 1500 lets it be", within(plain(), tcp).payload(&[0x5a; 1424]), tcp),
        ok("gtpu_sequence", "a sequence number", within(plain().sequence(0xffff), tcp), tcp),
        ok("gtpu_n_pdu", "an N-PDU number", within(plain().n_pdu(0xff), udp), udp),
        ok("gtpu_container", "a PDU session container", within(plain().pdu_session_container(), tcp), tcp),
        ok("gtpu_all", "all that is optional", within(plain().sequence(1).n_pdu(2).pdu_session_container(), tcp), tcp),
        ok("gtpu_no_extension", "E, and no extension header", within(plain().sequence(1), tcp).flags_byte(0x36), tcp),
        ok("gtpu_type_not_counted", "a next type without E", next_type(plain().sequence(1), tcp, 0x85), tcp),
        ok("gtpu_spare_bit", "the spare bit is not looked at", within(plain(), tcp).flags_byte(0x38), tcp),
        ok("gtpu_hops_1", "the TTL of the inner packet is not looked at", within(plain(), tcp).hops(1), tcp),
        ok("gtpu_no_checksum", "no outer checksum", within(plain(), tcp).overwrite(Layer::Outer, 26, &[0, 0]), tcp),
    ]
}

/// The type of the first extension header, whatever E says.
fn next_type(header: Gtpu, key: FlowKey, next: u8) -> Packet {
    within(header, key).overwrite(Layer::Tunnel, 11, &[next])
}

impl Packet {
    /// The first byte of the GTP-U header.
    fn flags_byte(self, byte: u8) -> Self {
        self.overwrite(Layer::Tunnel, 0, &[byte])
    }
}

/// What is GTP-U by its port, and what is not.
fn ports() -> Vec<Fixture> {
    let tcp = key4(Transport::Tcp);
    let message = |from, to| Packet::new().ipv4([203, 0, 113, 1], [203, 0, 113, 2]).udp(from, to).gtpu(plain());
    let of = |packet: Packet, source_port, destination_port| {
        let key = FlowKey { source_port, destination_port, ..key4(Transport::Udp) };
        (packet.flow(&key).payload(&[0x30; 40]), key)
    };
    let (to_port, to_port_key) = of(within(plain(), tcp), 40_000, PORT);
    let (from_port, from_port_key) = of(Packet::new(), PORT, 40_000);
    let (not_gtpu, _) = of(Packet::new(), 40_000, PORT);
    let tcp_key = FlowKey { destination_port: PORT, ..tcp };
    let case = |name, description, packet, expect| Fixture::new(name, description, packet, expect);
    vec![
        case("gtpu_from_any_port", "the source port is free", message(50_000, PORT).flow(&tcp), Ok(inside(tcp))),
        case("gtpu_from_port_only", "from 2152 is not to 2152", from_port, Ok(from_port_key)),
        case("gtpu_tcp_to_port", "TCP to 2152 is TCP", Packet::with_key(&tcp_key), Ok(tcp_key)),
        case("gtpu_not_at_all", "UDP to 2152 that is no GTP-U", not_gtpu, Err(SlowPath::GtpuControl)),
        case("gtpu_in_gtpu", "inside, port 2152 is a port", to_port, Ok(inside(to_port_key))),
        case(
            "gtpu_empty",
            "UDP to 2152 that carries nothing",
            Packet::new().ipv4([1; 4], [2; 4]).udp(PORT, PORT),
            Err(SlowPath::Truncated),
        ),
        case(
            "gtpu_udp_length",
            "rule 7 comes first",
            within(plain(), tcp).overwrite(Layer::Outer, 24, &[0, 7]),
            Err(SlowPath::UdpMalformed),
        ),
    ]
}

/// Every message type but G-PDU goes to the firewall, with a packet behind it or with what belongs there.
fn messages() -> Vec<Fixture> {
    let control = |name: &str, header: Gtpu, payload: &[u8]| {
        let packet = Packet::new().gtpu4(header).payload(payload);
        Fixture::new(name, "a message of the tunnel itself", packet, Err(SlowPath::GtpuControl))
    };
    let message = |number| Gtpu::new(0).message(number).sequence(7);
    let mut all = vec![
        control("gtpu_echo_request", message(ECHO_REQUEST), &[]),
        control("gtpu_echo_response", message(ECHO_RESPONSE), &[14, 0]),
        control("gtpu_error_indication", message(ERROR_INDICATION), &[16, 0, 0, 0, 7, 133, 0, 4, 203, 0, 113, 2]),
        control("gtpu_supported_extensions", message(SUPPORTED_EXTENSIONS), &[141, 1, 0x85]),
        control("gtpu_end_marker", Gtpu::new(7).message(END_MARKER), &[]),
        control("gtpu_end_marker_container", Gtpu::new(7).message(END_MARKER).pdu_session_container(), &[]),
    ];
    for number in 0..G_PDU {
        let packet = within(plain().message(number), key4(Transport::Tcp));
        let description = format!("message type {number} that carries a packet");
        all.push(Fixture::new(&format!("gtpu_type_{number}"), &description, packet, Err(SlowPath::GtpuControl)));
    }
    // The type comes before the length, the version before the type.
    let packet = within(plain().message(1), key4(Transport::Tcp)).overwrite(Layer::Tunnel, 2, &[0xff; 2]);
    all.push(Fixture::new("gtpu_control_length", "a wrong length", packet, Err(SlowPath::GtpuControl)));
    let packet = within(plain().message(1), key4(Transport::Tcp)).flags_byte(0x50);
    all.push(Fixture::new("gtpu_control_version", "version 2", packet, Err(SlowPath::GtpuMalformed)));
    all
}

fn headers() -> Vec<Fixture> {
    use SlowPath::{GtpuMalformed, Ipv4Options, Truncated};
    let tcp = key4(Transport::Tcp);
    let mut all = Vec::new();
    for version in (0..8_u8).filter(|&version| version != 1) {
        let packet = within(plain(), tcp).flags_byte(version << 5 | 0x10);
        all.push(Fixture::new(&format!("gtpu_version_{version}"), "not version 1", packet, Err(GtpuMalformed)));
    }
    // 40 bytes of packet.
    let edit = |name, description, at, bytes: &[u8], reason| {
        Fixture::new(name, description, within(plain(), tcp).overwrite(Layer::Tunnel, at, bytes), Err(reason))
    };
    all.extend([
        edit("gtpu_prime", "protocol type 0 is GTP'", 0, &[0x20], GtpuMalformed),
        edit("gtpu_length_0", "length 0", 2, &[0, 0], GtpuMalformed),
        edit("gtpu_length_39", "length one less than UDP carries", 2, &[0, 39], GtpuMalformed),
        edit("gtpu_length_41", "length one more than UDP carries", 2, &[0, 41], Truncated),
        edit("gtpu_length_48", "length that counts the header as well", 2, &[0, 48], Truncated),
        edit("gtpu_length_max", "length 65535", 2, &[0xff, 0xff], Truncated),
        // The optional fields are then the first four bytes of the packet, and its identification is an IHL of 15.
        edit("gtpu_s_not_there", "S, and the packet where the fields should be", 0, &[0x32], Ipv4Options),
        edit("gtpu_pn_not_there", "PN, and the packet where the fields should be", 0, &[0x31], Ipv4Options),
    ]);
    for (flags, len) in [(0x31, 0), (0x32, 1), (0x34, 2), (0x37, 3)] {
        let message = [&[flags, G_PDU, 0, len, 0, 0, 0, 7][..], &vec![0; len.into()]].concat();
        let packet = Packet::new().ipv4([1; 4], [2; 4]).udp(PORT, PORT).payload(&message);
        let description = format!("flags {flags:#04x} and {len} bytes of optional fields");
        all.push(Fixture::new(&format!("gtpu_optional_{len}"), &description, packet, Err(Truncated)));
    }
    all
}

fn extensions() -> Vec<Fixture> {
    use SlowPath::{GtpuExtensions, GtpuMalformed, Truncated};
    let tcp = key4(Transport::Tcp);
    let mut all = Vec::new();
    let mut header = plain();
    for count in 1..=4_u8 {
        header = header.extension(0xc0 + count, &[count; 2]);
        let description = format!("{count} extension headers");
        let name = format!("gtpu_extensions_{count}");
        all.push(Fixture::new(&name, &description, within(header.clone(), tcp), Ok(inside(tcp))));
    }
    let long = |units: usize| plain().extension(0x85, &vec![0xee; units * 4 - 2]);
    for units in [2, 3, 64, 255] {
        let description = format!("an extension header of {units} units");
        let name = format!("gtpu_extension_of_{units}");
        all.push(Fixture::new(&name, &description, within(long(units), tcp), Ok(inside(tcp))));
    }
    let edit = |name, description, header: Gtpu, at, byte, reason| {
        let packet = within(header, tcp).overwrite(Layer::Tunnel, at, &[byte]);
        Fixture::new(name, description, packet, Err(reason))
    };
    let one = plain().pdu_session_container();
    let four = (1..=4).fold(plain(), |header, number| header.extension(number, &CONTENT));
    all.extend([
        Fixture::new("gtpu_extensions_5", "five", within(five_extensions(), tcp), Err(GtpuExtensions)),
        edit("gtpu_extension_0", "an extension header without length", one.clone(), 12, 0, GtpuMalformed),
        // 44 bytes behind the optional fields.
        edit("gtpu_extension_all", "an extension header up to the end", one.clone(), 12, 11, Truncated),
        edit("gtpu_extension_long", "an extension header past the end", one.clone(), 12, 12, Truncated),
        edit(
            "gtpu_extension_max",
            "an extension header of 1020 bytes that are not there",
            one.clone(),
            12,
            255,
            Truncated,
        ),
        edit("gtpu_extension_second", "a second one, with the first byte of the packet", one, 15, 0x85, Truncated),
        edit("gtpu_extension_fifth", "a fifth one is not looked at", four.clone(), 27, 1, GtpuExtensions),
        edit("gtpu_extension_fourth_0", "the fourth has no length", four, 24, 0, GtpuMalformed),
    ]);
    all
}

/// Packets inside.
fn inner() -> Vec<Fixture> {
    use SlowPath::{
        Fragment, GtpuMalformed, Ipv4Malformed, Ipv4Options, Ipv6Extension, Ipv6Malformed, Protocol, TcpControl,
        TcpMalformed, Truncated, UdpMalformed,
    };
    use Transport::{Tcp, Udp};
    let within = |key| within(plain().pdu_session_container(), key);
    let (tcp4, udp4) = (within(key4(Tcp)), within(key4(Udp)).payload(b"data"));
    let (tcp6, udp6) = (within(key6(Tcp)), within(key6(Udp)).payload(b"data"));
    let at = |packet: &Packet, layer, at, bytes: &[u8]| packet.clone().overwrite(layer, at, bytes);
    let mut all: Vec<Fixture> = [
        ("fragment", udp4.clone().fragment(0, true), Fragment),
        ("last_fragment", udp4.clone().fragment(185, false), Fragment),
        ("fragment6", udp6.clone().fragment(0, true), Fragment),
        ("options", tcp4.clone().ipv4_options(&[1; 4]), Ipv4Options),
        ("extension6", udp6.clone().hop_by_hop(), Ipv6Extension),
        ("icmp", udp4.clone().protocol(1), Protocol),
        ("icmp6", udp6.clone().protocol(58), Protocol),
        ("ihl_4", at(&tcp4, Layer::Network, 0, &[0x44]), Ipv4Malformed),
        ("reserved_flag", at(&tcp4, Layer::Network, 6, &[0x80]), Ipv4Malformed),
        ("total_19", at(&tcp4, Layer::Network, 2, &[0, 19]), Ipv4Malformed),
        ("total_39", at(&tcp4, Layer::Network, 2, &[0, 39]), GtpuMalformed),
        ("total_20", at(&tcp4, Layer::Network, 2, &[0, 20]), GtpuMalformed),
        ("total_41", at(&tcp4, Layer::Network, 2, &[0, 41]), Truncated),
        ("length6_0", at(&udp6, Layer::Network, 4, &[0, 0]), Ipv6Malformed),
        ("length6_11", at(&udp6, Layer::Network, 4, &[0, 11]), GtpuMalformed),
        ("length6_13", at(&udp6, Layer::Network, 4, &[0, 13]), Truncated),
        ("version_0", at(&tcp4, Layer::Network, 0, &[0x05]), GtpuMalformed),
        ("version_5", at(&tcp4, Layer::Network, 0, &[0x55]), GtpuMalformed),
        ("version_15", at(&udp6, Layer::Network, 0, &[0xf0]), GtpuMalformed),
        ("version_6_of_4", at(&tcp4, Layer::Network, 0, &[0x65]), Truncated),
        ("data_offset_4", at(&tcp6, Layer::Transport, 12, &[0x40]), TcpMalformed),
        ("data_offset_15", at(&tcp6, Layer::Transport, 12, &[0xf0]), Truncated),
        ("udp_length_7", at(&udp4, Layer::Transport, 4, &[0, 7]), UdpMalformed),
        ("udp_length_11", at(&udp4, Layer::Transport, 4, &[0, 11]), UdpMalformed),
        ("udp_length_13", at(&udp4, Layer::Transport, 4, &[0, 13]), Truncated),
        ("nothing", Packet::new().gtpu4(plain()), Truncated),
        ("ethernet", Packet::new().gtpu4(plain()).payload(&[0x02; 60]), GtpuMalformed),
    ]
    .into_iter()
    .map(|(name, packet, reason)| {
        let description = format!("a packet inside: {name}");
        Fixture::new(&format!("gtpu_inner_{name}"), &description, packet, Err(reason))
    })
    .collect();
    // As outside: a key exactly without SYN, FIN and RST.
    for bits in 0..=u8::MAX {
        let flags = Flags(bits);
        let expect = if flags.intersects(Flags::CONTROL) { Err(TcpControl) } else { Ok(inside(key4(Tcp))) };
        let name = format!("gtpu_flags_{bits:02x}");
        all.push(Fixture::new(&name, &flags.to_string(), tcp4.clone().flags(flags), expect));
    }
    for flags in [Flags::SYN, Flags::FIN, Flags::RST] {
        let packet = Packet::new().vlan(100).gtpu6(plain()).flow(&key6(Tcp)).flags(flags);
        let name = format!("gtpu_tcp6_in_6_flags_{:02x}", flags.0);
        all.push(Fixture::new(&name, &flags.to_string(), packet, Err(TcpControl)));
    }
    all
}

/// What is wrong outside comes first.
fn outer() -> Vec<Fixture> {
    let key = key4(Transport::Tcp);
    let over4 = || Packet::new().ipv4([203, 0, 113, 1], [203, 0, 113, 2]);
    let over6 = || Packet::new().ipv6([1; 16], [2; 16]);
    let case = |name, packet: Packet, reason| {
        let packet = packet.udp(PORT, PORT).gtpu(plain()).flow(&key).flags(Flags::SYN);
        Fixture::new(name, "a fault of the outer packet comes first", packet, Err(reason))
    };
    vec![
        case("gtpu_outer_fragment", over4().fragment(0, true), SlowPath::Fragment),
        case("gtpu_outer_fragment6", over6().fragment(0, true), SlowPath::Fragment),
        case("gtpu_outer_options", over4().ipv4_options(&[1; 4]), SlowPath::Ipv4Options),
        case("gtpu_outer_extension6", over6().destination_options(), SlowPath::Ipv6Extension),
    ]
}
