//! The driver over planes that work, that have bad days, and that never answer.

use std::net::Ipv4Addr;
use std::task::{Context, Poll};
use std::time::Duration;

use opof_dataplane::faulty::{FaultRates, Faulty};
use opof_dataplane::sim::SimPlane;
use opof_session::engine::{EngineConfig, Input};
use opof_session::l3::Tunnel;
use opof_session::plane::{Capabilities, Command, Completion};
use opof_session::request::{Request, Ticket};
use opof_session::types::{Action, Lif, Moment};
use opof_wire::{Addresses, FlowKey, Transport, Vid};

use super::*;

const SESSIONS: u32 = 20_000;

pub(crate) fn lifs() -> Vec<Lif> {
    [1, 2].into_iter().filter_map(Lif::new).collect()
}

/// A session that nobody else's has a key in common with.
pub(crate) fn spec(id: u64, timeout_seconds: u32) -> SessionSpec {
    let [_, _, _, _, a, b, c, d] = id.to_be_bytes();
    SessionSpec {
        id: SessionId(id),
        in_lif: lifs()[0],
        out_lif: lifs()[1],
        flow: FlowKey {
            tunnel: Tunnel::None,
            vlan: Vid::UNTAGGED,
            addresses: Addresses::V4 { source: [10, b, c, d], destination: Ipv4Addr::new(192, 0, 2, a).octets() },
            source_port: 1000,
            destination_port: 53,
            transport: Transport::Udp,
        },
        out_vlan: Vid::UNTAGGED,
        action: Action::Forward,
        timeout_seconds,
    }
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig {
        max_sessions: SESSIONS,
        max_next_hops: opof_session::limits::NEXT_HOPS,
        max_closed: SESSIONS as usize,
        stores_closed: false,
        tcp_timeout: Duration::from_secs(60),
        udp_timeout: Duration::from_secs(60),
        max_timeout: Duration::from_secs(3600),
        lifs: lifs(),
        hash_seed: 7,
    }
}

/// It works in either place.
const SEATS: [Seat; 2] = [Seat::Thread, Seat::Task];

fn start(plane: impl DataPlane + 'static, seat: Seat) -> (RunningDriver, DriverHandle) {
    let engine = Engine::new(&config(), plane.capabilities());
    RunningDriver::start(engine, Box::new(plane), Clock::new(), seat, None, None).unwrap()
}

fn start_sim_in(seat: Seat) -> (RunningDriver, DriverHandle) {
    start(SimPlane::new(&lifs(), SESSIONS).0, seat)
}

pub(crate) fn start_sim() -> (RunningDriver, DriverHandle) {
    start_sim_in(Seat::Thread)
}

/// Adds `count` sessions that close after a second without packets, and waits until they have.
pub(crate) async fn close_some(driver: &DriverHandle, count: u64) {
    let mut closings = driver.closings();
    let sessions: Vec<_> = (1..=count).map(|id| spec(id, 1)).collect();
    for batch in sessions.chunks(limits::ADD_BATCH) {
        assert_eq!(driver.add(batch.to_vec(), SameTuple::Reject).await.unwrap(), []);
    }
    let all_closed = async {
        while driver.statistics().await.unwrap().closed_waiting < count {
            closings.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_closed).await.expect("they close within two seconds");
}

fn some(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

/// The settle of a dropped loan is on its way to the driver when the drop returns.
async fn until_delivered(driver: &DriverHandle, delivered: u64) {
    let settled = async {
        let mut closings = driver.closings();
        while driver.statistics().await.unwrap().closed_delivered != delivered {
            closings.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), settled).await.expect("the loan is settled");
}

#[tokio::test]
async fn a_session_lives_and_dies() {
    for seat in SEATS {
        let (thread, driver) = start_sim_in(seat);
        assert_eq!(driver.add(vec![spec(5, 0)], SameTuple::Supersede).await.unwrap(), []);
        let view = driver.get(SessionId(5)).await.unwrap().unwrap();
        assert_eq!((view.spec.timeout_seconds, view.ended), (60, None));
        assert_eq!(driver.get(SessionId(6)).await.unwrap(), None);
        let listed = driver.list(SessionId(0), 0, some(10)).await.unwrap();
        assert_eq!((listed.sessions.len(), listed.next), (1, None));
        assert!(driver.delete(SessionId(5), false).await.unwrap().unwrap().ended.is_some());
        assert_eq!(driver.delete(SessionId(5), false).await.unwrap(), None);
        assert_eq!(driver.describe().await.unwrap().kind, "sim");
        assert!(thread.stop(limits::STOP_GRACE).await);
    }
}

#[tokio::test]
async fn many_callers_at_once_each_get_their_own_answer() {
    for seat in SEATS {
        let (thread, driver) = start_sim_in(seat);
        let callers: Vec<_> = (0..300u64)
            .map(|caller| {
                let driver = driver.clone();
                tokio::spawn(async move {
                    let ids: Vec<_> = (0..40).map(|index| caller * 40 + index).collect();
                    let sessions = ids.iter().map(|id| spec(*id, 0)).collect();
                    assert_eq!(driver.add(sessions, SameTuple::Reject).await.unwrap(), []);
                    for id in ids {
                        assert_eq!(driver.get(SessionId(id)).await.unwrap().unwrap().spec.id, SessionId(id));
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        assert_eq!(driver.statistics().await.unwrap().sessions, 12_000);
        assert!(thread.stop(limits::STOP_GRACE).await);
    }
}

#[tokio::test]
async fn a_plane_with_bad_days_is_waited_for() {
    let rates = FaultRates {
        install_full: 50,
        install_unavailable: 50,
        remove_unavailable: 100,
        route_unavailable: 100,
        hold: 300,
        hold_polls: 5,
        short_submit: 500,
    };
    for seat in SEATS {
        let (thread, driver) = start(Faulty::new(SimPlane::new(&lifs(), SESSIONS).0, rates, 42), seat);
        let mut refused = Vec::new();
        for first in (0..4000).step_by(1000) {
            let sessions = (first..first + 1000).map(|id| spec(id, 0)).collect();
            refused.extend(driver.add(sessions, SameTuple::Reject).await.unwrap());
        }
        assert!((200..800).contains(&refused.len()), "a tenth of 4000, not {}", refused.len());
        for refused in &refused {
            assert_eq!(driver.get(refused.id).await.unwrap(), None);
        }
        let mut left = 4000 - refused.len();
        assert_eq!(driver.statistics().await.unwrap().sessions as usize, left);
        for id in (0..4000).map(SessionId).filter(|id| refused.iter().all(|refused| refused.id != *id)).take(500) {
            let view = driver.delete(id, false).await.unwrap().unwrap();
            assert_eq!(view.spec.id, id);
            left -= 1;
        }
        assert_eq!(driver.statistics().await.unwrap().sessions as usize, left);
        assert!(thread.stop(limits::STOP_GRACE).await);
    }
}

/// Takes one command and answers none.
struct Stuck {
    has_one: bool,
}

impl DataPlane for Stuck {
    fn capabilities(&self) -> Capabilities {
        Capabilities { vlan_rewrite: true, ..Capabilities::forwarding(SESSIONS) }
    }

    fn submit(&mut self, _: Moment, commands: &[Command]) -> usize {
        let taken = usize::from(!self.has_one && !commands.is_empty());
        self.has_one |= taken == 1;
        taken
    }

    fn poll(&mut self, _: &mut Context<'_>, _: &mut Vec<Completion>) -> Poll<()> {
        Poll::Pending
    }

    fn forward_until(&mut self, _: Moment) {}

    fn describe(&self) -> Description {
        Description { kind: "stuck", ports: Vec::new() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_plane_that_takes_nothing_keeps_requests_out() {
    for seat in SEATS {
        let (thread, driver) = start(Stuck { has_one: false }, seat);
        let callers: Vec<_> = (0..limits::REQUESTS as u64 * 3)
            .map(|id| {
                let driver = driver.clone();
                let sessions = vec![spec(2 * id, 0), spec(2 * id + 1, 0)];
                tokio::spawn(async move { driver.add(sessions, SameTuple::Reject).await })
            })
            .collect();
        // What fits into the queues waits; everybody else is told so. Time is paused: this takes none.
        let mut busy = 0;
        tokio::time::sleep(limits::ADMISSION * 2).await;
        for caller in callers.iter().filter(|caller| caller.is_finished()) {
            let _ = caller;
            busy += 1;
        }
        assert!(busy >= limits::REQUESTS, "{busy} of {} were turned away", callers.len());
        assert!(thread.stop(limits::STOP_GRACE).await, "the grace ends it although the plane never answers");
        for caller in callers {
            assert!(matches!(caller.await.unwrap(), Err(DriverError::Busy | DriverError::Stopped)));
        }
    }
}

/// All sessions fall due while the driver does not run, and then it does.
#[tokio::test]
async fn those_who_ask_have_their_turn_while_sessions_close() {
    let (thread, driver) = start_sim_in(Seat::Task);
    let sessions: Vec<_> = (1..u64::from(SESSIONS)).map(|id| spec(id, 1)).chain([spec(0, 0)]).collect();
    for batch in sessions.chunks(limits::ADD_BATCH) {
        assert_eq!(driver.add(batch.to_vec(), SameTuple::Reject).await.unwrap(), []);
    }
    opof_testkit::wait::pause(Duration::from_millis(2500));
    // Another session to be added waits as little as a question does.
    assert_eq!(driver.get(SessionId(0)).await.unwrap().unwrap().spec.id, SessionId(0));
    assert_eq!(driver.delete(SessionId(0), false).await.unwrap().unwrap().spec.id, SessionId(0));
    assert_eq!(driver.add(vec![spec(0, 0)], SameTuple::Reject).await.unwrap(), []);
    let closed = driver.statistics().await.unwrap().timed_out;
    let turns = 8 * opof_session::limits::AGING_READS as u64;
    assert!(
        closed <= turns && turns < u64::from(SESSIONS) / 2,
        "{closed} of {SESSIONS} were closed before the answers"
    );
    assert!(thread.stop(limits::STOP_GRACE).await);
}

/// More of them than are taken in one turn, and each asks again at once.
#[tokio::test]
async fn those_who_ask_do_not_keep_sessions_from_being_added() {
    for seat in SEATS {
        let (thread, driver) = start_sim_in(seat);
        assert_eq!(driver.add(vec![spec(1, 0)], SameTuple::Reject).await.unwrap(), []);
        let mut askers = tokio::task::JoinSet::new();
        for _ in 0..4 * limits::REQUEST_BATCH {
            let driver = driver.clone();
            askers.spawn(async move { while driver.get(SessionId(1)).await.is_ok() {} });
        }
        for id in 2..50 {
            let added = tokio::time::timeout(Duration::from_secs(10), driver.add(vec![spec(id, 0)], SameTuple::Reject));
            assert_eq!(added.await.expect("its turn").unwrap(), []);
        }
        assert!(thread.stop(limits::STOP_GRACE).await);
    }
}

/// As one has that went on with sessions of which none lives on.
#[tokio::test]
async fn an_engine_that_begins_with_commands_gets_on() {
    for seat in SEATS {
        let plane = SimPlane::new(&lifs(), SESSIONS).0;
        let mut engine = Engine::new(&config(), plane.capabilities());
        let body = RequestBody::Add { sessions: vec![spec(1, 0)], same_tuple: SameTuple::Reject };
        engine.handle(Clock::new().now(), Input::Request(Request { ticket: Ticket(u64::MAX), body }));
        assert_eq!(engine.commands_len(), 1);
        let (thread, driver) = RunningDriver::start(engine, Box::new(plane), Clock::new(), seat, None, None).unwrap();
        // The first one may come before the plane has it.
        let answer = tokio::time::timeout(Duration::from_secs(10), driver.get(SessionId(1)));
        answer.await.expect("an answer").unwrap();
        assert_eq!(driver.get(SessionId(1)).await.unwrap().unwrap().spec.id, SessionId(1));
        assert!(thread.stop(limits::STOP_GRACE).await);
    }
}

#[tokio::test]
async fn a_stopped_driver_says_so() {
    for seat in SEATS {
        let (thread, driver) = start_sim_in(seat);
        assert!(thread.stop(limits::STOP_GRACE).await);
        assert_eq!(driver.get(SessionId(1)).await, Err(DriverError::Stopped));
        assert!(driver.closings().changed().await.is_err());
    }
}

struct Panics;

impl DataPlane for Panics {
    fn capabilities(&self) -> Capabilities {
        Capabilities { vlan_rewrite: true, ..Capabilities::forwarding(SESSIONS) }
    }

    fn submit(&mut self, _: Moment, _: &[Command]) -> usize {
        panic!("on purpose")
    }

    fn poll(&mut self, _: &mut Context<'_>, _: &mut Vec<Completion>) -> Poll<()> {
        Poll::Pending
    }

    fn forward_until(&mut self, _: Moment) {}

    fn describe(&self) -> Description {
        Description { kind: "panics", ports: Vec::new() }
    }
}

#[tokio::test]
async fn a_driver_that_panics_is_noticed() {
    for seat in SEATS {
        let (thread, driver) = start(Panics, seat);
        assert_eq!(driver.add(vec![spec(1, 0)], SameTuple::Reject).await, Err(DriverError::Stopped));
        tokio::time::timeout(Duration::from_secs(5), thread.finished()).await.expect("the end is noticed");
        assert!(!thread.stop(limits::STOP_GRACE).await);
    }
}

#[tokio::test]
async fn what_was_not_delivered_waits_again_in_its_place() {
    let (thread, driver) = start_sim();
    close_some(&driver, 10).await;
    let mut lent = driver.collect(some(6)).await.unwrap().unwrap();
    let first: Vec<_> = std::iter::from_fn(|| lent.take_next()).map(|record| record.sequence).collect();
    assert_eq!(first.len(), 6);
    drop(lent);
    until_delivered(&driver, 0).await;

    let mut lent = driver.collect(some(6)).await.unwrap().unwrap();
    let again: Vec<_> = (0..4).filter_map(|_| lent.take_next()).map(|record| record.sequence).collect();
    assert_eq!(again, first[..4]);
    lent.mark_delivered();
    assert_eq!(lent.take_next().unwrap().sequence, first[4]);
    drop(lent);
    until_delivered(&driver, 4).await;

    let mut lent = driver.collect(some(100)).await.unwrap().unwrap();
    assert_eq!((lent.len(), lent.is_empty()), (6, false));
    assert_eq!(lent.take_next().unwrap().sequence, first[4]);
    drop(lent);
    assert!(thread.stop(limits::STOP_GRACE).await);
}

#[tokio::test]
async fn records_lent_to_a_caller_that_has_gone_wait_again() {
    let (thread, driver) = start_sim();
    close_some(&driver, 50).await;
    for patience in 0..200u32 {
        // Cut off at some point of the way there and back.
        let collect = driver.collect(some(50));
        let _ = tokio::time::timeout(Duration::from_micros(patience.into()), collect).await;
    }
    let mut generation = driver.closings();
    let all_back = async {
        loop {
            let lent = driver.collect(some(50)).await.unwrap();
            if lent.is_some_and(|lent| lent.len() == 50) {
                return;
            }
            generation.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(5), all_back).await.expect("none is lost");
    assert_eq!(driver.statistics().await.unwrap().closed_delivered, 0);
    assert!(thread.stop(limits::STOP_GRACE).await);
}
