//! Measures the XDP plane without a network: time per packet, sessions a second, bytes a session. Needs root.
//!
//! `cargo run --release -p opof-dataplane-linux --example measure [SESSIONS ...]`
//!
//! "one flow" repeats one frame a million times in the kernel, so everything is in the cache. "random flows" runs one
//! frame of a random session at a time and takes the median of what the kernel says each took; between two runs there
//! is a system call, which costs cache, too. The harness' own time is that of the firewall port's program, which
//! counts and redirects and looks nothing up: subtract it to compare lookups.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Duration;

use common::{Lab, command, flow, forward, keys, lifs};
use opof_dataplane::PortRole;
use opof_dataplane_linux::XdpPlane;
use opof_dataplane_linux::probe::{PortRunner, table_memory};
use opof_session::plane::{Command, Completion, Note, Slot};
use opof_testkit::frames::Rng;
use opof_testkit::packet::Packet;
use opof_testkit::wait::Stopwatch;
use opof_wire::tcp::Flags;
use opof_wire::{Addresses, FlowKey, Transport, Tunnel};

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];
const REPEAT: u32 = 1_000_000;
const SAMPLES: u32 = 50_000;

fn main() {
    let asked: Vec<u32> = std::env::args().skip(1).map(|arg| arg.parse().expect("a number of sessions")).collect();
    let lab = Lab::new();
    println!("                                      one flow |     random flows |     sessions/s | bytes a session");
    println!("sessions  hit miss TCP-control UDP GTP-U harness | hit miss harness | install remove | table");
    for sessions in if asked.is_empty() { SIZES.to_vec() } else { asked } {
        for family in [4, 6] {
            measure(&lab, sessions, family);
        }
    }
}

fn key(n: u32, family: u8) -> FlowKey {
    let key = FlowKey { transport: Transport::Tcp, ..flow(n, 0) };
    if family == 4 {
        return key;
    }
    let mut source = [0xFD; 16];
    source[12..].copy_from_slice(&n.to_be_bytes());
    FlowKey { addresses: Addresses::V6 { source, destination: [0xFC; 16] }, ..key }
}

fn measure(lab: &Lab, sessions: u32, family: u8) {
    // Room for the two that are measured once.
    let mut plane = lab.plane(sessions + 2);
    let installs: Vec<_> = (0..sessions)
        .map(|n| Command::Install { slot: Slot(n), rules: forward(key(n, family)), note: Note::default() })
        .collect();
    let installed = rate(&mut plane, &installs);
    let memory = table_memory(&plane).expect("fdinfo");

    let wire = PortRunner::new(&plane, lifs()[0], PortRole::Wire).expect("a program");
    let firewall = PortRunner::new(&plane, lifs()[0], PortRole::Firewall).expect("a program");
    let hit = frame(key(0, family), Flags(0x10));
    let miss = frame(key(sessions, family), Flags(0x10));
    let control = frame(key(0, family), Flags(0x02));
    let udp = FlowKey { transport: Transport::Udp, ..key(0, family) };
    let gtpu = FlowKey { tunnel: Tunnel::Gtpu, ..key(0, family) };
    for (slot, flow) in (sessions..).zip([udp, gtpu]) {
        rate(&mut plane, &[Command::Install { slot: Slot(slot), rules: forward(flow), note: Note::default() }]);
    }
    let datagram = Packet::with_key(&udp).pad_to(60).build();
    let tunnelled = frame(gtpu, Flags(0x10));
    let warm =
        [(&wire, &hit), (&wire, &miss), (&wire, &control), (&wire, &datagram), (&wire, &tunnelled), (&firewall, &hit)]
            .map(|(runner, frame)| runner.run(frame, REPEAT).expect("a test run").mean.as_nanos());
    let cold =
        [(&wire, 0), (&wire, sessions), (&firewall, 0)].map(|(runner, from)| random(runner, from, sessions, family));

    let removals: Vec<_> = (0..sessions)
        .map(|n| Command::Remove { slot: Slot(n), keys: keys(key(n, family)), note: Note::default() })
        .collect();
    let removed = rate(&mut plane, &removals);
    let each = u64::from(sessions);
    println!(
        "{sessions:>8} IPv{family}  {} {} {} {} {} {} | {} {} {} | {installed} {removed} | {}",
        warm[0],
        warm[1],
        warm[2],
        warm[3],
        warm[4],
        warm[5],
        cold[0],
        cold[1],
        cold[2],
        memory / each,
    );
}

fn frame(key: FlowKey, flags: Flags) -> Vec<u8> {
    Packet::with_key(&key).flags(flags).pad_to(60).build()
}

/// Median over frames of sessions `from` to `from + sessions`, in nanoseconds.
fn random(runner: &PortRunner, from: u32, sessions: u32, family: u8) -> u128 {
    let mut rng = Rng::new(1);
    let mut times: Vec<Duration> = (0..SAMPLES)
        .map(|_| {
            let n = from + u32::try_from(rng.below(sessions as usize)).expect("below a u32");
            runner.run(&frame(key(n, family), Flags(0x10)), 1).expect("a test run").mean
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2].as_nanos()
}

/// Commands a second, from the first submit to the last answer.
fn rate(plane: &mut XdpPlane, commands: &[Command]) -> u128 {
    let watch = Stopwatch::start();
    for batch in commands.chunks(16_384) {
        for answer in command(plane, batch) {
            let fine = matches!(
                answer,
                Completion::Installed { result: Ok(()), .. } | Completion::Removed { result: Ok(_), .. }
            );
            assert!(fine, "{answer:?}");
        }
    }
    commands.len() as u128 * 1_000_000 / watch.elapsed().as_micros().max(1)
}
