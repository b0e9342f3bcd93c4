//! Sessions within GTP-U: the whole outer frame crosses the device, counted to the byte; what is the tunnel's own business
//! or TCP control reaches the firewall; and programs of others see in what comes out what we put in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::time::Duration;

use opof_client::Dialect;
use opof_testkit::netns::{Capture, FirewallMode, counters};
use opof_testkit::packet::{Gtpu, Packet};
use opof_tests::{Bench, Counted, dissect, frames, session};
use opof_wire::gtpu::{ECHO_REQUEST, ECHO_RESPONSE, END_MARKER, ERROR_INDICATION, PORT, SUPPORTED_EXTENSIONS};
use opof_wire::tcp::Flags;
use opof_wire::{FlowKey, SlowPath, Transport, Tunnel};

const BOUND: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_millis(200);
const FRAMES: usize = 6_000;
/// The dialects that have a word for it: `parentTunnelType` in one, `encapType` in the other.
const DIALECTS: [Dialect; 2] = [Dialect::V1_1, Dialect::V1Beta1];
const TEID: u32 = 0x0a0b_0c0d;

/// Each kind of session, within GTP-U.
fn keys() -> Vec<FlowKey> {
    frames::keys().into_iter().map(|key| FlowKey { tunnel: Tunnel::Gtpu, ..key }).collect()
}

/// A link with the key's VLAN.
fn link(key: &FlowKey) -> Packet {
    if key.vlan.is_untagged() { Packet::new() } else { Packet::new().vlan(key.vlan.get()) }
}

/// Headers in all forms that other programs know.
fn headers() -> Vec<Gtpu> {
    let plain = || Gtpu::new(TEID);
    vec![plain(), plain().sequence(7), plain().n_pdu(3), plain().sequence(8).pdu_session_container()]
}

/// Packets of the key in every form of the header, over IPv4 and IPv6; nothing is outside of its lengths.
fn packets(key: &FlowKey) -> Vec<Packet> {
    let mut packets = Vec::new();
    for header in headers() {
        for packet in [link(key).gtpu4(header.clone()), link(key).gtpu6(header)] {
            packets.push(packet.flow(key).payload(b"twenty bytes of data"));
        }
    }
    packets
}

fn build(key: &FlowKey) -> Vec<Vec<u8>> {
    packets(key).into_iter().map(Packet::build).collect()
}

#[test]
fn sessions_of_both_dialects_cross_both_ways_and_every_frame_is_counted_once() {
    for dialect in DIALECTS {
        let bench = Bench::new(FirewallMode::Silent).unwrap();
        let keys = keys();
        for (id, key) in (1..).zip(&keys) {
            bench.opofd.add_in(dialect, session(id, *key)).unwrap();
        }
        // As many extension headers as are looked behind, of a type that the dissectors do not look into.
        let many = |key: &FlowKey| {
            let header = (0..4).fold(Gtpu::new(TEID), |header, _| header.extension(0xc0, &[1, 2]));
            link(key).gtpu4(header).flow(key).build()
        };
        let stream = |key: &FlowKey| [build(key), vec![many(key)]].concat();
        let forth: Vec<Vec<u8>> = keys.iter().flat_map(stream).collect();
        let back: Vec<Vec<u8>> = keys.iter().flat_map(|key| stream(&key.reversed())).collect();
        let ports = [&bench.server.port, &bench.client.port, &bench.firewall_a, &bench.firewall_b];
        let before = ports.map(|port| counters(port).unwrap());
        let sent_forth = frames::send(&bench.client_socket().unwrap(), &forth, FRAMES).unwrap();
        let sent_back = frames::send(&bench.server_socket().unwrap(), &back, FRAMES).unwrap();

        let count = u64::try_from(FRAMES).unwrap();
        let expected = [(count, sent_forth), (count, sent_back), (0, 0), (0, 0)];
        for ((port, before), expected) in ports.into_iter().zip(before).zip(expected) {
            let arrived = bench.arrived(port, &before, expected.0).unwrap();
            assert_eq!((arrived.rx_packets, arrived.rx_bytes), expected, "{dialect:?}, at {}", port.name);
        }
        // What each session has carried, frame by frame.
        let (mut sum, each) = (Counted::default(), stream(&keys[0]).len());
        for (index, (id, key)) in (1..).zip(&keys).enumerate() {
            let turns = (0..FRAMES).filter(|n| n % forth.len() / each == index);
            let bytes = |frames: &[Vec<u8>]| turns.clone().map(|n| frames[n % frames.len()].len() as u64).sum::<u64>();
            let counted = bench.opofd.get(id).unwrap().expect("the session is there");
            for (found, frames) in [(counted.inward, &forth), (counted.outward, &back)] {
                let expected = (turns.clone().count() as u64, bytes(frames));
                assert_eq!((found.packets, found.bytes), expected, "{dialect:?}, {key}");
            }
            for (sum, more) in [(&mut sum.inward, counted.inward), (&mut sum.outward, counted.outward)] {
                sum.packets += more.packets;
                sum.bytes += more.bytes;
            }
            assert_eq!(bench.opofd.delete(id).unwrap(), Some(counted), "final counters");
        }
        assert_eq!((sum.inward.bytes, sum.outward.bytes), (sent_forth, sent_back));
    }
}

/// What a dissector has to say of the frames of [`build`].
fn expected(key: &FlowKey) -> Vec<String> {
    let [from, to]: [IpAddr; 2] = [key.addresses.source(), key.addresses.destination()];
    let inside = format!("{} {from} {to} {} {}", key.transport, key.source_port, key.destination_port);
    let ends = ["203.0.113.1 203.0.113.2", "::ffff:203.0.113.1 ::ffff:203.0.113.2"];
    let line = |ends: &str| format!("{ends} {TEID:#010x} {inside} valid");
    headers().iter().flat_map(|_| ends.map(line)).collect()
}

#[test]
fn frames_cross_untouched_and_other_programs_see_what_was_sent() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let (client, server) = (Capture::start(&bench.client.port).unwrap(), Capture::start(&bench.server.port).unwrap());
    let (forth, back) = (bench.client_socket().unwrap(), bench.server_socket().unwrap());
    let (mut arrived, mut words) = (Vec::new(), Vec::new());
    for (id, key) in (1..).zip(keys()) {
        bench.opofd.add_in(Dialect::V1_1, session(id, key)).unwrap();
        for (socket, capture, key) in [(&forth, &server, key), (&back, &client, key.reversed())] {
            for frame in build(&key) {
                socket.send(&frame).unwrap();
                let came = capture.next(BOUND).unwrap_or_else(|error| panic!("{key}: {error}"));
                assert_eq!(came, frame, "{key}");
                arrived.push(came);
            }
            words.extend(expected(&key));
        }
    }
    assert_eq!(arrived.len(), 8 * 2 * 8);
    assert_eq!(dissect::tshark_sees(&arrived).unwrap(), words, "tshark");
    assert_eq!(dissect::scapy_sees(&arrived).unwrap(), words, "scapy");
    // Both would notice: a byte of the packet inside, one of the outer checksum.
    let mut damaged = vec![arrived[0].clone(), arrived[0].clone()];
    *damaged[0].last_mut().unwrap() ^= 1;
    damaged[1][14 + 20 + 6] ^= 1;
    for seen in [dissect::tshark_sees(&damaged).unwrap(), dissect::scapy_sees(&damaged).unwrap()] {
        assert!(seen.iter().all(|line| line.ends_with("wrong lengths or checksums")), "{seen:?}");
    }
}

#[test]
fn frames_that_another_program_has_made_are_offloaded() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let (server, socket) = (Capture::start(&bench.server.port).unwrap(), bench.client_socket().unwrap());
    let line = |key: &FlowKey| {
        let (from, to) = (key.addresses.source(), key.addresses.destination());
        let (vlan, transport) = (key.vlan.get(), key.transport);
        format!("{vlan} {transport} {from} {} {to} {}\n", key.source_port, key.destination_port)
    };
    let made = dissect::scapy_frames(&keys().iter().map(line).collect::<String>()).unwrap();
    assert_eq!(made.len(), keys().len());
    for ((id, key), made) in (1..).zip(keys()).zip(made) {
        bench.opofd.add_in(Dialect::V1Beta1, session(id, key)).unwrap();
        assert_eq!(made.len(), 6, "of each outer family and each form of the header");
        let bytes: usize = made.iter().map(Vec::len).sum();
        for frame in &made {
            socket.send(frame).unwrap();
            assert_eq!(server.next(BOUND).unwrap(), *frame, "{key}");
        }
        let counted = bench.opofd.get(id).unwrap().expect("the session is there").inward;
        assert_eq!((counted.packets, counted.bytes), (6, bytes as u64), "{key}");
    }
}

#[test]
fn the_same_tuple_outside_of_the_tunnel_is_another_session() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let (firewall, server) = (Capture::start(&bench.firewall_a).unwrap(), Capture::start(&bench.server.port).unwrap());
    let socket = bench.client_socket().unwrap();
    let reaches = |capture: &Capture, key: &FlowKey, what: &str| {
        let frame = Packet::with_key(key).payload(b"twenty bytes of data").build();
        socket.send(&frame).unwrap();
        let came = capture.next(BOUND).unwrap_or_else(|error| panic!("{key}, {what}: {error}"));
        assert_eq!(came, frame, "{key}, {what}");
    };
    for (id, (plain, tunnelled)) in (0..).zip(frames::keys().into_iter().zip(keys())) {
        let [first, second] = [1 + 2 * id, 2 + 2 * id];
        bench.opofd.add(session(first, plain)).unwrap();
        reaches(&server, &plain, "with its session");
        reaches(&firewall, &tunnelled, "with the other's session");
        bench.opofd.add_in(Dialect::V1_1, session(second, tunnelled)).unwrap();
        reaches(&server, &plain, "with both");
        reaches(&server, &tunnelled, "with both");
        assert_eq!(bench.opofd.delete(first).unwrap().unwrap().inward.packets, 2, "{plain}");
        reaches(&firewall, &plain, "with the other's session");
        reaches(&server, &tunnelled, "with its session");
        assert_eq!(bench.opofd.delete(second).unwrap().unwrap().inward.packets, 2, "{tunnelled}");
    }
}

/// The messages of the tunnel itself, as TS 29.281 has them, and for each a name.
fn messages(link: impl Fn() -> Packet) -> Vec<(&'static str, Packet)> {
    let message = |number: u8, payload: &[u8]| {
        let header = Gtpu::new(0).message(number).sequence(1);
        [link().gtpu4(header.clone()).payload(payload), link().gtpu6(header).payload(payload)]
    };
    let of = |name, packets: [Packet; 2]| packets.map(|packet| (name, packet));
    let end = || Gtpu::new(TEID).message(END_MARKER);
    [
        of("echo request", message(ECHO_REQUEST, &[])),
        // Recovery, 0 (8.2).
        of("echo response", message(ECHO_RESPONSE, &[14, 0])),
        // TEID data I and the peer's address (8.3, 8.4).
        of("error indication", message(ERROR_INDICATION, &[16, 0, 0, 0, 7, 133, 0, 4, 203, 0, 113, 2])),
        // A list of one type (8.5).
        of("supported extension headers notification", message(SUPPORTED_EXTENSIONS, &[141, 1, 0x85])),
        of("end marker", [link().gtpu4(end()), link().gtpu6(end())]),
        of("end marker of a QoS flow", [end(), end()].map(|header| link().gtpu4(header.pdu_session_container()))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn the_tunnels_own_messages_and_tcp_control_reach_the_firewall_untouched() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    for (id, key) in (1..).zip(keys()) {
        bench.opofd.add_in(Dialect::V1_1, session(id, key)).unwrap();
    }
    // A plain session to the port of GTP-U: no frame is its.
    let to_port = FlowKey { destination_port: PORT, transport: Transport::Udp, ..frames::keys()[0] };
    bench.opofd.add(session(100, to_port)).unwrap();
    let mut frames: Vec<(String, Vec<u8>)> = Vec::new();
    for key in keys() {
        for (name, packet) in messages(|| link(&key)) {
            frames.push((format!("{name} on {}", key.vlan), packet.build()));
        }
        // A packet of the session behind the header of an end marker.
        let end_marker = Gtpu::new(TEID).message(END_MARKER);
        frames.push((format!("end marker with a packet of {key}"), link(&key).gtpu4(end_marker).flow(&key).build()));
        let other = FlowKey { source_port: 40_001, ..key };
        frames.extend(build(&other).into_iter().map(|frame| (format!("{other}, which has no session"), frame)));
        for packet in packets(&key) {
            frames.push((format!("fragment inside, {key}"), packet.fragment(8, true).build()));
        }
        if key.transport == Transport::Tcp {
            for bits in 1..8 {
                let control = packets(&key).into_iter().map(|packet| packet.flags(Flags(bits) | Flags::ACK).build());
                frames.extend(control.map(|frame| (format!("flags {bits:#04x} inside, {key}"), frame)));
            }
        }
    }
    frames.push(("no GTP-U at its port".to_owned(), Packet::with_key(&to_port).payload(&[0x45; 40]).build()));

    let (socket, firewall) = (bench.client_socket().unwrap(), Capture::start(&bench.firewall_a).unwrap());
    let others = [&bench.server.port, &bench.firewall_b, &bench.client.port];
    let before = others.map(|port| counters(port).unwrap());
    for (name, frame) in &frames {
        socket.send(frame).unwrap();
        let came = firewall.next(BOUND).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(came, *frame, "{name}");
    }
    assert_eq!(firewall.drain(SETTLE), Vec::<Vec<u8>>::new());
    for (port, before) in others.into_iter().zip(before) {
        assert_eq!(counters(port).unwrap().since(&before).rx_packets, 0, "at {}", port.name);
    }
    for id in (1..).take(keys().len()).chain([100]) {
        assert_eq!(bench.opofd.get(id).unwrap(), Some(Counted::default()), "session {id}");
    }
    // And the device says why.
    let device = bench.opofd.device().unwrap();
    let port = device.ports.iter().find(|port| port.name == "wire1").expect("the port is there");
    for (reason, expected) in
        [(SlowPath::GtpuControl, 8 * 13), (SlowPath::GtpuMalformed, 1), (SlowPath::TcpControl, 224)]
    {
        let slow = port.slow_path.iter().find(|slow| slow.reason == reason.name());
        let packets = slow.map_or(0, |slow| slow.tally.packets);
        assert_eq!(packets, expected, "{reason}");
    }
}
