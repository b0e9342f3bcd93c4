//! Everything that is not a data packet of an offloaded session reaches the firewall's port, bit by bit as it was sent,
//! and no other port.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use opof_testkit::frames::fixtures;
use opof_testkit::netns::{Capture, FirewallMode, RawSocket, counters};
use opof_testkit::packet::Packet;
use opof_tests::{Bench, frames, session};
use opof_wire::tcp::Flags;
use opof_wire::{Addresses, FlowKey, Transport, Vid};

const BOUND: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_millis(200);
/// Where tags go: behind the two addresses.
const TAGS_AT: usize = 12;
const VLAN: &[u8] = &[0x81, 0x00, 0x60, 0x64];
const QINQ: &[u8] = &[0x88, 0xa8, 0x10, 0xc8, 0x81, 0x00, 0x00, 0x64];
/// Shorter frames can't be sent.
const ETHERNET_HEADER: usize = 14;
/// A kernel drops a frame that ends within its outer tag or right behind it before any socket sees it.
const SHORTEST_TAGGED: usize = 20;

/// The frame as it is, with one and with two tags more, each under a name of its own.
fn tagged(name: &str, frame: &[u8]) -> [(String, Vec<u8>); 3] {
    [("as it is", &[][..]), ("VLAN", VLAN), ("QinQ", QINQ)]
        .map(|(how, tags)| (format!("{name}, {how}"), [&frame[..TAGS_AT], tags, &frame[TAGS_AT..]].concat()))
}

fn is_captured(frame: &[u8]) -> bool {
    frame.len() >= SHORTEST_TAGGED || !matches!(frame[TAGS_AT..], [0x81, 0x00, ..] | [0x88, 0xa8, ..])
}

/// Sends each frame and sees it arrive at `capture`.
fn each_arrives(socket: &RawSocket, capture: &Capture, frames: &[(String, Vec<u8>)]) {
    for (name, frame) in frames {
        socket.send(frame).unwrap();
        if is_captured(frame) {
            let arrived = capture.next(BOUND).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(arrived, *frame, "{name}");
        }
    }
}

fn bytes(frames: &[(String, Vec<u8>)]) -> u64 {
    frames.iter().map(|(_, frame)| frame.len() as u64).sum()
}

#[test]
fn every_fixture_reaches_the_firewall_untouched() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let frames: Vec<(String, Vec<u8>)> = fixtures()
        .iter()
        .filter(|fixture| fixture.frame.len() >= ETHERNET_HEADER)
        .flat_map(|fixture| tagged(&fixture.name, &fixture.frame))
        .collect();
    assert!(frames.len() > 300, "{}", frames.len());
    let sides = [
        (bench.client_socket().unwrap(), &bench.firewall_a, &bench.firewall_b),
        (bench.server_socket().unwrap(), &bench.firewall_b, &bench.firewall_a),
    ];
    for (socket, firewall, other_firewall) in sides {
        let watched = [firewall, other_firewall, &bench.client.port, &bench.server.port];
        let before = watched.map(|port| counters(port).unwrap());
        let capture = Capture::start(firewall).unwrap();
        each_arrives(&socket, &capture, &frames);
        let arrived = bench.arrived(firewall, &before[0], frames.len() as u64).unwrap();
        // By the kernel's own count all of them came, those included that it then shows to nobody.
        assert_eq!((arrived.rx_packets, arrived.rx_bytes), (frames.len() as u64, bytes(&frames)));
        assert_eq!(capture.drain(SETTLE), Vec::<Vec<u8>>::new());
        for (port, before) in watched.into_iter().zip(before).skip(1) {
            let arrived = counters(port).unwrap().since(&before);
            assert_eq!(arrived.rx_packets, 0, "{} got frames that were not for it", port.name);
        }
    }
}

/// The TCP sessions among those there are.
fn keys() -> Vec<FlowKey> {
    frames::keys().into_iter().filter(|key| key.transport == Transport::Tcp).collect()
}

#[test]
fn syn_fin_and_rst_of_an_offloaded_session_reach_the_firewall_in_every_mixture() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    for (id, key) in (1..).zip(keys()) {
        bench.opofd.add(session(id, key)).unwrap();
    }
    let socket = bench.client_socket().unwrap();
    let (firewall, server) = (Capture::start(&bench.firewall_a).unwrap(), Capture::start(&bench.server.port).unwrap());

    let mut offloaded = vec![0; keys().len()];
    for (index, key) in keys().iter().enumerate() {
        for packet in frames::packets(key) {
            for flags in 0..=u8::MAX {
                let frame = packet.clone().flags(Flags(flags)).payload(b"data").build();
                let to_firewall = Flags(flags).intersects(Flags::CONTROL);
                socket.send(&frame).unwrap();
                let capture = if to_firewall { &firewall } else { &server };
                let arrived = capture.next(BOUND).unwrap_or_else(|error| panic!("{key} flags {flags:#04x}: {error}"));
                assert_eq!(arrived, frame, "{key} flags {flags:#04x}");
                offloaded[index] += u64::from(!to_firewall);
            }
        }
    }
    assert_eq!(firewall.drain(SETTLE).len() + server.drain(SETTLE).len(), 0);
    // TCP control packets are neither counted in a session nor do they end it.
    for (id, expected) in (1..).zip(offloaded) {
        let counted = bench.opofd.get(id).unwrap().expect("the session is still there");
        assert_eq!((counted.inward.packets, counted.outward.packets), (expected, 0));
    }
}

#[test]
fn other_frames_of_an_offloaded_sessions_hosts_reach_the_firewall() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    for (id, key) in (1..).zip(keys()) {
        bench.opofd.add(session(id, key)).unwrap();
    }
    let (socket, firewall) = (bench.client_socket().unwrap(), Capture::start(&bench.firewall_a).unwrap());
    let before = counters(&bench.server.port).unwrap();
    let mut frames = Vec::new();
    for key in keys() {
        let packet = || Packet::with_key(&key);
        let mut odd =
            vec![("first fragment", packet().fragment(0, true)), ("later fragment", packet().fragment(8, false))];
        match key.addresses {
            Addresses::V4 { .. } => odd.push(("options", packet().ipv4_options(&[1; 4]))),
            Addresses::V6 { .. } => {
                odd.push(("hop-by-hop", packet().hop_by_hop()));
                odd.push(("destination options", packet().destination_options()));
                odd.push(("routing", packet().routing()));
                for number in [50, 51, 135, 139, 140, 253, 254] {
                    odd.push(("extension", packet().extension(number, &[0; 6])));
                }
            }
        }
        odd.push(("ICMP", packet().protocol(1)));
        odd.push(("ICMPv6", packet().protocol(58)));
        for (name, key) in [
            ("other port", FlowKey { source_port: 40_001, ..key }),
            ("other transport", FlowKey { transport: Transport::Udp, ..key }),
            ("other VLAN", FlowKey { vlan: Vid::new(101).unwrap(), ..key }),
            ("the answer, from the wrong side", key.reversed()),
        ] {
            odd.push((name, Packet::with_key(&key)));
        }
        frames.extend(
            odd.into_iter().map(|(name, packet)| (format!("{name} of {key}"), packet.payload(b"12345678").build())),
        );
    }
    each_arrives(&socket, &firewall, &frames);
    assert_eq!(counters(&bench.server.port).unwrap().since(&before).rx_packets, 0);
}
