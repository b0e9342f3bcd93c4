//! A plane ends and takes nothing down; the next one finds what it forwarded, as it was told, and what it counted.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use std::time::Duration;

use common::{BOUND, Lab, command, flow, forward, keys, monotonic};
use opof_dataplane::DataPlane;
use opof_dataplane_linux::probe::spoil_flow;
use opof_dataplane_linux::{AttachMode, XdpPlane};
use opof_session::l3::{Family, NextHop, NextHopId, VlanFlow};
use opof_session::plane::{
    Command, Completion, CopyMoment, FastAction, Found, Note, PacketChange, PacketCopy, Route, RouteToken, Rule, Slot,
};
use opof_session::types::{Lif, Moment};
use opof_testkit::netns::{Capture, RawSocket};
use opof_testkit::packet::Packet;
use opof_wire::ethernet::MacAddress;
use opof_wire::{Addresses, Endpoint, FlowKey, Vid};

const SESSIONS: u32 = 64;

fn note(n: u32) -> Note {
    Note([n.into(), u64::MAX, 1 << 56 | u64::from(n)])
}

fn install(plane: &mut XdpPlane, slot: u32, rules: [Rule; 2]) {
    let slot = Slot(slot);
    let answers = command(plane, &[Command::Install { slot, rules, note: note(slot.0) }]);
    assert_eq!(answers, [Completion::Installed { slot, result: Ok(()) }]);
}

fn remove(plane: &mut XdpPlane, slot: u32, rules: &[Rule; 2], note: Note) -> u64 {
    let answers = command(plane, &[Command::Remove { slot: Slot(slot), keys: rules.map(|rule| rule.key), note }]);
    match answers[..] {
        [Completion::Removed { result: Ok(counters), .. }] => counters.inward.packets + counters.outward.packets,
        _ => panic!("{answers:?}"),
    }
}

fn found(plane: &mut XdpPlane) -> Vec<Found> {
    let mut all = Vec::new();
    plane.found(&mut |found| all.push(*found));
    all
}

/// One of each kind of session, by slot.
fn sessions() -> Vec<[Rule; 2]> {
    let [a, b] = common::lifs();
    let changed = |rules: [Rule; 2], changes: [PacketChange; 2], copy| {
        let mut made = rules;
        for ((rule, change), to) in made.iter_mut().zip(changes).zip([b, a]) {
            rule.action = FastAction::Forward { to, change, copy };
        }
        made
    };
    let none = PacketChange::default();
    let v6 = FlowKey { addresses: Addresses::V6 { source: [0xFD; 16], destination: [0xFC; 16] }, ..flow(1, 0) };
    let dropped = keys(flow(2, 0)).map(|key| Rule { key, action: FastAction::Drop });
    let vlans = {
        let mut rules = forward(flow(3, 100));
        rules[1].key.flow.vlan = Vid::new(200).unwrap();
        changed(rules, [Vid::new(200), Vid::new(100)].map(PacketChange::vlan), None)
    };
    let nat = {
        let source = Endpoint { address: [192, 0, 2, 9].into(), port: Some(7) };
        let mut rules = forward(flow(4, 0));
        rules[1].key.flow = flow(4, 0).with_source(&source).reversed();
        let back = Endpoint { address: [10, 0, 0, 4].into(), port: Some(40_000) };
        let forth = PacketChange { source: Some(source), next_hop: NextHopId::new(1), ..none };
        changed(rules, [forth, PacketChange { destination: Some(back), ..none }], None)
    };
    let copy = |address, moment| Some(PacketCopy { collector: address, moment, key: 77 });
    let mirrored = changed(forward(flow(5, 0)), [none; 2], copy([10, 99, 0, 2].into(), CopyMoment::AsItCame));
    let far = "fd99::2".parse().unwrap();
    let snooped = changed(forward(flow(6, 0)), [none; 2], copy(far, CopyMoment::AsItLeaves));
    vec![forward(flow(0, 0)), forward(v6), dropped, vlans, nat, mirrored, snooped]
}

#[test]
fn what_a_plane_leaves_the_next_one_finds() {
    let mut lab = Lab::new();
    lab.add_collectors();
    let config = lab.config_with_copies(SESSIONS, AttachMode::Native);
    let mut plane = lab.open(&config).unwrap();
    assert_eq!(found(&mut plane), [], "nothing was there before");
    plane.stay();
    let (source, destination) = (MacAddress([2, 0, 0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 2]));
    let hop = |id, family| NextHop { id: NextHopId::new(id).unwrap(), family, source, destination };
    let hops = [hop(1, Family::V4), hop(u32::MAX, Family::V6)];
    let vlan_flow = VlanFlow { vlan: Vid::new(300).unwrap(), lif: Lif::new(1000).unwrap() };
    for route in [Route::SetNextHop(hops[0]), Route::SetNextHop(hops[1]), Route::SetVlanFlow(vlan_flow)] {
        let token = RouteToken(0);
        assert_eq!(
            command(&mut plane, &[Command::Route { route, token }]),
            [Completion::Routed { token, result: Ok(()) }]
        );
    }
    let sessions = sessions();
    for (slot, rules) in (0..).zip(&sessions) {
        install(&mut plane, slot, *rules);
    }
    // Others on their way out, and gone.
    let [leaving, gone] = [20, 21].map(|n| forward(flow(n, 0)));
    install(&mut plane, 20, leaving);
    install(&mut plane, 21, gone);
    let [wire_a, wire_b] = [0, 2].map(|n| &lab.far[n].1);
    let (socket, arrivals) = (RawSocket::open(wire_a).unwrap(), Capture::start(wire_b).unwrap());
    let frame = |n| Packet::with_key(&flow(n, 0)).payload(&[7; 50]).build();
    let forwards = |n| {
        socket.send(&frame(n)).unwrap();
        assert_eq!(arrivals.next(BOUND).unwrap(), frame(n));
    };
    forwards(0);
    forwards(20);
    assert_eq!(remove(&mut plane, 20, &leaving, note(99)), 1);
    assert_eq!(remove(&mut plane, 21, &gone, note(21)), 0);
    assert_eq!(command(&mut plane, &[Command::Forget { slot: Slot(21) }]), [Completion::Forgotten { slot: Slot(21) }]);
    drop(plane);

    forwards(0);
    let mut plane = lab.open(&config).unwrap();
    plane.stay();
    forwards(0);
    let all = found(&mut plane);
    for (slot, rules) in (0..).zip(&sessions) {
        let found = all[slot as usize];
        assert_eq!((found.slot, found.note, found.forwarded), (Slot(slot), note(slot), [true; 2]));
        assert_eq!(found.rules, *rules, "slot {slot}");
        let packets = found.counters.inward.packets + found.counters.outward.packets;
        assert_eq!(packets, if slot == 0 { 3 } else { 0 });
    }
    let [.., left] = all[..] else { panic!("{all:?}") };
    assert_eq!((left.slot, left.note, left.rules, left.forwarded), (Slot(20), note(99), leaving, [false; 2]));
    assert_eq!((left.counters.inward.packets, all.len()), (1, sessions.len() + 1));
    let (mut next_hops, vlan_flows) = plane.found_routes();
    next_hops.sort_unstable_by_key(|hop| hop.id);
    assert_eq!((next_hops, vlan_flows), (hops.to_vec(), vec![vlan_flow]));
    // It is a session like any other.
    assert_eq!(remove(&mut plane, 0, &sessions[0], note(0)), 3);
    assert_eq!(remove(&mut plane, 20, &leaving, note(20)), 1, "once more");
    for slot in [0, 20].map(Slot) {
        command(&mut plane, &[Command::Forget { slot }]);
    }
    plane.purge(&[1, 2, 3, 4, 5].map(Slot));
    assert_eq!(found(&mut plane).iter().map(|found| found.slot).collect::<Vec<_>>(), [Slot(6)]);
    install(&mut plane, 5, sessions[5]);
    drop(plane);

    // With another layout nothing is found, and nothing of before is forwarded.
    let mut plane = lab.open(&lab.config(SESSIONS / 2, AttachMode::Native)).unwrap();
    assert_eq!(found(&mut plane), []);
    let firewall = Capture::start(&lab.far[1].1).unwrap();
    socket.send(&frame(6)).unwrap();
    assert_eq!(firewall.next(BOUND).unwrap(), frame(6));
    assert!(arrivals.drain(Duration::from_millis(50)).is_empty());
    drop(plane);
    assert!(!lab.pin_dir.exists(), "one that does not stay takes everything down");
}

/// Whatever is in the memory: no panic, nothing forwarded that has no note, and what is sound is found.
#[test]
fn memory_that_makes_no_sense_is_taken_out() {
    let lab = Lab::new();
    let config = lab.config(SESSIONS, AttachMode::Native);
    let mut plane = lab.open(&config).unwrap();
    plane.stay();
    for n in 0..4 {
        install(&mut plane, n, forward(flow(n, 0)));
    }
    // Without a note.
    let rules = forward(flow(4, 0));
    command(&mut plane, &[Command::Install { slot: Slot(4), rules, note: Note::default() }]);
    drop(plane);
    for n in [0, 1] {
        // Its LIFs are none of ours any more: the position is the last but one byte of a key.
        spoil_flow(&lab.pin_dir, 2 * n + 1, 4, 0x00FF_0000_0000_0000).unwrap();
    }
    let mut plane = lab.open(&config).unwrap();
    assert_eq!(found(&mut plane).iter().map(|found| found.slot).collect::<Vec<_>>(), [Slot(2), Slot(3)]);
    let [wire_a, firewall_a] = [0, 1].map(|n| &lab.far[n].1);
    let (socket, firewall) = (RawSocket::open(wire_a).unwrap(), Capture::start(firewall_a).unwrap());
    for n in [0, 1, 4] {
        let frame = Packet::with_key(&flow(n, 0)).payload(&[7; 50]).build();
        socket.send(&frame).unwrap();
        assert_eq!(firewall.next(BOUND).unwrap(), frame, "session {n}");
    }
    let _ = plane.submit(Moment(0), &[]);
}

/// A plane that ends has no more to say: until when it may forward is what the programs have, and what the next plane finds.
#[test]
fn the_next_plane_forwards_no_longer_than_the_one_before_was_told() {
    let lab = Lab::new();
    let config = lab.config(SESSIONS, AttachMode::Native);
    let [wire_a, firewall_a, wire_b] = [0, 1, 2].map(|n| &lab.far[n].1);
    let socket = RawSocket::open(wire_a).unwrap();
    let [to_firewall, to_wire] = [firewall_a, wire_b].map(|port| Capture::start(port).unwrap());
    let frame = Packet::with_key(&flow(0, 0)).payload(&[7; 50]).build();
    let sends = |to: &Capture, when: &str| {
        socket.send(&frame).unwrap();
        assert_eq!(to.next(BOUND).unwrap(), frame, "{when}");
    };
    let mut plane = lab.open(&config).unwrap();
    plane.stay();
    install(&mut plane, 0, forward(flow(0, 0)));
    sends(&to_wire, "a new plane forwards without end");
    plane.forward_until(monotonic());
    drop(plane);
    sends(&to_firewall, "nobody is there");
    let mut plane = lab.open(&config).unwrap();
    plane.stay();
    sends(&to_firewall, "the next plane, before it is told");
    assert_eq!(found(&mut plane).iter().map(|found| found.counters.inward.packets).collect::<Vec<_>>(), [1]);
    plane.forward_until(Moment(u64::MAX));
    sends(&to_wire, "without end again");
    drop(plane);
    sends(&to_wire, "nobody is there, and nothing ends");

    let mut plane = lab.open(&config).unwrap();
    plane.stay();
    plane.forward_until(Moment(0));
    drop(plane);
    // Of another layout are other maps, and nobody has said anything about them.
    let mut plane = lab.open(&lab.config(SESSIONS / 2, AttachMode::Native)).unwrap();
    install(&mut plane, 0, forward(flow(0, 0)));
    sends(&to_wire, "new maps");
}
