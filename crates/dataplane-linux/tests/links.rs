//! LIFs of several wire ports: what comes in on any of them is the LIF's, what leaves takes one whose link is up.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use std::time::Duration;

use common::{BOUND, Lab, flow, forward, install, lifs, remove};
use opof_dataplane::{DataPlane, PortRole};
use opof_dataplane_linux::{AttachMode, Bond, LifPorts, XdpConfig, XdpPlane};
use opof_session::plane::Slot;
use opof_session::types::DirectionCounters;
use opof_testkit::netns::{Capture, Port, RawSocket, counters};
use opof_testkit::packet::Packet;
use opof_testkit::wait::{self, Pacer, Stopwatch};
use opof_wire::{Addresses, FlowKey, Vid};

/// What a change of a link may take until traffic is elsewhere.
const MOVED_WITHIN: Duration = Duration::from_secs(1);
/// How often frames are sent meanwhile, a second.
const RATE: u32 = 1_000;
/// After this nothing is on its way any more.
const SETTLE: Duration = Duration::from_millis(50);
/// How often each of many flows is seen.
const TIMES: usize = 3;

/// The lab, whose first LIF has further wire ports.
struct Bundle {
    lab: Lab,
    /// The far ends of that LIF's wire ports.
    wires: Vec<Port>,
}

impl Bundle {
    fn new(wires: usize) -> Self {
        let mut lab = Lab::new();
        let mut all = vec![lab.far[0].1.clone()];
        all.extend((1..wires).map(|n| lab.add_wire(&format!("wire-a{n}"))));
        Self { lab, wires: all }
    }

    fn config(&self, bond: Bond) -> XdpConfig {
        let mut config = self.lab.config(256, AttachMode::Native);
        let LifPorts { wire, bond: of_lif, .. } = &mut config.lifs[0];
        wire.extend((1..self.wires.len()).map(|n| format!("wire-a{n}")));
        *of_lif = bond;
        config
    }

    fn plane(&self, bond: Bond) -> XdpPlane {
        self.lab.open(&self.config(bond)).expect("root and BPF")
    }

    /// What the far end of the second LIF, or of a firewall port, sends with.
    fn socket(&self, port: usize) -> RawSocket {
        RawSocket::open(&self.lab.far[port].1).unwrap()
    }

    /// The cable of a wire port of the first LIF, cut or joined.
    fn cable(&self, wire: usize, state: &str) {
        self.lab.outside.ip(&format!("link set dev {} {state}", self.wires[wire].name)).unwrap();
    }

    /// Which wire ports `frame` comes out of, when it is sent `times` times.
    fn leaves_by(&self, socket: &RawSocket, frame: &[u8], times: u64) -> Vec<u64> {
        let before: Vec<_> = self.wires.iter().map(|wire| counters(wire).unwrap()).collect();
        (0..times).for_each(|_| socket.send(frame).unwrap());
        let came = || -> Vec<u64> {
            self.wires
                .iter()
                .zip(&before)
                .map(|(wire, before)| counters(wire).unwrap().since(before).rx_packets)
                .collect()
        };
        wait::until("frames", BOUND, || (came().iter().sum::<u64>() >= times).then_some(())).unwrap();
        wait::pause(SETTLE);
        came()
    }

    /// Sends `frame` again and again until it comes out of this wire port; how long that took, and how many were sent.
    fn moves_to(&self, wire: usize, socket: &RawSocket, frame: &[u8]) -> (Duration, u64) {
        let before = counters(&self.wires[wire]).unwrap().rx_packets;
        let (watch, mut pacer, mut sent) = (Stopwatch::start(), Pacer::new(RATE), 0);
        while counters(&self.wires[wire]).unwrap().rx_packets == before {
            pacer.wait();
            socket.send(frame).unwrap();
            sent += 1;
            assert!(watch.elapsed() < BOUND, "nothing comes out of {}", self.wires[wire].name);
        }
        (watch.elapsed(), sent)
    }
}

fn frame(key: &FlowKey) -> Vec<u8> {
    Packet::with_key(key).payload(&[7; 50]).build()
}

/// Out of the first LIF.
fn answer(n: u32) -> Vec<u8> {
    frame(&flow(n, 0).reversed())
}

#[test]
fn a_session_is_good_on_each_wire_port_and_counted_in_one_place() {
    let bundle = Bundle::new(3);
    let mut plane = bundle.plane(Bond::ActiveStandby);
    let ports = plane.describe().ports;
    let described: Vec<_> = ports.iter().map(|port| (port.lif, port.role, port.name.as_str())).collect();
    let [a, b] = lifs();
    let (wire, firewall) = (PortRole::Wire, PortRole::Firewall);
    let expected = [
        (a, wire, "wire-a"),
        (a, wire, "wire-a1"),
        (a, wire, "wire-a2"),
        (a, firewall, "fw.a"),
        (b, wire, "wire-b"),
        (b, firewall, "fw.b"),
    ];
    assert_eq!(described, expected.map(|(lif, role, name)| (Some(lif), role, name)));

    let rules = forward(flow(1, 0));
    install(&mut plane, 5, rules);
    let (hit, miss) = (frame(&flow(1, 0)), frame(&flow(2, 0)));
    let [at_firewall, at_wire] = [1, 2].map(|port| Capture::start(&bundle.lab.far[port].1).unwrap());
    for (n, wire) in (1..).zip(&bundle.wires) {
        let socket = RawSocket::open(wire).unwrap();
        for _ in 0..n {
            socket.send(&hit).unwrap();
            assert_eq!(at_wire.next(BOUND).unwrap(), hit, "from {}", wire.name);
        }
        socket.send(&miss).unwrap();
        assert_eq!(at_firewall.next(BOUND).unwrap(), miss, "from {}", wire.name);
    }
    let ports = plane.describe().ports;
    for (n, port) in (1..).zip(&ports[..3]) {
        let counted = (port.counters.forwarded.packets, port.counters.slow_path[0].packets);
        assert_eq!(counted, (n, 1), "at {}", port.name);
    }
    let inward = DirectionCounters { packets: 6, bytes: 6 * hit.len() as u64 };
    assert_eq!(remove(&mut plane, 5, &rules).inward, inward);
}

#[test]
fn what_leaves_takes_the_first_link_that_is_up() {
    follows_links(AttachMode::Native);
}

#[test]
fn what_leaves_in_generic_mode_does_too() {
    follows_links(AttachMode::Generic);
}

fn follows_links(mode: AttachMode) {
    let bundle = Bundle::new(3);
    let mut plane = bundle.lab.open(&XdpConfig { mode, ..bundle.config(Bond::ActiveStandby) }).unwrap();
    install(&mut plane, 0, forward(flow(1, 0)));
    // What the first LIF's firewall port lets out, and what a session does.
    let senders = [(bundle.socket(2), answer(1)), (bundle.socket(1), answer(9))];
    let settled = |wire: usize, why: &str| {
        for (socket, frame) in &senders {
            let mut expected = [0; 3];
            expected[wire] = 20;
            assert_eq!(bundle.leaves_by(socket, frame, 20), expected, "{why}");
        }
    };
    let moved = |wire: usize, why: &str| {
        let (took, sent) = bundle.moves_to(wire, &senders[0].0, &senders[0].1);
        println!("{why}: {took:?}, {sent} frames");
        assert!(took < MOVED_WITHIN, "{why}: {took:?}");
        settled(wire, why);
    };
    settled(0, "all up");
    bundle.cable(0, "down");
    moved(1, "the first cable cut");
    bundle.cable(1, "down");
    moved(2, "the second cut as well");
    bundle.cable(1, "up");
    moved(1, "the second joined");
    bundle.lab.device.ip("link set dev wire-a1 down").unwrap();
    moved(2, "the second switched off at the device");
    bundle.cable(0, "up");
    moved(0, "the first joined");
    // With no link at all nothing moves; the first that comes back carries again.
    bundle.cable(0, "down");
    bundle.cable(2, "down");
    wait::pause(MOVED_WITHIN);
    bundle.cable(2, "up");
    moved(2, "none was up, then the last");
}

/// Flows that differ in one address, the other, or a port, of both families, in a VLAN and not.
fn flows() -> Vec<FlowKey> {
    let mut flows: Vec<FlowKey> = (0..64).map(|n| flow(n, if n % 4 == 0 { 100 } else { 0 })).collect();
    flows.extend((0..32).map(|n| FlowKey { source_port: 50_000 + n, ..flow(100, 0) }));
    flows.extend((0..32_u8).map(|n| {
        let mut source = [0xFD; 16];
        source[15] = n;
        FlowKey { addresses: Addresses::V6 { source, destination: [0xFC; 16] }, vlan: Vid::UNTAGGED, ..flow(0, 0) }
    }));
    flows
}

/// The wire port of each flow's answers, each of which is sent a few times; `joined` are those whose cable is not cut.
fn homes(bundle: &Bundle, joined: &[usize], socket: &RawSocket, flows: &[FlowKey]) -> Vec<usize> {
    let captures = joined.iter().map(|wire| (*wire, Capture::start(&bundle.wires[*wire]).unwrap())).collect::<Vec<_>>();
    let mut pacer = Pacer::new(10 * RATE);
    for flow in flows.iter().cycle().take(TIMES * flows.len()) {
        pacer.wait();
        socket.send(&frame(&flow.reversed())).unwrap();
    }
    let (watch, mut came) = (Stopwatch::start(), Vec::new());
    while came.len() < TIMES * flows.len() {
        assert!(watch.elapsed() < BOUND, "{} frames of {}", came.len(), TIMES * flows.len());
        for (wire, capture) in &captures {
            came.extend(capture.drain(Duration::from_millis(10)).into_iter().map(|frame| (*wire, frame)));
        }
    }
    let home = |flow: &FlowKey| {
        let frame = frame(&flow.reversed());
        let used: Vec<usize> = came.iter().filter(|(_, other)| *other == frame).map(|(wire, _)| *wire).collect();
        assert_eq!(used, [used[0]; TIMES], "{flow} is on one link, whole");
        used[0]
    };
    flows.iter().map(home).collect()
}

fn shares(homes: &[usize], wires: usize) -> Vec<usize> {
    (0..wires).map(|wire| homes.iter().filter(|home| **home == wire).count()).collect()
}

#[test]
fn balance_spreads_flows_and_keeps_each_on_one_link() {
    let bundle = Bundle::new(2);
    let mut plane = bundle.plane(Bond::Balance);
    let flows = flows();
    for (slot, flow) in (0..).zip(&flows) {
        install(&mut plane, slot, forward(*flow));
    }
    let socket = bundle.socket(2);
    let before = homes(&bundle, &[0, 1], &socket, &flows);
    let [one, other] = shares(&before, 2)[..] else { unreachable!("two wires") };
    println!("sessions on each link: {one} and {other}");
    assert!(one.min(other) * 3 >= flows.len(), "each has a third at least: {one} and {other}");

    // A link goes: its flows move, no other does; it comes back, and all is as it was.
    bundle.cable(0, "down");
    let lost = before.iter().position(|home| *home == 0).unwrap();
    let (took, _) = bundle.moves_to(1, &socket, &frame(&flows[lost].reversed()));
    println!("moved in {took:?}");
    assert!(took < MOVED_WITHIN, "{took:?}");
    assert!(homes(&bundle, &[1], &socket, &flows).iter().all(|home| *home == 1));
    bundle.cable(0, "up");
    let (took, _) = bundle.moves_to(0, &socket, &frame(&flows[lost].reversed()));
    assert!(took < MOVED_WITHIN, "{took:?}");
    assert_eq!(homes(&bundle, &[0, 1], &socket, &flows), before);
    for (slot, flow) in (0..).zip(&flows) {
        let counted = remove(&mut plane, Slot(slot).0, &forward(*flow)).outward.packets;
        assert!(counted >= 9, "{flow}: {counted}");
    }
}

/// Without a session there is no check; hosts are spread by their addresses, and ports change nothing.
#[test]
fn balance_spreads_what_the_firewall_sends_by_its_addresses() {
    let bundle = Bundle::new(4);
    let _plane = bundle.plane(Bond::Balance);
    let socket = bundle.socket(1);
    let flows = flows();
    let homes = homes(&bundle, &[0, 1, 2, 3], &socket, &flows);
    let shares = shares(&homes[..64], 4);
    println!("hosts on each link: {shares:?}");
    assert!(shares.iter().all(|share| *share >= 6), "of 64 hosts: {shares:?}");
    let same_hosts = &homes[64..96];
    assert!(same_hosts.iter().all(|home| *home == same_hosts[0]), "one pair of hosts, many ports: {same_hosts:?}");
    // Neither an address nor a tag to be read: the MAC addresses decide, and the frame is not lost.
    for bytes in [&[0x08, 0x06, 0, 1][..], &[0x81, 0x00], &[0x08, 0x00, 0x45]] {
        let other = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], bytes, &[0; 20]].concat();
        assert_eq!(bundle.leaves_by(&socket, &other, 2).iter().filter(|left| **left == 2).count(), 1);
    }
}

#[test]
fn a_device_starts_with_a_link_out_of_service_and_takes_it_when_it_comes() {
    let bundle = Bundle::new(2);
    bundle.lab.device.ip("link set dev wire-a down").unwrap();
    let mut plane = bundle.plane(Bond::ActiveStandby);
    install(&mut plane, 0, forward(flow(1, 0)));
    let socket = bundle.socket(2);
    assert_eq!(bundle.leaves_by(&socket, &answer(1), 5), [0, 5]);
    bundle.lab.device.ip("link set dev wire-a up").unwrap();
    let (took, _) = bundle.moves_to(0, &socket, &answer(1));
    assert!(took < MOVED_WITHIN, "{took:?}");
    drop(plane);

    for wire in ["wire-a", "wire-a1"] {
        bundle.lab.device.ip(&format!("link set dev {wire} down")).unwrap();
    }
    let error = bundle.lab.open(&bundle.config(Bond::ActiveStandby)).unwrap_err().to_string();
    assert!(error.starts_with("interface wire-a is down"), "{error}");
}

/// One LIF of one wire port is a device too.
#[test]
fn one_lif_is_enough() {
    let lab = Lab::new();
    let mut config = lab.config(16, AttachMode::Native);
    config.lifs.truncate(1);
    let mut plane = lab.open(&config).unwrap();
    assert_eq!(plane.describe().ports.len(), 2);
    let rules = common::forward_on(lifs()[0], flow(1, 0));
    install(&mut plane, 0, rules);
    let wire = &lab.far[0].1;
    let (socket, capture) = (RawSocket::open(wire).unwrap(), Capture::start(wire).unwrap());
    for frame in [frame(&flow(1, 0)), answer(1)] {
        socket.send(&frame).unwrap();
        assert_eq!(capture.next(BOUND).unwrap(), frame);
    }
    let counters = remove(&mut plane, 0, &rules);
    assert_eq!((counters.inward.packets, counters.outward.packets), (1, 1));
}
