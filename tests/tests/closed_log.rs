//! Closed sessions survive `kill -9` at any moment and a disk that fails: each is reported, and once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use opof_client::Health;
use opof_session::types::SessionSpec;
use opof_testkit::frames::Rng;
use opof_testkit::netns::{Capture, FirewallMode};
use opof_testkit::packet::Packet;
use opof_testkit::wait::{self, Stopwatch};
use opof_tests::{Bench, Closed, Disk, frames, session};
use opof_wire::{Addresses, FlowKey, Transport};

/// Times that the daemon is killed; a number in its place in this variable.
const KILLS: u32 = 6;
const KILLS_VARIABLE: &str = "OPOF_TESTS_KILLS";
/// Sessions that are added before each of them, all to close a second later.
const SESSIONS: u64 = 5_000;
/// When it is killed after that: most of them while sessions close.
const WITHIN: usize = 1_600;
const BOUND: Duration = Duration::from_secs(60);

fn key(id: u64) -> FlowKey {
    let [.., a, b, c] = id.to_be_bytes();
    let addresses = Addresses::V4 { source: [10, a, b, c], destination: [192, 0, 2, 1] };
    FlowKey { addresses, transport: Transport::Udp, ..frames::keys()[0] }
}

/// Collects until there are so many or for so long, in pages.
fn collect(bench: &Bench, closed: &mut Vec<Closed>, enough: u64, bound: Duration) {
    let watch = Stopwatch::start();
    while (closed.len() as u64) < enough && watch.elapsed() < bound {
        closed.extend(bench.opofd.closed().unwrap());
        wait::pause(Duration::from_millis(50));
    }
}

/// Nobody reads while it is killed: a reader that has no way to say what it got may get again what it was being sent.
#[test]
fn every_closed_session_is_reported_once_whenever_the_daemon_is_killed() {
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |kills| kills.parse().unwrap());
    let mut bench = Bench::new(FirewallMode::Silent).unwrap();
    let mut rng = Rng::new(7);
    let socket = bench.client_socket().unwrap();
    let mut closed: Vec<Closed> = Vec::new();
    for round in 0..u64::from(kills) {
        let ids = 1 + round * SESSIONS..=(round + 1) * SESSIONS;
        let specs: Vec<_> = ids.clone().map(|id| SessionSpec { timeout_seconds: 1, ..session(id, key(id)) }).collect();
        bench.opofd.add_all(specs).unwrap();
        // Some have something to be counted.
        let frames: Vec<Vec<u8>> =
            ids.step_by(50).map(|id| Packet::with_key(&key(id)).payload(b"counted").build()).collect();
        frames::send(&socket, &frames, frames.len()).unwrap();
        let after = Duration::from_millis(rng.below(WITHIN) as u64);
        wait::pause(after);
        bench.opofd.kill().unwrap();
        bench.opofd.start_again().unwrap();
        // A part of them, now and then.
        if round % 3 == 2 {
            let enough = (round - 1) * SESSIONS;
            collect(&bench, &mut closed, enough, BOUND);
        }
        println!(
            "round {round}: killed {} ms after {SESSIONS} sessions, {} collected",
            after.as_millis(),
            closed.len()
        );
    }
    let all = u64::from(kills) * SESSIONS;
    collect(&bench, &mut closed, all, BOUND);
    wait::pause(Duration::from_secs(2));
    closed.extend(bench.opofd.closed().unwrap());
    closed.sort_by_key(|record| record.id);
    let ids: Vec<u64> = closed.iter().map(|record| record.id).collect();
    assert_eq!(ids.len() as u64, all);
    assert!(ids.iter().copied().eq(1..=all), "each once");
    for record in &closed {
        let expected = u64::from(((record.id - 1) % SESSIONS).is_multiple_of(50));
        assert_eq!((record.counted.inward.packets, record.by_timeout), (expected, true), "{record:?}");
    }
}

/// In which way the disk fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// There is no room on it.
    Full,
    /// It can only be read.
    ReadOnly,
    /// It answers to nothing.
    Slow,
}

impl Fault {
    fn begin(self, disk: &Disk) {
        match self {
            Self::Full => disk.fill(),
            Self::ReadOnly => disk.break_down(),
            Self::Slow => disk.freeze(),
        }
        .unwrap();
    }

    fn end(self, disk: &Disk) {
        match self {
            Self::Full => disk.clear(),
            Self::ReadOnly => disk.repair(),
            Self::Slow => disk.thaw(),
        }
        .unwrap();
    }
}

/// The disk fails, later it works again. Meanwhile sessions are forwarded, added and closed, no closed one is shown that is not stored,
/// and the device says so.
fn survives(fault: Fault, is_killed: bool) {
    const MANY: u64 = 20_000;
    let disk = Disk::new().unwrap();
    let mut bench = Bench::with_closed_log(FirewallMode::Silent, &disk.path().join("closed.redb")).unwrap();
    assert_eq!(bench.opofd.health().unwrap(), Health::Serving);
    fault.begin(&disk);
    let add = |bench: &Bench, ids: std::ops::RangeInclusive<u64>, timeout_seconds| {
        let specs: Vec<_> = ids.map(|id| SessionSpec { timeout_seconds, ..session(id, key(id)) }).collect();
        bench.opofd.add_all(specs).unwrap();
    };
    add(&bench, 1..=MANY, 1);
    let health_is = |bench: &Bench, health| {
        let said = || (bench.opofd.health().unwrap() == health).then_some(());
        wait::until("the health to tell of the disk", BOUND, said).unwrap();
    };
    health_is(&bench, Health::Degraded);
    let faults = bench.opofd.device().unwrap().faults;
    let [told] = faults.as_slice() else { panic!("{faults:?}") };
    let why = match fault {
        Fault::Full => "No space left on device",
        Fault::ReadOnly => "Read-only file system",
        Fault::Slow => "has not answered",
    };
    assert!(told.part == "closed log" && told.why.contains(why), "{told:?}");

    // More are added and forwarded as ever.
    add(&bench, MANY + 1..=MANY + 1, 300);
    let (socket, at_server) = (bench.client_socket().unwrap(), Capture::start(&bench.server.port).unwrap());
    let frame = Packet::with_key(&key(MANY + 1)).payload(b"forwarded").build();
    socket.send(&frame).unwrap();
    assert_eq!(at_server.next(Duration::from_secs(5)).unwrap(), frame);
    assert_eq!(bench.opofd.get(MANY + 1).unwrap().unwrap().inward.packets, 1);
    // What was stored before the disk failed may be shown; of what it has not, nothing.
    let mut closed = Vec::new();
    closed.extend(bench.opofd.closed().unwrap());
    let shown = closed.len() as u64;
    assert!(shown < MANY, "{shown} of them are shown");

    // Whether the daemon ends meanwhile or not.
    if is_killed {
        bench.opofd.kill().unwrap();
    }
    fault.end(&disk);
    if is_killed {
        bench.opofd.start_again().unwrap();
    }
    collect(&bench, &mut closed, MANY, BOUND);
    health_is(&bench, Health::Serving);
    assert_eq!(bench.opofd.device().unwrap().faults, []);
    assert_eq!(bench.opofd.get(MANY + 1).unwrap().unwrap().inward.packets, 1);
    let mut ids: Vec<u64> = closed.iter().map(|record| record.id).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..=MANY), "each once: {} records", ids.len());
    assert!(is_killed || fault == Fault::Slow || bench.opofd.log().contains("are stored again"));
}

#[test]
fn a_full_disk_costs_nothing_but_time() {
    survives(Fault::Full, false);
}

#[test]
fn neither_does_one_with_a_daemon_that_is_killed_meanwhile() {
    survives(Fault::Full, true);
}

#[test]
fn neither_does_a_disk_that_can_only_be_read() {
    survives(Fault::ReadOnly, false);
}

#[test]
fn neither_does_a_disk_that_does_not_answer_for_a_while() {
    survives(Fault::Slow, false);
}
