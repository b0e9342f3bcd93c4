//! Measures what it costs to change packets on the fast path, and a full store of next hops. Needs root.
//!
//! `cargo run --release -p opof-dataplane-linux --example measure_changes`
//!
//! ns per packet by BPF_PROG_TEST_RUN, harness included, 60-byte TCP frames of one flow: the median of many short runs, for a
//! run goes on with what it left, and TTLs end. Addresses are translated to themselves for the same reason.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Lab, command, flow, lifs};
use opof_dataplane::PortRole;
use opof_dataplane_linux::XdpPlane;
use opof_dataplane_linux::probe::{PortRunner, next_hop_memory};
use opof_session::l3::{Family, NextHop, NextHopId};
use opof_session::plane::{Command, Completion, FastAction, Note, PacketChange, Route, RouteToken, Rule, Slot};
use opof_session::types::MatchKey;
use opof_testkit::packet::Packet;
use opof_testkit::wait::Stopwatch;
use opof_wire::ethernet::MacAddress;
use opof_wire::{Addresses, Endpoint, FlowKey, Transport, Vid};

const NEXT_HOPS: u32 = 1 << 21;
/// Fewer than a packet has hops.
const REPEAT: u32 = 200;
const RUNS: usize = 3_001;

fn main() {
    let lab = Lab::new();
    let mut plane = lab.plane(64);
    let empty = next_hop_memory(&plane).expect("fdinfo");
    let all: Vec<Command> = (1..=NEXT_HOPS).map(|id| route(Route::SetNextHop(hop(id)))).collect();
    let set = rate(&mut plane, &all);
    let memory = next_hop_memory(&plane).expect("fdinfo");
    println!(
        "{NEXT_HOPS} next hops: {set} set/s, {} bytes each and {} MiB without any",
        (memory - empty) / u64::from(NEXT_HOPS),
        empty >> 20
    );
    println!("         nothing  VID  next hop  source  next hop + source + destination + VID");
    for family in [4, 6] {
        costs(&mut plane, family);
    }
    let none: Vec<Command> = (1..=NEXT_HOPS).map(|id| route(Route::RemoveNextHop(hop(id).id))).collect();
    println!("removed: {}/s", rate(&mut plane, &none));
}

fn hop(id: u32) -> NextHop {
    let [a, b, c, d] = id.to_be_bytes();
    NextHop {
        id: NextHopId::new(id).expect("not 0"),
        family: Family::V4,
        source: MacAddress([2, 0, a, b, c, d]),
        destination: MacAddress([2, 1, a, b, c, d]),
    }
}

fn route(route: Route) -> Command {
    Command::Route { route, token: RouteToken(0) }
}

/// Commands a second, from the first submit to the last answer.
fn rate(plane: &mut XdpPlane, commands: &[Command]) -> u128 {
    let watch = Stopwatch::start();
    for batch in commands.chunks(16_384) {
        for answer in command(plane, batch) {
            let fine = matches!(
                answer,
                Completion::Routed { result: Ok(()), .. } | Completion::Installed { result: Ok(()), .. }
            );
            assert!(fine, "{answer:?}");
        }
    }
    commands.len() as u128 * 1_000_000 / watch.elapsed().as_micros().max(1)
}

/// Of packet number so and so, with this key.
type Change<'a> = dyn Fn(u32, &FlowKey) -> PacketChange + 'a;

fn costs(plane: &mut XdpPlane, family: u8) {
    let addresses = match family {
        4 => Addresses::V4 { source: [10, 0, 0, 1], destination: [192, 0, 2, 1] },
        _ => Addresses::V6 { source: [0xFD; 16], destination: [0xFC; 16] },
    };
    let (vlan, none) = (Vid::new(100), PacketChange::default());
    // Far from each other, as they are where there are many.
    let next_hop = |n: u32| NextHopId::new(1 + n * 500_000);
    let source = |flow: &FlowKey| Some(Endpoint { address: flow.addresses.source(), port: Some(flow.source_port) });
    let changes: [&Change<'_>; 5] = [
        &|_, _| none,
        &|_, _| PacketChange { vlan, ..none },
        &|n, _| PacketChange { next_hop: next_hop(n), ..none },
        &|_, flow| PacketChange { source: source(flow), ..none },
        &|n, flow| {
            let destination = source(&flow.reversed());
            PacketChange { vlan, next_hop: next_hop(n), source: source(flow), destination }
        },
    ];
    let wire = PortRunner::new(plane, lifs()[0], PortRole::Wire).expect("a program");
    let mut row = Vec::new();
    for (n, change) in (0..).zip(changes) {
        let [a, b] = lifs();
        // Each change on a port of its own.
        let source_port = 1000 + u16::try_from(n).expect("few");
        let flow = FlowKey { addresses, transport: Transport::Tcp, source_port, ..flow(0, 100) };
        let forward = |to, flow| FastAction::Forward { to, change: change(n, flow), copy: None };
        let rules = [
            Rule { key: MatchKey { lif: a, flow }, action: forward(b, &flow) },
            Rule { key: MatchKey { lif: b, flow: flow.reversed() }, action: forward(a, &flow.reversed()) },
        ];
        let slot = Slot(n + if family == 4 { 0 } else { 32 });
        rate(plane, &[Command::Install { slot, rules, note: Note::default() }]);
        let frame = Packet::with_key(&flow).hops(255).pad_to(64).build();
        let mut times: Vec<u128> =
            (0..RUNS).map(|_| wire.run(&frame, REPEAT).expect("a test run").mean.as_nanos()).collect();
        times.sort_unstable();
        row.push(times[RUNS / 2].to_string());
    }
    println!("IPv{family}, ns  {}", row.join("  "));
}
