//! The simulated plane against a naive model, and what it says to a caller that breaks the contract.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use opof_session::plane::{Note, PacketChange, ReadToken};
use opof_wire::{SlowPath, Transport, Vid, classify};
use proptest::prelude::*;

use super::*;
use crate::conformance::frames::{Family, SYN, flow, packet, with_flags};

const A: Lif = Lif::new(1).unwrap();
const B: Lif = Lif::new(2).unwrap();
const SESSIONS: u32 = 6;

fn rules(n: u32, vlan: u16, actions: [FastAction; 2]) -> [Rule; 2] {
    let family = if n.is_multiple_of(2) { Family::V4 } else { Family::V6 };
    let flow = flow(family, if n.is_multiple_of(3) { Transport::Tcp } else { Transport::Udp }, vlan, n);
    let keys = [MatchKey { lif: A, flow }, MatchKey { lif: B, flow: flow.reversed() }];
    [Rule { key: keys[0], action: actions[0] }, Rule { key: keys[1], action: actions[1] }]
}

fn forward(rewrite: Option<u16>) -> [FastAction; 2] {
    let change = PacketChange::vlan(rewrite.map(|vid| Vid::new(vid).unwrap()));
    [B, A].map(|to| FastAction::Forward { to, change, copy: None })
}

fn poll(plane: &mut SimPlane) -> Vec<Completion> {
    let mut completions = Vec::new();
    let _ = plane.poll(&mut Context::from_waker(Waker::noop()), &mut completions);
    completions
}

fn install(slot: u32, n: u32) -> Command {
    Command::Install { slot: Slot(slot), rules: rules(n, 0, forward(None)), note: Note::default() }
}

fn remove(slot: u32, n: u32) -> Command {
    Command::Remove { slot: Slot(slot), keys: rules(n, 0, forward(None)).map(|rule| rule.key), note: Note::default() }
}

/// Everything that can be done to the device.
#[derive(Clone, Debug)]
enum Step {
    Install { slot: u32, flow: u32, vlan: u16, actions: [FastAction; 2] },
    Remove { slot: u32 },
    Read { slot: u32 },
    Frame { port: Port, frame: Vec<u8> },
}

fn a_port() -> impl Strategy<Value = Port> {
    prop::sample::select(vec![Port::wire(A), Port::wire(B), Port::firewall(A), Port::firewall(B)])
}

fn a_vlan() -> impl Strategy<Value = u16> + Clone {
    prop::sample::select(vec![0, 100])
}

fn a_frame() -> impl Strategy<Value = Vec<u8>> {
    let good = (0..4_u32, a_vlan(), 0..2_usize, 0..80_usize)
        .prop_map(|(n, vlan, direction, payload)| packet(&rules(n, vlan, forward(None))[direction].key.flow, payload));
    let control = (0..2_usize, a_vlan())
        .prop_map(|(direction, vlan)| with_flags(&rules(0, vlan, forward(None))[direction].key.flow, SYN));
    let bent = (good.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut frame, at, byte)| {
        let at = at.index(frame.len());
        frame[at] = byte;
        frame
    });
    let cut = (good.clone(), any::<prop::sample::Index>()).prop_map(|(mut frame, at)| {
        frame.truncate(at.index(frame.len()));
        frame
    });
    let noise = prop::collection::vec(any::<u8>(), 0..100);
    prop_oneof![6 => good, 1 => control, 1 => bent, 1 => cut, 1 => noise]
}

fn a_step() -> impl Strategy<Value = Step> {
    let actions = prop_oneof![
        3 => Just((forward(None), None)),
        1 => Just(([FastAction::Drop; 2], None)),
        1 => Just((forward(Some(200)), Some(100))),
    ];
    let install = (0..SESSIONS, 0..4_u32, a_vlan(), actions).prop_map(|(slot, flow, vlan, (actions, tagged))| {
        Step::Install { slot, flow, vlan: tagged.unwrap_or(vlan), actions }
    });
    prop_oneof![
        2 => install,
        1 => (0..SESSIONS).prop_map(|slot| Step::Remove { slot }),
        1 => (0..SESSIONS).prop_map(|slot| Step::Read { slot }),
        8 => (a_port(), a_frame()).prop_map(|(port, frame)| Step::Frame { port, frame }),
    ]
}

/// The same device, as simple as can be.
#[derive(Default)]
struct Model {
    table: HashMap<MatchKey, (u32, usize, FastAction)>,
    sessions: HashMap<u32, ([MatchKey; 2], Counters)>,
    ports: HashMap<Port, PortCounters>,
}

impl Model {
    /// The command, where it keeps the contract, and what has to be answered.
    fn command(&mut self, step: &Step) -> Option<(Command, Completion)> {
        match *step {
            Step::Install { slot, flow, vlan, actions } => {
                let rules = rules(flow, vlan, actions);
                let taken = rules.iter().any(|rule| self.table.contains_key(&rule.key));
                if taken || self.sessions.contains_key(&slot) {
                    return None;
                }
                self.sessions.insert(slot, (rules.map(|rule| rule.key), Counters::default()));
                for (direction, rule) in rules.iter().enumerate() {
                    self.table.insert(rule.key, (slot, direction, rule.action));
                }
                let slot = Slot(slot);
                Some((
                    Command::Install { slot, rules, note: Note::default() },
                    Completion::Installed { slot, result: Ok(()) },
                ))
            }
            Step::Remove { slot } => {
                let (keys, counters) = self.sessions.remove(&slot)?;
                self.table.retain(|_, (of, _, _)| *of != slot);
                let slot = Slot(slot);
                Some((
                    Command::Remove { slot, keys, note: Note::default() },
                    Completion::Removed { slot, result: Ok(counters) },
                ))
            }
            Step::Read { slot } => {
                let (_, counters) = self.sessions.get(&slot)?;
                let (slot, token) = (Slot(slot), ReadToken(9));
                Some((Command::Read { slot, token }, Completion::Read { slot, token, counters: *counters }))
            }
            Step::Frame { .. } => None,
        }
    }

    fn frame(&mut self, now: Moment, port: Port, frame: &[u8]) -> Outcome {
        let out = |port, frame: &[u8]| Outcome::Out { port, frame: frame.to_vec(), copy: None };
        let add = |tally: &mut Tally| {
            *tally = Tally { packets: tally.packets + 1, bytes: tally.bytes + frame.len() as u64 };
        };
        let counters = self.ports.entry(port).or_default();
        add(&mut counters.received);
        if port.role == PortRole::Firewall {
            return out(Port::wire(port.lif), frame);
        }
        let key = classify(frame).map(|flow| MatchKey { lif: port.lif, flow });
        let hit = key.and_then(|key| self.table.get(&key).copied().ok_or(SlowPath::Miss));
        let (slot, direction, action) = match hit {
            Ok(hit) => hit,
            Err(reason) => {
                add(&mut counters.slow_path[reason as usize]);
                return out(Port::firewall(port.lif), frame);
            }
        };
        let session = &mut self.sessions.get_mut(&slot).unwrap().1;
        let way = if direction == 0 { &mut session.inward } else { &mut session.outward };
        way.packets += 1;
        way.bytes += frame.len() as u64;
        session.last_seen = Some(now);
        match action {
            FastAction::Drop => {
                add(&mut counters.dropped);
                Outcome::Dropped
            }
            FastAction::Forward { to, change, .. } => {
                add(&mut counters.forwarded);
                let mut frame = frame.to_vec();
                if let Some(vid) = change.vlan {
                    frame[14] = frame[14] & 0xF0 | u8::try_from(vid.get() >> 8).unwrap();
                    frame[15] = u8::try_from(vid.get() & 0xFF).unwrap();
                }
                out(Port::wire(to), &frame)
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_naive_model(steps in prop::collection::vec(a_step(), 1..120)) {
        let (mut plane, ports) = SimPlane::new(&[A, B], SESSIONS);
        let mut model = Model::default();
        for (now, step) in (1..).map(Moment).zip(&steps) {
            if let Step::Frame { port, frame } = step {
                prop_assert_eq!(ports.receive(now, *port, frame), model.frame(now, *port, frame));
            } else if let Some((command, answer)) = model.command(step) {
                prop_assert_eq!(plane.submit(now, &[command]), 1);
                prop_assert_eq!(poll(&mut plane), vec![answer]);
            }
        }
        for port in plane.describe().ports {
            let expected = model.ports.remove(&Port { lif: port.lif.unwrap(), role: port.role }).unwrap_or_default();
            prop_assert_eq!(port.counters, expected);
        }
    }
}

#[test]
fn describes_each_wire_port_before_its_firewall_port() {
    let (plane, _) = SimPlane::new(&[B, A], 1);
    let description = plane.describe();
    let names: Vec<_> = description.ports.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["sim2-wire", "sim2-firewall", "sim1-wire", "sim1-firewall"]);
    assert_eq!((description.kind, description.ports[0].mode), ("sim", "simulated"));
}

#[test]
fn takes_no_more_commands_than_it_can_answer() {
    let (mut plane, _) = SimPlane::new(&[A, B], 1);
    assert_eq!(plane.submit(Moment(0), &[install(0, 1)]), 1);
    let reads = vec![Command::Read { slot: Slot(0), token: ReadToken(1) }; SIM_COMPLETIONS + 1];
    assert_eq!(plane.submit(Moment(0), &reads), SIM_COMPLETIONS - 1);
    assert_eq!(plane.submit(Moment(0), &reads), 0);
    assert_eq!(poll(&mut plane).len(), SIM_COMPLETIONS);
    assert_eq!(plane.submit(Moment(0), &reads), SIM_COMPLETIONS);
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn wakes_who_polled_in_vain() {
    let (mut plane, _) = SimPlane::new(&[A, B], 1);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut completions = Vec::new();
    assert!(plane.poll(&mut Context::from_waker(&waker), &mut completions).is_pending());
    assert_eq!(plane.submit(Moment(0), &[]), 0);
    assert_eq!(count.0.load(Ordering::SeqCst), 0, "nothing was completed");
    plane.submit(Moment(0), &[install(0, 1)]);
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

fn run(commands: &[Command]) {
    let (mut plane, _) = SimPlane::new(&[A, B], 2);
    plane.submit(Moment(0), commands);
}

#[test]
#[should_panic(expected = "install into Slot(2) of a plane with 2 slots")]
fn a_slot_past_the_capacity() {
    run(&[install(2, 1)]);
}

#[test]
#[should_panic(expected = "install into Slot(0), which is taken")]
fn a_slot_that_is_taken() {
    run(&[install(0, 1), install(0, 2)]);
}

#[test]
#[should_panic(expected = "is in the table already")]
fn a_key_that_is_taken() {
    run(&[install(0, 1), install(1, 1)]);
}

#[test]
#[should_panic(expected = "removal of Slot(0), which is not installed")]
fn a_removal_of_what_is_forgotten() {
    run(&[install(0, 1), remove(0, 1), Command::Forget { slot: Slot(0) }, remove(0, 1)]);
}

#[test]
#[should_panic(expected = "Slot(0) is forgotten, and was not removed")]
fn a_session_that_is_forgotten_too_early() {
    run(&[install(0, 1), Command::Forget { slot: Slot(0) }]);
}

#[test]
fn the_next_owner_finds_what_is_kept() {
    let (mut plane, ports) = SimPlane::new(&[A, B], 8);
    let kept =
        |slot, n, note| Command::Install { slot: Slot(slot), rules: rules(n, 0, forward(None)), note: Note([note; 3]) };
    let Command::Remove { keys, .. } = remove(1, 2) else { unreachable!("a removal") };
    let leaving = Command::Remove { slot: Slot(1), keys, note: Note([9; 3]) };
    let commands = [kept(0, 1, 1), kept(1, 2, 2), kept(2, 3, 3), leaving, kept(3, 4, 4), remove(2, 3)];
    assert_eq!(plane.submit(Moment(0), &commands), commands.len());
    plane.submit(Moment(0), &[Command::Forget { slot: Slot(2) }]);
    let mut plane = ports.next_plane();
    let found = |plane: &mut SimPlane| {
        let mut all = Vec::new();
        plane.found(&mut |found| all.push((found.slot.0, found.note.0[0], found.forwarded[0])));
        all
    };
    assert_eq!(found(&mut plane), [(0, 1, true), (1, 9, false), (3, 4, true)]);
    assert_eq!(plane.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new()), Poll::Pending);
    plane.purge(&[Slot(0)]);
    assert_eq!(found(&mut plane), [(1, 9, false), (3, 4, true)]);
    // Its keys are free, and so is its slot.
    plane.submit(Moment(0), &[kept(0, 1, 5)]);
    assert_eq!(found(&mut plane), [(0, 5, true), (1, 9, false), (3, 4, true)]);
}

#[test]
fn a_frame_is_forwarded_before_the_end_and_a_miss_from_it_on() {
    let (mut plane, ports) = SimPlane::new(&[A, B], 8);
    plane.submit(Moment(0), &[install(0, 1)]);
    let frame = packet(&rules(1, 0, forward(None))[0].key.flow, 10);
    let is_hit = |at| match ports.receive(Moment(at), Port::wire(A), &frame) {
        Outcome::Out { port, .. } => port == Port::wire(B),
        Outcome::Dropped => panic!("neither the session's nor the firewall's"),
    };
    assert_eq!([0, u64::MAX - 1].map(is_hit), [true; 2]);
    plane.forward_until(Moment(100));
    assert_eq!([99, 100, 101].map(is_hit), [true, false, false]);
    // The device goes on as it was told, whoever has it.
    let mut plane = ports.next_plane();
    assert_eq!([99, 100].map(is_hit), [true, false]);
    plane.forward_until(Moment(u64::MAX));
    assert!(is_hit(100));
}

#[test]
#[should_panic(expected = "with other keys")]
fn a_removal_with_other_keys() {
    run(&[install(0, 1), remove(0, 2)]);
}

#[test]
#[should_panic(expected = "read of Slot(1), which is not installed")]
fn a_read_of_nothing() {
    run(&[install(0, 1), Command::Read { slot: Slot(1), token: ReadToken(0) }]);
}

#[test]
#[should_panic(expected = "a tag is rewritten only")]
fn a_rewrite_of_no_tag() {
    run(&[Command::Install { slot: Slot(0), rules: rules(1, 0, forward(Some(5))), note: Note::default() }]);
}

#[test]
#[should_panic(expected = "lif 1 is there twice")]
fn a_lif_twice() {
    let _ = SimPlane::new(&[A, B, A], 1);
}

#[test]
#[should_panic(expected = "the device has no port lif 2 wire")]
fn a_frame_into_no_port() {
    let (_, ports) = SimPlane::new(&[A], 1);
    ports.receive(Moment(0), Port::wire(B), &[]);
}
