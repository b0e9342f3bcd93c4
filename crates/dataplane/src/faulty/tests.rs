//! A faulty plane keeps the contract, really has its faults, and has the same ones again from the same seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use opof_session::l3::VlanFlow;
use opof_session::plane::{FastAction, Note, PacketChange, ReadToken, Route, RouteToken, Rule};
use opof_session::types::Lif;
use opof_wire::{Transport, Vid};
use proptest::prelude::*;

use super::*;
use crate::conformance::frames::{Family, flow, packet};
use crate::{Outcome, Port, PortRole, SimPlane, SimPorts};

const A: Lif = Lif::new(1).unwrap();
const B: Lif = Lif::new(2).unwrap();
const SLOTS: u32 = 8;
/// Fewer than slots, so that keys pass from one to another.
const FLOWS: u32 = 5;

const ALL: FaultRates = FaultRates {
    install_full: 100,
    install_unavailable: 100,
    remove_unavailable: 300,
    route_unavailable: 300,
    hold: 500,
    hold_polls: 6,
    short_submit: 300,
};

fn rules(n: u32) -> [Rule; 2] {
    let flow = flow(Family::V4, Transport::Udp, 0, n);
    let key = |lif, flow| MatchKey { lif, flow };
    let forward = |to| FastAction::Forward { to, change: PacketChange::default(), copy: None };
    [Rule { key: key(A, flow), action: forward(B) }, Rule { key: key(B, flow.reversed()), action: forward(A) }]
}

fn install(slot: u32, n: u32) -> Command {
    Command::Install { slot: Slot(slot), rules: rules(n), note: Note::default() }
}

fn remove(slot: u32, n: u32) -> Command {
    Command::Remove { slot: Slot(slot), keys: rules(n).map(|rule| rule.key), note: Note::default() }
}

fn faulty(rates: FaultRates, seed: u64) -> (Faulty<SimPlane>, SimPorts) {
    let (plane, ports) = SimPlane::new(&[A, B], SLOTS);
    (Faulty::new(plane, rates, seed), ports)
}

fn poll(plane: &mut impl DataPlane) -> Vec<Completion> {
    let mut completions = Vec::new();
    while plane.poll(&mut Context::from_waker(Waker::noop()), &mut completions).is_ready() {}
    completions
}

#[test]
fn what_an_owner_before_has_left_is_found_through_every_decorator() {
    use std::num::NonZeroUsize;

    use crate::Captured;

    let (mut plane, ports) = SimPlane::new(&[A, B], SLOTS);
    let route = Route::SetVlanFlow(VlanFlow { vlan: Vid::new(7).unwrap(), lif: B });
    plane.submit(Moment(1), &[install(3, 1), install(5, 2), Command::Route { route, token: RouteToken(1) }]);
    poll(&mut plane);
    let (mut plane, _) =
        Captured::new(Faulty::new(ports.next_plane(), FaultRates::default(), 1), NonZeroUsize::new(10).unwrap());
    let mut slots = Vec::new();
    plane.found(&mut |found| slots.push(found.slot));
    assert_eq!((slots, plane.found_routes().1.len()), (vec![Slot(3), Slot(5)], 1));
    plane.purge(&[Slot(3)]);
    assert_eq!(ports.found().iter().map(|found| found.slot).collect::<Vec<_>>(), [Slot(5)]);
}

fn slot_of(answer: &Completion) -> Slot {
    match answer.subject() {
        Subject::Session(slot) => slot,
        Subject::Route(_) => panic!("{answer:?}"),
    }
}

/// True when flow `n` takes the fast path.
fn forwards(ports: &SimPorts, n: u32) -> bool {
    let frame = packet(&rules(n)[0].key.flow, 0);
    match ports.receive(Moment(1), Port::wire(A), &frame) {
        Outcome::Out { port, .. } => port.role == PortRole::Wire,
        Outcome::Dropped => false,
    }
}

/// What the owner of a plane knows of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Installing(u32),
    Installed(u32),
    Removing(u32),
}

/// An owner that asks whatever the contract lets it ask, without waiting for answers where it need not.
struct Owner {
    plane: Faulty<SimPlane>,
    ports: SimPorts,
    slots: BTreeMap<u32, State>,
    unanswered: BTreeMap<u32, VecDeque<Command>>,
    trace: Vec<Completion>,
}

impl Owner {
    fn new(rates: FaultRates, seed: u64) -> Self {
        let (plane, ports) = faulty(rates, seed);
        Self { plane, ports, slots: BTreeMap::new(), unanswered: BTreeMap::new(), trace: Vec::new() }
    }

    /// The command that `die` stands for, where the contract allows one.
    fn command(&self, slot: u32, n: u32) -> Option<(Command, State)> {
        match self.slots.get(&slot) {
            // A key is free once its removal is on the way.
            None if !self
                .slots
                .values()
                .any(|state| matches!(state, State::Installing(m) | State::Installed(m) if *m == n)) =>
            {
                Some((install(slot, n), State::Installing(n)))
            }
            Some(&State::Installed(m)) if n.is_multiple_of(2) => {
                Some((Command::Read { slot: Slot(slot), token: ReadToken(u64::from(n)) }, State::Installed(m)))
            }
            Some(&(State::Installing(m) | State::Installed(m))) => Some((remove(slot, m), State::Removing(m))),
            _ => None,
        }
    }

    fn step(&mut self, slot: u32, n: u32, polls: u32) {
        if let Some((command, state)) = self.command(slot, n) {
            let idle = self.unanswered.values().all(VecDeque::is_empty);
            let taken = self.plane.submit(Moment(u64::from(n)), &[command]);
            assert!(taken == 1 || !idle, "a plane with nothing under way takes at least one");
            if taken == 1 {
                self.slots.insert(slot, state);
                self.unanswered.entry(slot).or_default().push_back(command);
            }
        }
        for _ in 0..polls {
            self.take_answers();
        }
    }

    fn take_answers(&mut self) {
        for answer in poll(&mut self.plane) {
            let slot = slot_of(&answer).0;
            let command =
                self.unanswered.get_mut(&slot).and_then(VecDeque::pop_front).expect("an answer has a command");
            self.settle(slot, &command, answer);
            self.trace.push(answer);
        }
    }

    fn settle(&mut self, slot: u32, command: &Command, answer: Completion) {
        let state = self.slots.get(&slot).copied();
        match (command, answer, state) {
            (Command::Install { .. }, Completion::Installed { result: Ok(()), .. }, Some(State::Installing(n))) => {
                assert!(forwards(&self.ports, n), "installed");
                self.slots.insert(slot, State::Installed(n));
            }
            // Its removal is already on the way; the slot is free when that is answered.
            (Command::Install { .. }, Completion::Installed { .. }, Some(State::Removing(_))) => {}
            (Command::Install { .. }, Completion::Installed { result: Err(_), .. }, Some(State::Installing(_)))
            | (Command::Remove { .. }, Completion::Removed { result: Ok(_), .. }, Some(State::Removing(_))) => {
                self.slots.remove(&slot);
            }
            (Command::Remove { .. }, Completion::Removed { result: Err(_), .. }, Some(State::Removing(n))) => {
                assert!(forwards(&self.ports, n), "not removed, so still there");
                self.slots.insert(slot, State::Installed(n));
            }
            (Command::Read { token: asked, .. }, Completion::Read { token, .. }, _) => assert_eq!(*asked, token),
            wrong => panic!("{wrong:?}"),
        }
    }

    /// No more faults: everything is answered, everything can be removed, nothing is left.
    fn come_to_rest(&mut self) {
        self.plane.set_rates(FaultRates::default());
        for round in 0..10_000 {
            self.take_answers();
            if self.slots.is_empty() && self.unanswered.values().all(VecDeque::is_empty) {
                break;
            }
            assert!(round < 9_999, "something is never answered: {:?}", self.unanswered);
            for slot in 0..SLOTS {
                if self.slots.contains_key(&slot) {
                    self.step(slot, 1, 0);
                }
            }
        }
        assert!((0..FLOWS).all(|n| !forwards(&self.ports, n)), "something is still forwarded");
        assert!(self.plane.under_way.is_empty() && self.plane.order.is_empty() && self.plane.pending == 0);
        assert!(self.plane.refused.values().all(|is_answered| *is_answered) && self.plane.stuck.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keeps_the_contract(
        seed in any::<u64>(),
        steps in prop::collection::vec((0..SLOTS, 0..FLOWS, 0..3_u32), 1..200),
    ) {
        let mut owner = Owner::new(ALL, seed);
        let mut again = Owner::new(ALL, seed);
        for (slot, n, polls) in steps {
            owner.step(slot, n, polls);
            again.step(slot, n, polls);
        }
        prop_assert_eq!(&owner.trace, &again.trace, "the same seed, the same faults");
        owner.come_to_rest();
    }
}

#[test]
fn every_fault_happens() {
    let mut owner = Owner::new(ALL, 3);
    let mut steps = Dice(4);
    let (mut overtaken, mut submitted) = (false, 0);
    for _ in 0..5_000 {
        let busy = owner.unanswered.values().filter(|queue| !queue.is_empty()).count();
        owner.step(steps.below_u32(SLOTS), steps.below_u32(FLOWS), 1);
        let answered = owner.trace.len() - submitted;
        overtaken |= busy > 1 && answered > 0;
        submitted = owner.trace.len();
    }
    let seen = |wanted: fn(&Completion) -> bool| owner.trace.iter().filter(|answer| wanted(answer)).count();
    assert!(overtaken);
    assert!(seen(|answer| matches!(answer, Completion::Installed { result: Ok(()), .. })) > 100);
    assert!(seen(|answer| matches!(answer, Completion::Installed { result: Err(InstallError::Full), .. })) > 10);
    assert!(seen(|answer| matches!(answer, Completion::Installed { result: Err(InstallError::Unavailable), .. })) > 10);
    assert!(seen(|answer| matches!(answer, Completion::Removed { result: Err(RemoveError::Unavailable), .. })) > 10);
    assert!(seen(|answer| matches!(answer, Completion::Removed { result: Ok(_), .. })) > 100);
    assert!(seen(|answer| matches!(answer, Completion::Read { .. })) > 100);
    owner.come_to_rest();
}

#[test]
fn a_route_fails_and_changes_nothing_or_is_done() {
    let (mut plane, _) = faulty(FaultRates { route_unavailable: 500, hold: 500, hold_polls: 4, ..ALL }, 7);
    let vlan = Vid::new(100).unwrap();
    let (mut done, mut failed) = (0, 0);
    for token in (0..100).map(RouteToken) {
        let route = Route::SetVlanFlow(VlanFlow { vlan, lif: B });
        while plane.submit(Moment(0), &[Command::Route { route, token }]) == 0 {}
        let answer = loop {
            if let [answer] = poll(&mut plane)[..] {
                break answer;
            }
        };
        let steered = plane.plane.follows(vlan);
        match answer {
            Completion::Routed { token: told, result: Ok(()) } if told == token && steered == Some(B) => done += 1,
            Completion::Routed { token: told, result: Err(RouteError::Unavailable) } if told == token => {
                assert_eq!(steered, None);
                failed += 1;
            }
            wrong => panic!("{wrong:?}"),
        }
        plane.plane.submit(Moment(0), &[Command::Route { route: Route::ClearVlanFlows, token }]);
        poll(&mut plane.plane);
    }
    assert!(done > 20 && failed > 20, "{done} {failed}");
}

#[test]
fn answers_of_other_slots_overtake() {
    let overtakes = (0..20).any(|seed| {
        let (mut plane, _) = faulty(FaultRates { hold: 500, hold_polls: 9, ..FaultRates::default() }, seed);
        assert_eq!(plane.submit(Moment(0), &[install(0, 0), install(1, 1)]), 2);
        let mut answers = Vec::new();
        while answers.len() < 2 {
            answers.extend(poll(&mut plane));
        }
        slot_of(&answers[0]) == Slot(1)
    });
    assert!(overtakes);
}

#[test]
fn a_held_answer_takes_its_polls_and_no_more() {
    let (mut plane, _) = faulty(FaultRates { hold: 1000, hold_polls: 1, ..FaultRates::default() }, 1);
    plane.submit(Moment(0), &[install(0, 0)]);
    assert_eq!(poll(&mut plane), []);
    assert_eq!(poll(&mut plane), [Completion::Installed { slot: Slot(0), result: Ok(()) }]);
}

#[test]
fn a_removal_of_what_was_refused_finds_nothing() {
    let (mut plane, _) = faulty(FaultRates { install_full: 1000, ..FaultRates::default() }, 1);
    assert_eq!(plane.submit(Moment(0), &[install(0, 0), remove(0, 0)]), 2);
    assert_eq!(
        poll(&mut plane),
        [
            Completion::Installed { slot: Slot(0), result: Err(InstallError::Full) },
            Completion::Removed { slot: Slot(0), result: Ok(Counters::default()) },
        ]
    );
}

#[test]
fn keys_of_a_removal_that_failed_are_not_free() {
    let (mut plane, ports) = faulty(FaultRates { remove_unavailable: 1000, ..FaultRates::default() }, 1);
    assert_eq!(plane.submit(Moment(0), &[install(0, 0), remove(0, 0), install(1, 0)]), 3);
    assert_eq!(
        poll(&mut plane),
        [
            Completion::Installed { slot: Slot(0), result: Ok(()) },
            Completion::Removed { slot: Slot(0), result: Err(RemoveError::Unavailable) },
            Completion::Installed { slot: Slot(1), result: Err(InstallError::Unavailable) },
        ]
    );
    assert!(forwards(&ports, 0));
    plane.set_rates(FaultRates::default());
    assert_eq!(plane.submit(Moment(0), &[remove(0, 0), install(1, 0)]), 2);
    assert!(matches!(poll(&mut plane)[1], Completion::Installed { result: Ok(()), .. }));
}

#[test]
fn takes_no_more_than_it_can_keep() {
    let (mut plane, _) = faulty(FaultRates::default(), 1);
    plane.submit(Moment(0), &[install(0, 0)]);
    let reads = vec![Command::Read { slot: Slot(0), token: ReadToken(0) }; FAULTY_UNDER_WAY];
    assert_eq!(plane.submit(Moment(0), &reads), FAULTY_UNDER_WAY - 1);
    assert_eq!(plane.submit(Moment(0), &reads), 0);
    assert_eq!(poll(&mut plane).len(), FAULTY_UNDER_WAY);
}

struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn wakes_for_its_own_answers() {
    let refusing = FaultRates { install_full: 1000, ..FaultRates::default() };
    let (mut plane, _) = faulty(refusing, 1);
    let bell = Arc::new(Bell(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&bell));
    assert!(plane.poll(&mut Context::from_waker(&waker), &mut Vec::new()).is_pending());
    assert!(!bell.0.swap(false, Ordering::SeqCst), "nothing is held back");
    plane.submit(Moment(0), &[install(0, 0)]);
    assert!(bell.0.swap(false, Ordering::SeqCst));

    plane.set_rates(FaultRates { hold: 1000, hold_polls: 1, ..refusing });
    plane.submit(Moment(0), &[install(1, 1)]);
    poll(&mut plane);
    plane.submit(Moment(0), &[install(2, 2)]);
    assert!(plane.poll(&mut Context::from_waker(&waker), &mut Vec::new()).is_pending());
    assert!(bell.0.load(Ordering::SeqCst), "one is held back");
}

#[test]
#[should_panic(expected = "rates are thousandths")]
fn a_rate_above_all() {
    faulty(FaultRates { install_full: 600, install_unavailable: 600, ..FaultRates::default() }, 0);
}
