//! LIFs in every shape through the real daemon: one arm, a wire port in reserve, several that share the work.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opof_session::types::{DirectionCounters, Lif, SessionSpec};
use opof_testkit::netns::{CLIENT, Capture, FlowTuple, Port, RawSocket, SERVER, counters};
use opof_testkit::packet::{Packet, SOURCE_MAC};
use opof_testkit::wait::{self, Pacer};
use opof_tests::iperf::{SERVER_PORT, iperf3};
use opof_tests::{Arm, Bench, Counted, Yard, frames, session, tshark};
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

const BOUND: Duration = Duration::from_secs(5);
/// After this nothing is on its way any more.
const SETTLE: Duration = Duration::from_millis(200);

fn build(packet: Packet) -> Vec<u8> {
    packet.payload(b"twenty bytes of data").build()
}

fn tally(packets: u64, frame: &[u8]) -> DirectionCounters {
    DirectionCounters { packets, bytes: packets * frame.len() as u64 }
}

/// On LIF 1 in and out.
fn one_armed(id: u64, flow: FlowKey) -> SessionSpec {
    let session = session(id, flow);
    SessionSpec { out_lif: session.in_lif, ..session }
}

fn udp(source_port: u16) -> FlowKey {
    let addresses = Addresses::V4 { source: [10, 1, 0, 1], destination: [10, 2, 0, 2] };
    FlowKey {
        vlan: Vid::UNTAGGED,
        tunnel: Tunnel::None,
        addresses,
        source_port,
        destination_port: 443,
        transport: Transport::Udp,
    }
}

fn received(port: &Port) -> u64 {
    counters(port).unwrap().rx_packets
}

#[test]
fn with_one_arm_a_stream_and_its_answers_go_back_where_they_came_from() {
    const FRAMES: u64 = 10_000;
    let yard = Yard::new(&[Arm::SINGLE]).unwrap();
    let ports = yard.opofd.device().unwrap().ports;
    assert_eq!(ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>(), ["w10", "f1"]);
    let (wire, firewall) = (&yard.wires[0][0], &yard.firewalls[0]);
    yard.opofd.add(one_armed(1, udp(1))).unwrap();
    let (forth, back) = (build(Packet::with_key(&udp(1))), build(Packet::with_key(&udp(1).reversed())));

    let before = [wire, firewall].map(received);
    let socket = RawSocket::open(wire).unwrap();
    frames::send(&socket, &[forth.clone(), back.clone()], 10_000).unwrap();
    wait::until("the stream", BOUND, || (received(wire) - before[0] >= FRAMES).then_some(())).unwrap();
    wait::pause(SETTLE);
    assert_eq!(received(wire) - before[0], FRAMES, "each came back once");
    assert_eq!(received(firewall) - before[1], 0, "and the firewall saw none");
    let counted = yard.opofd.get(1).unwrap().unwrap();
    assert_eq!(counted, Counted { inward: tally(FRAMES / 2, &forth), outward: tally(FRAMES / 2, &back) });
}

/// An echo is no session's. It goes to the firewall, and the firewall's answer comes out where the question came in.
#[test]
fn with_one_arm_a_ping_goes_to_the_firewall_and_its_answer_comes_back() {
    let yard = Yard::new(&[Arm::SINGLE]).unwrap();
    let (wire, firewall) = (&yard.wires[0][0], &yard.firewalls[0]);
    let [at_wire, at_firewall] = [wire, firewall].map(|port| Capture::start(port).unwrap());
    let [from_wire, from_firewall] = [wire, firewall].map(|port| RawSocket::open(port).unwrap());
    // RFC 792: type, code, checksum, identifier, sequence number.
    let echo = |kind: u8, source: [u8; 4], destination: [u8; 4]| {
        Packet::new().ipv4(source, destination).protocol(1).payload(&[kind, 0, 0, 0, 0, 7, 0, 1]).build()
    };
    let (request, reply) = (echo(8, [10, 1, 0, 1], [10, 1, 0, 2]), echo(0, [10, 1, 0, 2], [10, 1, 0, 1]));
    // A session between the same hosts changes nothing about it.
    let key = FlowKey { addresses: Addresses::V4 { source: [10, 1, 0, 1], destination: [10, 1, 0, 2] }, ..udp(1) };
    yard.opofd.add(one_armed(1, key)).unwrap();
    for (socket, frame, capture) in [(&from_wire, &request, &at_firewall), (&from_firewall, &reply, &at_wire)] {
        socket.send(frame).unwrap();
        assert_eq!(&capture.next(BOUND).unwrap(), frame);
    }
    let fields = ["icmp.type", "ip.src", "ip.dst"];
    let decoded = tshark::decode(&[request, reply], &fields).unwrap();
    assert_eq!(decoded, [["8", "10.1.0.1", "10.1.0.2"], ["0", "10.1.0.2", "10.1.0.1"]]);
    assert_eq!(yard.opofd.get(1).unwrap(), Some(Counted::default()));
}

/// What one arm is for: two VLANs of a trunk, joined. Whether the tag is the right one another decoder says.
#[test]
fn with_one_arm_a_session_joins_two_vlans() {
    let yard = Yard::new(&[Arm::SINGLE]).unwrap();
    let wire = &yard.wires[0][0];
    let (capture, socket) = (Capture::start(wire).unwrap(), RawSocket::open(wire).unwrap());
    let [inside, outside] = [100, 200].map(|vid| Vid::new(vid).unwrap());
    let key = FlowKey { vlan: inside, ..udp(7) };
    yard.opofd.add(SessionSpec { out_vlan: outside, ..one_armed(1, key) }).unwrap();
    let answer = FlowKey { vlan: outside, ..key.reversed() };
    let sent = [key, answer].map(|key| build(Packet::with_key(&key)));
    let came = sent.each_ref().map(|frame| {
        socket.send(frame).unwrap();
        capture.next(BOUND).unwrap()
    });
    let fields = ["vlan.id", "eth.src", "ip.src", "ip.dst", "udp.srcport", "udp.dstport", "udp.checksum.status"];
    let mac = SOURCE_MAC.to_string();
    let decoded = tshark::decode(&came, &fields).unwrap();
    assert_eq!(decoded[0], ["200", &mac, "10.1.0.1", "10.2.0.2", "7", "443", "1"], "1 is a good checksum");
    assert_eq!(decoded[1], ["100", &mac, "10.2.0.2", "10.1.0.1", "443", "7", "1"]);
    assert_eq!(yard.opofd.device().unwrap().ports[0].forwarded.packets, 2);
}

#[test]
fn the_default_pair_asks_for_lif_2_and_what_meets_itself_is_refused() {
    let yard = Yard::new(&[Arm::SINGLE]).unwrap();
    let refused = yard.opofd.add(session(1, udp(1))).unwrap_err().to_string();
    assert!(refused.contains("outLif: no logical interface 2"), "{refused}");
    let addresses = Addresses::V4 { source: [10, 1, 0, 1], destination: [10, 1, 0, 1] };
    let itself = FlowKey { addresses, source_port: 443, ..udp(1) };
    let refused = yard.opofd.add(one_armed(2, itself)).unwrap_err().to_string();
    assert!(refused.contains("the session meets itself"), "{refused}");
}

/// Answers leave LIF 1 at 10,000 a second, by a session and from the firewall; its active cable is cut, the daemon is killed,
/// and started again.
#[test]
fn a_cut_cable_costs_less_than_a_second_and_a_dead_daemon_nothing() {
    let mut yard = Yard::new(&[Arm { wires: 2, ..Arm::SINGLE }, Arm::SINGLE]).unwrap();
    yard.opofd.add(session(1, udp(1))).unwrap();
    let frame = build(Packet::with_key(&udp(1).reversed()));
    let unknown = build(Packet::with_key(&udp(2).reversed()));
    let [active, standby] = [0, 1].map(|n| yard.wires[0][n].clone());
    let sockets = [&yard.wires[1][0], &yard.firewalls[0]].map(|port| RawSocket::open(port).unwrap());
    let before = [&active, &standby, &yard.firewalls[1]].map(received);

    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let (at_cut, after) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pacer = Pacer::new(frames::RATE / 2);
            while !stop.load(Ordering::Relaxed) {
                pacer.wait();
                sockets[0].send(&frame).unwrap();
                sockets[1].send(&unknown).unwrap();
                sent.fetch_add(2, Ordering::Relaxed);
            }
        });
        let sent_more = |more| {
            let target = sent.load(Ordering::Relaxed) + more;
            let enough = || (sent.load(Ordering::Relaxed) >= target).then_some(());
            wait::until("frames to be sent", Duration::from_secs(30), enough)
        };
        let cut = sent_more(5_000).map(|()| sent.load(Ordering::Relaxed));
        let cable = yard.cable(&active, "down");
        let moved = sent_more(10_000);
        let killed = yard.opofd.kill();
        let dead = [received(&standby), sent.load(Ordering::Relaxed)];
        let flowed = sent_more(10_000);
        stop.store(true, Ordering::Relaxed);
        cable.and(killed).unwrap();
        moved.and(flowed).unwrap();
        (cut.unwrap(), dead)
    });
    let sent = sent.load(Ordering::Relaxed);
    wait::pause(SETTLE);
    let arrived = [&active, &standby].map(received);
    let (by_active, by_standby) = (arrived[0] - before[0], arrived[1] - before[1]);
    let lost = sent - by_active - by_standby;
    println!("{sent} sent, cut after {at_cut}: {by_active} by the active, {by_standby} by the standby, {lost} lost");
    assert!(by_active >= at_cut * 9 / 10 && by_standby >= 10_000, "the test tested something");
    assert!(lost < u64::from(frames::RATE), "less than a second of frames: {lost}");
    let while_dead = (sent - after[1]).abs_diff(arrived[1] - after[0]);
    // What was on its way when the two counters were read.
    assert!(while_dead < 300, "{while_dead} frames of those sent by the dead daemon's programs");
    assert_eq!(received(&yard.firewalls[1]) - before[2], 0, "no frame of the session was a miss");

    yard.opofd.start_again().unwrap();
    // The session went on, and with it what it has counted: half of what was sent is its own.
    let counted = yard.opofd.get(1).unwrap().unwrap().outward;
    assert_eq!(counted, tally(sent / 2, &frame));
    let before = received(&standby);
    frames::send(&sockets[0], std::slice::from_ref(&frame), 100).unwrap();
    wait::until("frames", BOUND, || (received(&standby) - before >= 100).then_some(())).unwrap();
    assert_eq!(yard.opofd.get(1).unwrap().unwrap().outward, tally(sent / 2 + 100, &frame));
}

/// Sessions out of a LIF of three ports: each by one of them, none left out, every frame whole, and the sums right.
#[test]
fn balanced_sessions_use_every_port_and_each_stays_on_one() {
    const SESSIONS: u16 = 96;
    const TIMES: usize = 4;
    let yard = Yard::new(&[Arm { wires: 3, bond: "balance" }, Arm::SINGLE]).unwrap();
    let captures = yard.wires[0].iter().map(|port| Capture::start(port).unwrap()).collect::<Vec<_>>();
    let keys: Vec<FlowKey> = (1..=SESSIONS).map(udp).collect();
    for (id, key) in (1..).zip(&keys) {
        yard.opofd.add(session(id, *key)).unwrap();
    }
    let answers: Vec<Vec<u8>> = keys.iter().map(|key| build(Packet::with_key(&key.reversed()))).collect();
    let socket = RawSocket::open(&yard.wires[1][0]).unwrap();
    frames::send(&socket, &answers, TIMES * answers.len()).unwrap();
    wait::pause(SETTLE);
    let mut seen = vec![Vec::new(); keys.len() + 1];
    for (wire, capture) in captures.iter().enumerate() {
        let came = capture.drain(SETTLE);
        for decoded in tshark::decode(&came, &["udp.dstport", "ip.src", "udp.checksum.status"]).unwrap() {
            assert_eq!(decoded[1..], ["10.2.0.2", "1"], "as it was sent");
            seen[decoded[0].parse::<usize>().unwrap()].push(wire);
        }
    }
    let mut shares = [0; 3];
    for wires in &seen[1..] {
        assert_eq!(wires[..], [wires[0]; TIMES], "each session by one port");
        shares[wires[0]] += 1;
    }
    println!("{SESSIONS} sessions on three ports: {shares:?}");
    // Of eight ways the third port has two: a quarter of the sessions, give or take. Fewer than a twelfth is once in 100,000 runs.
    assert!(shares.iter().all(|share| *share >= usize::from(SESSIONS) / 12), "{shares:?}");

    // The other way: in by any of the ports, a session is a session.
    let forth = build(Packet::with_key(&keys[0]));
    let at_server = Capture::start(&yard.wires[1][0]).unwrap();
    for port in &yard.wires[0] {
        RawSocket::open(port).unwrap().send(&forth).unwrap();
        assert_eq!(at_server.next(BOUND).unwrap(), forth, "from {}", port.name);
    }
    let counted = yard.opofd.get(1).unwrap().unwrap();
    let times = u64::try_from(TIMES).unwrap();
    assert_eq!(counted, Counted { inward: tally(3, &forth), outward: tally(times, &answers[0]) });
}

/// A TCP connection that is on the fast path survives the loss of the cable it is on, and the firewall sees no data of it.
#[test]
fn tcp_survives_a_cut_cable() {
    const SECONDS: u32 = 6;
    let bench = Bench::with_two_cables("active-standby").unwrap();
    let flow = FlowTuple {
        tcp: true,
        client: CLIENT.ipv4.into(),
        client_port: 40_001,
        server: SERVER.ipv4.into(),
        server_port: SERVER_PORT,
    };
    let addresses = Addresses::V4 { source: CLIENT.ipv4.octets(), destination: SERVER.ipv4.octets() };
    let key = FlowKey {
        vlan: Vid::UNTAGGED,
        tunnel: Tunnel::None,
        addresses,
        source_port: flow.client_port,
        destination_port: SERVER_PORT,
        transport: Transport::Tcp,
    };
    bench.opofd.add(session(1, key)).unwrap();
    let cables = bench.client_cables.clone();
    let before: Vec<u64> = cables.iter().map(received).collect();
    let (figures, at_cut) = std::thread::scope(|scope| {
        let iperf = scope.spawn(|| iperf3(&bench, &flow, SECONDS));
        // When data flows, with most of the time still to come: acknowledgements are few, and fewer on a busy machine.
        let flows = wait::until("data", BOUND * 2, || (received(&cables[0]) - before[0] > 300).then_some(()));
        let at_cut = bench.opofd.get(1);
        let cut = cables[0].namespace.ip(&format!("link set dev {} down", cables[0].name));
        let figures = iperf.join().unwrap();
        flows.unwrap();
        cut.unwrap();
        (figures.unwrap(), at_cut.unwrap().unwrap())
    });
    let counted = bench.opofd.get(1).unwrap().unwrap();
    let by_second = received(&cables[1]) - before[1];
    let (rate, again) = (figures.bits_per_second / 1e6, figures.retransmits);
    println!(
        "{rate:.0} Mbit/s over {SECONDS} s with a cut, {again} retransmits, {by_second} frames to the client after it"
    );
    // Far more than was on its way when the cable was cut.
    assert!(counted.inward.bytes > at_cut.inward.bytes + 20_000_000, "it went on: {at_cut:?}, then {counted:?}");
    assert!(by_second > 100 && counted.outward.packets > by_second, "over the other cable: {by_second}");
    assert!(counted.inward.bytes >= figures.received_bytes, "on the fast path: {counted:?}, {figures:?}");
    let lif = Lif::new(1).unwrap().get();
    let wires = bench.opofd.device().unwrap().ports.into_iter().filter(|port| port.lif == u32::from(lif));
    let forwarded: u64 = wires.map(|port| port.forwarded.packets).sum();
    assert_eq!(forwarded, counted.inward.packets, "both ports together are the session");
}
