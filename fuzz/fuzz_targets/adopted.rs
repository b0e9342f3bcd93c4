//! Any notes, rules and counters that a data plane may have kept: an engine goes on with what makes sense and closes down in order.
//!
//! Sessions are those that an engine would have made, with bytes of the input in the place of parts of them.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use opof_session::engine::{Engine, EngineConfig, Input};
use opof_session::plane::{Capabilities, Command, Completion, Found, Note, Rule, Slot};
use opof_session::request::{Request, RequestBody, SameTuple, Ticket};
use opof_session::types::{Action, Counters, DirectionCounters, Lif, Moment, SessionId, SessionSpec};
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

/// Bytes for one session.
const PIECE: usize = 32;
const SESSIONS: u32 = 16;
const START: Moment = Moment(1_000_000_000_000);
/// Every session closes after less than this, in seconds.
const LONGEST: u64 = 3600;

fn config() -> EngineConfig {
    EngineConfig {
        max_sessions: SESSIONS,
        max_closed: 4 * SESSIONS as usize,
        stores_closed: false,
        max_next_hops: 4,
        tcp_timeout: Duration::from_secs(60),
        udp_timeout: Duration::from_secs(60),
        max_timeout: Duration::from_secs(LONGEST),
        lifs: [1, 2].into_iter().filter_map(Lif::new).collect(),
        hash_seed: 7,
    }
}

/// As an engine would install it, from a few bits.
fn installed(bits: u8) -> Option<([Rule; 2], Note)> {
    let lif = |bit: u8| Lif::new(1 + u16::from(bits >> bit & 1));
    let spec = SessionSpec {
        id: SessionId(u64::from(bits & 7)),
        in_lif: lif(3)?,
        out_lif: lif(4)?,
        flow: FlowKey {
            tunnel: Tunnel::None,
            vlan: Vid::UNTAGGED,
            addresses: Addresses::V4 { source: [10, 0, 0, bits & 3], destination: [192, 0, 2, 1] },
            source_port: 1000,
            destination_port: 53,
            transport: if bits & 32 == 0 { Transport::Udp } else { Transport::Tcp },
        },
        out_vlan: Vid::UNTAGGED,
        action: if bits & 64 == 0 { Action::Forward } else { Action::Drop },
        timeout_seconds: u32::from(bits >> 7),
    };
    let mut engine = Engine::new(&config(), Capabilities::forwarding(SESSIONS));
    let body = RequestBody::Add { sessions: vec![spec], same_tuple: SameTuple::Reject };
    engine.handle(START, Input::Request(Request { ticket: Ticket(1), body }));
    match engine.poll_command()? {
        Command::Install { rules, note, .. } => Some((rules, note)),
        other => panic!("an add is an install, not {other:?}"),
    }
}

fn found(slot: u32, piece: &[u8; PIECE]) -> Option<Found> {
    let [bits, other, how, packets, rest @ ..] = piece;
    let (mut rules, Note(mut words)) = installed(*bits)?;
    if how & 1 != 0 {
        rules[1] = installed(*other)?.0[1];
    }
    if how & 2 != 0 {
        for (word, bytes) in words.iter_mut().zip(rest.chunks_exact(8)) {
            *word ^= bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
    }
    let direction = DirectionCounters { packets: u64::from(*packets), bytes: u64::MAX };
    let last_seen = (how & 4 != 0).then_some(Moment(u64::from(*other) << 33));
    let counters = Counters { inward: direction, outward: direction, last_seen };
    let forwarded = [how & 8 == 0, how & 16 == 0];
    Some(Found { slot: Slot(slot), rules, note: Note(words), counters, forwarded })
}

/// A plane that does everything at once.
fn answer(command: Command, counters: Counters) -> Completion {
    match command {
        Command::Install { slot, .. } => Completion::Installed { slot, result: Ok(()) },
        Command::Remove { slot, .. } => Completion::Removed { slot, result: Ok(counters) },
        Command::Forget { slot } => Completion::Forgotten { slot },
        Command::Read { slot, token } => Completion::Read { slot, token, counters },
        Command::Route { token, .. } => Completion::Routed { token, result: Ok(()) },
    }
}

fuzz_target!(|data: &[u8]| {
    let mut engine = Engine::new(&config(), Capabilities::forwarding(SESSIONS));
    let (mut adopted, mut refused) = (0, 0);
    // One more than fit.
    for (slot, piece) in (0..=SESSIONS).zip(data.as_chunks::<PIECE>().0) {
        let Some(found) = found(slot, piece) else { continue };
        match engine.adopt(START, &found) {
            Ok(()) => adopted += 1,
            Err(_) => refused += 1,
        }
    }
    engine.end_adoption();
    let statistics = engine.statistics();
    assert!(statistics.adopted <= adopted && statistics.sessions <= SESSIONS, "{statistics:?}, {refused} refused");
    // Everything ends at the latest when its timeout is over.
    let mut now = START;
    for _ in 0..4 {
        let mut turns = 0;
        while let Some(command) = engine.poll_command() {
            engine.handle(now, Input::Completion(answer(command, Counters::default())));
            turns += 1;
            assert!(turns < 1000, "it asks without end");
        }
        now.0 += 2 * LONGEST * 1_000_000_000;
        engine.handle(now, Input::Tick);
    }
    while engine.poll_event().is_some() {}
    let statistics = engine.statistics();
    assert_eq!(statistics.sessions, 0, "{statistics:?}");
    assert!(statistics.closed_waiting <= adopted, "{statistics:?}");
});
