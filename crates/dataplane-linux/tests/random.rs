//! The runner that measurements of the fast path rest on: every session has its turn, and what counts is the port's own program.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use std::io::ErrorKind;

use common::{Lab, command, flow, forward, lifs};
use opof_dataplane::{DataPlane, PortCounters, PortRole};
use opof_dataplane_linux::XdpPlane;
use opof_dataplane_linux::probe::{DROPPED, REDIRECTED, RandomRunner, Target};
use opof_session::plane::{Command, Completion, Note, ReadToken, Slot};
use opof_testkit::packet::Packet;
use opof_wire::tcp::Flags;
use opof_wire::{Addresses, FlowKey, SlowPath, Transport};

const SESSIONS: u32 = 1_000;
const EACH: u32 = 100;

fn key(n: u32, is_v4: bool) -> FlowKey {
    let key = FlowKey { transport: Transport::Tcp, ..flow(n, 0) };
    if is_v4 {
        return key;
    }
    let mut source = [0xFD; 16];
    source[12..].copy_from_slice(&n.to_be_bytes());
    FlowKey { addresses: Addresses::V6 { source, destination: [0xFC; 16] }, ..key }
}

fn frame(key: FlowKey, flags: u8) -> Vec<u8> {
    Packet::with_key(&key).flags(Flags(flags)).pad_to(60).build()
}

/// Packets of each session, from both sides.
fn counted(plane: &mut XdpPlane) -> Vec<[u64; 2]> {
    let reads: Vec<_> = (0..SESSIONS).map(|n| Command::Read { slot: Slot(n), token: ReadToken(n.into()) }).collect();
    let answers = command(plane, &reads);
    let counters = answers.iter().map(|answer| match answer {
        Completion::Read { counters, .. } => [counters.inward.packets, counters.outward.packets],
        answer => panic!("{answer:?}"),
    });
    counters.collect()
}

fn wire_port(plane: &XdpPlane) -> PortCounters {
    let ports = plane.describe().ports;
    let port = ports.into_iter().find(|port| port.lif == Some(lifs()[0]) && port.role == PortRole::Wire);
    port.unwrap().counters
}

#[test]
fn every_session_has_its_turn() {
    let lab = Lab::new();
    for is_v4 in [true, false] {
        let mut plane = lab.plane(SESSIONS);
        let installs: Vec<_> = (0..SESSIONS)
            .map(|n| Command::Install { slot: Slot(n), rules: forward(key(n, is_v4)), note: Note::default() })
            .collect();
        command(&mut plane, &installs);
        let mut runner = RandomRunner::new(&plane, lifs()[0]).unwrap();
        let hit = frame(key(0, is_v4), 0x10);

        // Two runs that end in the middle of the table are one walk.
        let part = SESSIONS * EACH / 3;
        for packets in [part, SESSIONS * EACH - part] {
            let run = runner.run(Target::Port, &hit, SESSIONS, packets).unwrap();
            assert_eq!(run.code, REDIRECTED);
            assert!(run.mean.as_nanos() > 0);
        }
        assert_eq!(counted(&mut plane), vec![[EACH.into(), 0]; SESSIONS as usize]);
        let forwarded = u64::from(SESSIONS * EACH);
        assert_eq!(wire_port(&plane).forwarded.packets, forwarded);

        // Sources behind those that there are.
        let miss = frame(key(SESSIONS, is_v4), 0x10);
        assert_eq!(runner.run(Target::Port, &miss, SESSIONS, 5_000).unwrap().code, REDIRECTED);
        let control = frame(key(0, is_v4), 0x02);
        assert_eq!(runner.run(Target::Port, &control, SESSIONS, 3_000).unwrap().code, REDIRECTED);
        assert_eq!(runner.run(Target::Nothing, &hit, SESSIONS, 1_000).unwrap().code, DROPPED);
        let counters = wire_port(&plane);
        let slow = |reason: SlowPath| counters.slow_path[reason as usize].packets;
        assert_eq!((slow(SlowPath::Miss), slow(SlowPath::TcpControl)), (5_000, 3_000));
        assert_eq!(counters.forwarded.packets, forwarded, "the rest counted as nothing else");

        // One flow is a walk as well.
        runner.run(Target::Port, &hit, 1, 1_000).unwrap();
        let counted = counted(&mut plane);
        assert_eq!((counted[0], counted[1]), ([u64::from(EACH) + 1_000, 0], [EACH.into(), 0]));
        plane.close();
    }
}

#[test]
fn only_untagged_frames_with_sources_are_run() {
    let lab = Lab::new();
    let plane = lab.plane(1);
    let mut runner = RandomRunner::new(&plane, lifs()[0]).unwrap();
    let hit = frame(key(0, true), 0x10);
    let tagged = Packet::new().vlan(7).ipv4([10, 0, 0, 1], [192, 0, 2, 1]).udp(1, 2).build();
    for (frame, sources) in [(&hit, 0), (&tagged, 1), (&vec![0; 60], 1)] {
        assert_eq!(runner.run(Target::Port, frame, sources, 1).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
