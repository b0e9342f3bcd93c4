//! The session engine alone: what it costs to admit a session, to look after one that is due, and to close one, at many sizes of
//! the table.
//!
//! The plane is one that answers at once and does nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use opof_session::engine::{Engine, EngineConfig, Input};
use opof_session::plane::{Capabilities, Command, Completion};
use opof_session::request::{Request, RequestBody, SameTuple, Ticket};
use opof_session::types::{Action, Counters, DirectionCounters, Lif, Moment, SessionId, SessionSpec};
use opof_testkit::wait::Stopwatch;
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

use crate::area::Setting;
use crate::report::{AreaReport, Bound, Figure, Target};
use crate::text;

const ABOUT: &str = "The engine without gRPC, threads and data plane, in one thread: nanoseconds a session for the last sessions that are \
     admitted to a table of that size, for those of them that are due and turn out to have seen packets (timer), and for those that are due \
     and closed. Sessions of one size lie anywhere in the table. In batches of 4,096, as the daemon gives them.";

const SIZES: [u32; 5] = [1_000, 100_000, 1_000_000, 4_000_000, 16_000_000];
const QUICK: [u32; 2] = [1_000, 10_000];
const STEPS: [&str; 3] = ["admit", "timer", "close"];
/// Sessions that are measured in each table, at most.
const MEASURED: u32 = 100_000;
/// How often the same is done with a small table, so that a turn is long enough to be measured.
const LEAST: u32 = 50_000;
const BATCH: usize = opof_session::limits::ADD_BATCH;
/// Timeouts in seconds: of the sessions that are measured, and of all others.
const SHORT: u32 = 10;
const LONG: u32 = 86_400;

pub(crate) fn run(setting: &Setting<'_>) -> Result<AreaReport> {
    let sizes = setting.scale.of(&SIZES[..], &QUICK[..]);
    let mut figure = Figure::new("session", "One session of the engine", "ns", &STEPS);
    for round in 1..=setting.rounds {
        for &size in sizes {
            setting.progress.say(&format!("round {round} of {}: {} sessions", setting.rounds, text::whole(size)));
            let times = turns(size)?;
            for (step, time) in times.into_iter().enumerate() {
                figure.add(&case(size), step, time);
            }
        }
    }
    let mut targets = Vec::new();
    let [small, large] = [case(100_000), case(4_000_000)];
    for (step, name) in STEPS.iter().enumerate() {
        let found = figure.samples(&large, step).ratio_to(&figure.samples(&small, step));
        let target = Target::new(format!("{name} at 4,000,000 of at 100,000"), Bound::AtMost(1.5), found, "×");
        targets.push(target.note("but for what the memory hierarchy dictates"));
    }
    Ok(AreaReport { name: "engine", about: ABOUT.to_owned(), figures: vec![figure], targets })
}

fn case(size: u32) -> String {
    format!("{} sessions", text::whole(size))
}

/// Nanoseconds a session for each step.
fn turns(size: u32) -> Result<[f64; 3]> {
    let turns = LEAST.div_ceil(size).max(1);
    let (mut sum, mut sessions) = ([Duration::ZERO; 3], 0);
    for _ in 0..turns {
        let measured = size.min(MEASURED);
        for (sum, time) in sum.iter_mut().zip(turn(size, measured)?) {
            *sum += time;
        }
        sessions += measured;
    }
    Ok(sum.map(|time| time.as_secs_f64() * 1e9 / f64::from(sessions)))
}

fn turn(size: u32, measured: u32) -> Result<[Duration; 3]> {
    let mut bench = Bench::new(size, measured);
    bench.admit(0..size - measured, LONG);
    let watch = Stopwatch::start();
    bench.admit(size - measured..size, SHORT);
    let admitted = watch.elapsed();
    bench.seconds(u64::from(SHORT) + 1);
    bench.last_seen = Some(bench.now);
    let watch = Stopwatch::start();
    bench.tick();
    let looked_after = watch.elapsed();
    ensure!(bench.engine.statistics().sessions == size && bench.reads >= measured, "not all were due: {}", bench.reads);
    bench.seconds(u64::from(SHORT) + 1);
    bench.last_seen = None;
    let watch = Stopwatch::start();
    bench.tick();
    let closed = watch.elapsed();
    ensure!(bench.engine.statistics().timed_out == u64::from(measured), "not all were closed");
    Ok([admitted, looked_after, closed])
}

pub(crate) struct Bench {
    engine: Engine,
    now: Moment,
    /// What the plane says of each session.
    last_seen: Option<Moment>,
    reads: u32,
}

impl Bench {
    fn new(sessions: u32, closed: u32) -> Self {
        let config = EngineConfig {
            max_sessions: sessions,
            max_next_hops: 1,
            max_closed: closed as usize,
            stores_closed: false,
            tcp_timeout: Duration::from_secs(7_440),
            udp_timeout: Duration::from_secs(300),
            max_timeout: Duration::from_secs(LONG.into()),
            lifs: lifs().to_vec(),
            hash_seed: 1,
        };
        let engine = Engine::new(&config, Capabilities::forwarding(sessions));
        Self { engine, now: Moment(1_000_000_000), last_seen: None, reads: 0 }
    }

    /// So many sessions through the first `steps` of [`STEPS`].
    pub(crate) fn work(sessions: u32, steps: usize) -> Result<()> {
        let mut bench = Self::new(sessions, sessions);
        bench.admit(0..sessions, SHORT);
        for step in 1..steps {
            bench.seconds(u64::from(SHORT) + 1);
            bench.last_seen = (step == 1).then_some(bench.now);
            bench.tick();
        }
        ensure!(bench.reads >= sessions * u32::try_from(steps - 1)?, "not all were due: {}", bench.reads);
        Ok(())
    }

    fn seconds(&mut self, seconds: u64) {
        self.now = Moment(self.now.0 + seconds * 1_000_000_000);
    }

    fn admit(&mut self, ids: std::ops::Range<u32>, timeout: u32) {
        let ids: Vec<u32> = ids.collect();
        for batch in ids.chunks(BATCH) {
            let sessions = batch.iter().map(|id| spec(*id, timeout)).collect();
            let body = RequestBody::Add { sessions, same_tuple: SameTuple::default() };
            self.engine.handle(self.now, Input::Request(Request { ticket: Ticket(1), body }));
            self.answer();
        }
    }

    /// Until nothing is due any more.
    fn tick(&mut self) {
        while self.engine.poll_timeout().is_some_and(|due| due <= self.now) {
            self.engine.handle(self.now, Input::Tick);
            self.answer();
        }
    }

    fn answer(&mut self) {
        while let Some(command) = self.engine.poll_command() {
            let counted = DirectionCounters { packets: 7, bytes: 700 };
            let counters = Counters { inward: counted, outward: counted, last_seen: self.last_seen };
            let completion = match command {
                Command::Install { slot, .. } => Completion::Installed { slot, result: Ok(()) },
                Command::Remove { slot, .. } => Completion::Removed { slot, result: Ok(counters) },
                Command::Forget { slot } => Completion::Forgotten { slot },
                Command::Read { slot, token } => {
                    self.reads += 1;
                    Completion::Read { slot, token, counters }
                }
                Command::Route { token, .. } => Completion::Routed { token, result: Ok(()) },
            };
            self.engine.handle(self.now, Input::Completion(completion));
        }
        while self.engine.poll_reply().is_some() {}
        while self.engine.poll_event().is_some() {}
    }
}

fn lifs() -> [Lif; 2] {
    [1, 2].map(|lif| Lif::new(lif).expect("1 and 2 are not 0"))
}

/// Another id and another source for each number, and neighbours in neither.
fn spec(n: u32, timeout: u32) -> SessionSpec {
    let [in_lif, out_lif] = lifs();
    // Odd, so that it is a permutation.
    let mixed = n.wrapping_mul(0x9E37_79B1);
    let addresses = Addresses::V4 { source: mixed.to_be_bytes(), destination: [192, 0, 2, 1] };
    let flow = FlowKey {
        vlan: Vid::UNTAGGED,
        tunnel: Tunnel::None,
        addresses,
        source_port: 40_000,
        destination_port: 443,
        transport: Transport::Udp,
    };
    let id = SessionId(u64::from(mixed) + 1);
    SessionSpec {
        id,
        in_lif,
        out_lif,
        flow,
        out_vlan: Vid::UNTAGGED,
        action: Action::Forward,
        timeout_seconds: timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_does_what_it_is_called() {
        assert!(turn(2_000, 1_500).unwrap().iter().all(|time| *time > Duration::ZERO));
        assert!(turns(100).unwrap().iter().all(|time| *time > 0.0));
    }
}
