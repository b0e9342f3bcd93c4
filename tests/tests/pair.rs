//! A pair of devices on XDP under traffic: what its sessions, their records and the firewall's calls see of a device that dies, that
//! hands over, that is cut off, and of an etcd that is away. Each case prints what it measured.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opof_api::pair::{Role, Standing};
use opof_session::types::SessionSpec;
use opof_testkit::wait::Stopwatch;
use opof_tests::pair::{Added, Api, Cable, Figures, Firewall, Pair, Reader, Traffic, key};
use opof_tests::session;
use tokio::time::sleep;

/// Sessions that have traffic.
const SESSIONS: u16 = 1_000;
/// Sessions that have none, whose numbers come behind; each second some of them close.
const MORTALS: u16 = 800;
/// They do so within so many seconds.
const LONGEST_TIMEOUT: u16 = 8;
/// Numbers of sessions that are added to see whether that works.
const PROBES: u16 = 10_000;
/// Numbers of sessions that a firewall adds all the while.
const FURTHER: u16 = 20_000;
/// How long anything may take on a busy machine.
const BOUND: Duration = Duration::from_secs(20);
/// Sessions that close at other times than the others: there are so many times, this far apart.
const BATCHES: u16 = 20;
const APART: Duration = Duration::from_millis(73);
/// In this time each session is sent something, more than once.
const ROUNDS: Duration = Duration::from_millis(1_500);

/// How often the devices change places.
const SWITCHOVERS: u32 = 10;
/// How long something is away, and how long it is watched when it is back.
const AWAY: Duration = Duration::from_secs(5);
const BACK: Duration = Duration::from_secs(3);

/// The cases measure times, so that they come one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// A case.
struct Case {
    name: &'static str,
    pair: Pair,
    apis: [Api; 2],
    reader: Reader,
    traffic: Traffic,
    firewall: Firewall,
    probes: u16,
}

/// What a case has come to.
struct Outcome {
    figures: Figures,
    added: Added,
    /// Sessions with traffic that the active has at the end, and probes.
    sessions: usize,
    missing: usize,
    /// How often a session was told to be closed for the second time, and how many never were.
    repeated: usize,
    untold: usize,
    /// Told, although nobody closed them.
    strange: usize,
    /// Frames that went to the active's firewall while each session was sent something, at the end.
    misses: u64,
    /// Until an addSession was answered.
    answered: Duration,
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// In the namespace from which a pair is asked.
fn run(name: &'static str, work: impl AsyncFnOnce(&mut Case, usize) -> (usize, Duration) + Send) -> Outcome {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pair = Pair::start().unwrap();
    let management = pair.management.clone();
    management
        .run(move || {
            // The firewall goes on while this thread is busy with cables; its threads are in the namespace as this one is.
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let (mut case, active) = Case::begin(name, pair).await;
                let (active, answered) = work(&mut case, active).await;
                case.end(active, answered).await
            })
        })
        .unwrap()
}

impl Case {
    /// With both devices up to date, and traffic through the active.
    async fn begin(name: &'static str, pair: Pair) -> (Self, usize) {
        let mut apis = [pair.api(0).unwrap(), pair.api(1).unwrap()];
        let watch = Stopwatch::start();
        let active = loop {
            assert!(watch.elapsed() < BOUND, "one of them is active");
            match [apis[0].is_active().await, apis[1].is_active().await] {
                [true, _] => break 0,
                [_, true] => break 1,
                _ => sleep(Duration::from_millis(20)).await,
            }
        };
        apis[active].until(Standing::In).await.unwrap();
        pair.move_wires(active).unwrap();
        let traffic = Traffic::start(&pair, SESSIONS).unwrap();
        apis[active].add((1..=SESSIONS).map(|id| session(id.into(), key(id)))).await.unwrap();
        let firewall = Firewall::start(apis.clone(), (FURTHER..).map(|id| session(id.into(), key(id))));
        let reader = Reader::start(&apis);
        for batch in 0..BATCHES {
            let ids = (SESSIONS + 1..=SESSIONS + MORTALS).filter(|id| id % BATCHES == batch);
            let timeout = |id: u16| u32::from(1 + id / BATCHES % LONGEST_TIMEOUT);
            let mortals = ids.map(|id| SessionSpec { timeout_seconds: timeout(id), ..session(id.into(), key(id)) });
            apis[active].add(mortals).await.unwrap();
            sleep(APART).await;
        }
        assert_ne!(pair.to_firewall(active).unwrap(), 0, "what came before there were sessions");
        (Self { name, pair, apis, reader, traffic, firewall, probes: 0 }, active)
    }

    /// A session that is not there yet.
    fn probe(&mut self) -> SessionSpec {
        self.probes += 1;
        session((PROBES + self.probes).into(), key(PROBES + self.probes))
    }

    /// How long it takes until the device has added a session, asked again and again.
    async fn until_added(&mut self, which: usize) -> Duration {
        let (probe, watch) = (self.probe(), Stopwatch::start());
        self.apis[which].until_added(probe).await.unwrap();
        watch.elapsed()
    }

    /// Adds sessions for a while; how long the slowest answer took.
    async fn add_for(&mut self, which: usize, time: Duration) -> Duration {
        let (watch, mut slowest) = (Stopwatch::start(), Duration::ZERO);
        while watch.elapsed() < time {
            let (probe, watch) = (self.probe(), Stopwatch::start());
            self.apis[which].add([probe]).await.unwrap();
            slowest = slowest.max(watch.elapsed());
            sleep(Duration::from_millis(50)).await;
        }
        slowest
    }

    /// Looks at what there is, tells of it, and ends.
    async fn end(self, active: usize, answered: Duration) -> Outcome {
        let mortals: BTreeSet<u64> = (SESSIONS + 1..=SESSIONS + MORTALS).map(u64::from).collect();
        let before = self.pair.to_firewall(active).unwrap();
        sleep(ROUNDS).await;
        let misses = self.pair.to_firewall(active).unwrap() - before;
        let watch = Stopwatch::start();
        while !self.reader.ids().into_iter().collect::<BTreeSet<_>>().is_superset(&mortals) && watch.elapsed() < BOUND {
            sleep(Duration::from_millis(100)).await;
        }
        // What may be told once more.
        sleep(Duration::from_secs(1)).await;
        let ids = self.reader.ids();
        let told: BTreeSet<u64> = ids.iter().copied().collect();
        let added = self.firewall.finish().await.unwrap();
        let there: BTreeSet<u64> = self.apis[active].sessions().await.unwrap().into_iter().collect();
        let expected = (1..=SESSIONS).chain(PROBES + 1..=PROBES + self.probes).map(u64::from);
        let missing = expected.chain(added.ids.iter().copied()).filter(|id| !there.contains(id)).count();
        let figures = self.traffic.finish().unwrap();
        let outcome = Outcome {
            figures,
            added,
            sessions: there.len(),
            missing,
            repeated: ids.len() - told.len(),
            untold: mortals.difference(&told).count(),
            strange: told.difference(&mortals).count(),
            misses,
            answered,
        };
        outcome.print(self.name);
        outcome
    }
}

impl Outcome {
    fn print(&self, name: &str) {
        let Figures { sent, arrived, lost, gap, dark } = self.figures;
        let mut line = format!("{name}: {SESSIONS} sessions before, {} after, {} missing", self.sessions, self.missing);
        let _ = write!(line, "; {sent} packets sent, {arrived} arrived, {lost} lost, {} to the firewall", self.misses);
        let (told, repeated, untold) = (usize::from(MORTALS) - self.untold, self.repeated, self.untold);
        let _ = write!(line, "; {told} records delivered, {repeated} repeated, {untold} missing");
        let (added, [slowest, at]) =
            (self.added.ids.len(), [self.added.slowest, self.added.slowest_at].map(milliseconds));
        let _ = write!(line, "; {added} sessions added meanwhile, the slowest in {slowest:.1} ms, after {at:.0} ms");
        let _ = write!(line, "; addSession answered after {:.1} ms", milliseconds(self.answered));
        let [gap, dark] = [gap, dark].map(milliseconds);
        println!("{line}; {dark:.1} ms without forwarding, {gap:.1} ms between arrivals");
    }

    /// What is so whatever happens.
    fn assert_whole(&self) {
        assert_eq!((self.missing, self.misses), (0, 0), "sessions that are not there, packets that took the slow path");
        assert_eq!((self.untold, self.strange), (0, 0), "records of sessions that have closed, and of others");
        assert!(self.answered < BOUND && self.figures.dark < BOUND, "{:?} {:?}", self.answered, self.figures);
    }
}

#[test]
fn an_active_that_is_killed_is_replaced_and_no_session_is_lost() {
    let outcome = run("killed", async |case, active| {
        let other = 1 - active;
        case.apis[other].status().await.unwrap();
        let watch = Stopwatch::start();
        case.pair.devices[active].opofd.kill().unwrap();
        case.pair.move_wires(other).unwrap();
        case.until_added(other).await;
        (other, watch.elapsed())
    });
    outcome.assert_whole();
}

#[test]
fn a_switchover_loses_no_packet_and_no_record() {
    let outcome = run("switchover", async |case, mut active| {
        let (mut worst, mut times) = (Duration::ZERO, String::new());
        for _ in 0..SWITCHOVERS {
            let other = 1 - active;
            case.apis[other].status().await.unwrap();
            let watch = Stopwatch::start();
            case.apis[active].switch_over().await.unwrap();
            let handed_over = watch.elapsed();
            case.until_added(other).await;
            worst = worst.max(watch.elapsed());
            let _ = write!(times, " {:.1} ({:.1})", milliseconds(watch.elapsed()), milliseconds(handed_over));
            case.pair.move_wires(other).unwrap();
            case.apis[other].until(Standing::In).await.unwrap();
            active = other;
        }
        println!("switchover: ms until an addSession was answered (until the switchover was):{times}");
        (active, worst)
    });
    outcome.assert_whole();
    assert_eq!((outcome.figures.lost, outcome.repeated), (0, 0), "packets lost, records told twice");
}

#[test]
fn an_active_that_is_cut_off_is_replaced_and_is_a_standby_when_it_is_back() {
    let outcome = run("cut off", async |case, active| {
        let other = 1 - active;
        case.apis[other].status().await.unwrap();
        let watch = Stopwatch::start();
        for cable in [Cable::Wires, Cable::Management, Cable::Line] {
            case.pair.set_cable(active, cable, false).unwrap();
        }
        case.pair.move_wires(other).unwrap();
        case.until_added(other).await;
        let answered = watch.elapsed();
        for cable in [Cable::Line, Cable::Management, Cable::Wires] {
            case.pair.set_cable(active, cable, true).unwrap();
        }
        let watch = Stopwatch::start();
        case.apis[other].until(Standing::In).await.unwrap();
        println!("cut off: as good as the active {:.1} ms after it was joined again", milliseconds(watch.elapsed()));
        assert_eq!(case.apis[active].status().await.unwrap().role(), Role::Standby);
        (other, answered)
    });
    outcome.assert_whole();
}

#[test]
fn a_line_that_is_cut_costs_the_standing_and_nothing_else() {
    let outcome = run("line cut", async |case, active| {
        let before = case.apis[active].status().await.unwrap();
        let watch = Stopwatch::start();
        case.pair.set_cable(active, Cable::Line, false).unwrap();
        let first = case.until_added(active).await;
        case.apis[active].until(Standing::Out).await.unwrap();
        let out = watch.elapsed();
        let slowest = case.add_for(active, AWAY).await;
        assert_eq!(case.apis[1 - active].status().await.unwrap().role(), Role::Standby);
        case.pair.set_cable(active, Cable::Line, true).unwrap();
        let watch = Stopwatch::start();
        case.apis[active].until(Standing::In).await.unwrap();
        let [first, out, slowest, again] = [first, out, slowest, watch.elapsed()].map(milliseconds);
        println!(
            "line cut: out after {out:.1} ms, in {again:.1} ms after it was joined again; {first:.1} ms for the first addSession"
        );
        let after = case.apis[active].status().await.unwrap();
        assert_eq!((before.role(), before.term), (after.role(), after.term));
        println!("line cut: {slowest:.1} ms for the slowest addSession without a line");
        (active, case.until_added(active).await)
    });
    outcome.assert_whole();
    assert_eq!((outcome.figures.lost, outcome.repeated), (0, 0), "packets lost, records told twice");
}

#[test]
fn an_etcd_that_is_away_costs_nothing_while_the_devices_hear_each_other() {
    let outcome = run("etcd away", async |case, active| {
        let before = case.apis[active].status().await.unwrap();
        case.pair.etcd.kill().unwrap();
        let away = case.add_for(active, AWAY).await;
        let after = case.apis[active].status().await.unwrap();
        assert_eq!((before.role(), before.term), (after.role(), after.term));
        assert_eq!(after.standing(), Standing::In);
        case.pair.etcd.start_again().unwrap();
        let back = case.add_for(active, BACK).await;
        let after = case.apis[active].status().await.unwrap();
        assert_eq!((before.role(), before.term), (after.role(), after.term));
        let [away, back] = [away, back].map(milliseconds);
        println!("etcd away: {away:.1} ms for the slowest addSession without etcd, {back:.1} ms with it again");
        // It elects again.
        let watch = Stopwatch::start();
        case.apis[active].switch_over().await.unwrap();
        case.until_added(1 - active).await;
        let answered = watch.elapsed();
        case.pair.move_wires(1 - active).unwrap();
        (1 - active, answered)
    });
    outcome.assert_whole();
    assert_eq!((outcome.figures.lost, outcome.repeated), (0, 0), "packets lost, records told twice");
}
