//! Planes that treat frames right and their owner wrong.

use std::collections::HashMap;
use std::task::{Context, Poll, Waker};

use opof_session::plane::{Capabilities, Command, Completion, InstallError, Note, ReadToken, Rule, Slot};
use opof_session::types::{Counters, MatchKey, Moment};
use opof_wire::SlowPath;

use super::rig::{SimRig, honest};
use super::{device, red};
use crate::conformance::Failure;
use crate::{DataPlane, Description, PortCounters, SimPlane};

type BendPort = fn(&mut PortCounters);

/// The simulated plane with a fault of its owner's choice.
struct Wrong {
    plane: SimPlane,
    bend: fn(&mut Vec<Completion>),
    bend_port: BendPort,
    wakes: bool,
    takes: fn(usize) -> usize,
    obeys: Obeys,
    /// What it was told last, and the last time it was given.
    until: Moment,
    now: Moment,
    /// How answers are bent from that moment on.
    bend_over: fn(&mut Vec<Completion>),
}

/// How a plane takes the moment until which it is to forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Obeys {
    AtOnce,
    Never,
    /// The first end is the last word.
    Once,
    /// When it next hears from its owner.
    Late,
}

impl Wrong {
    fn caught(mut self, how: impl FnOnce(&mut Self), case: &str) -> Failure {
        let (plane, ports) = device();
        self.plane = plane;
        how(&mut self);
        red(case, &mut SimRig::new(Box::new(self), ports, honest))
    }

    /// With answers bent like this.
    fn answers(bend: fn(&mut Vec<Completion>), case: &str) -> Failure {
        Self::default().caught(|wrong| wrong.bend = bend, case)
    }

    /// With counters bent like this.
    fn counts(bend: fn(&mut Vec<Completion>)) {
        Self::answers(bend, "hit_is_forwarded_both_ways");
        Self::answers(bend, "removed_session_misses");
    }
}

impl Default for Wrong {
    fn default() -> Self {
        Self {
            plane: device().0,
            bend: |_| {},
            bend_port: |_| {},
            wakes: true,
            takes: |offered| offered,
            obeys: Obeys::AtOnce,
            until: Moment(u64::MAX),
            now: Moment(0),
            bend_over: |_| {},
        }
    }
}

impl DataPlane for Wrong {
    fn capabilities(&self) -> Capabilities {
        self.plane.capabilities()
    }

    fn submit(&mut self, now: Moment, commands: &[Command]) -> usize {
        let wanted = (self.takes)(commands.len());
        if wanted > commands.len() {
            return wanted;
        }
        self.now = now;
        if self.obeys == Obeys::Late {
            self.plane.forward_until(self.until);
        }
        self.plane.submit(now, &commands[..wanted])
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        let mut found = Vec::new();
        let mut deaf = Context::from_waker(Waker::noop());
        let poll = self.plane.poll(if self.wakes { context } else { &mut deaf }, &mut found);
        (self.bend)(&mut found);
        if self.now >= self.until {
            (self.bend_over)(&mut found);
        }
        completions.extend(found);
        poll
    }

    fn forward_until(&mut self, until: Moment) {
        match self.obeys {
            Obeys::AtOnce => self.plane.forward_until(until),
            Obeys::Once if self.until == Moment(u64::MAX) || until < self.until => self.plane.forward_until(until),
            Obeys::Never | Obeys::Once | Obeys::Late => {}
        }
        self.until = until;
    }

    fn describe(&self) -> Description {
        let mut description = self.plane.describe();
        description.ports.iter_mut().for_each(|port| (self.bend_port)(&mut port.counters));
        description
    }
}

fn counters_of(completions: &mut [Completion]) -> impl Iterator<Item = &mut Counters> {
    completions.iter_mut().filter_map(|completion| match completion {
        Completion::Removed { result: Ok(counters), .. } | Completion::Read { counters, .. } => Some(counters),
        _ => None,
    })
}

#[test]
fn counts_an_fcs() {
    Wrong::counts(|all| counters_of(all).for_each(|counters| counters.inward.bytes += 4 * counters.inward.packets));
}

#[test]
fn counts_without_the_ethernet_header() {
    Wrong::counts(|all| counters_of(all).for_each(|counters| counters.outward.bytes -= 14 * counters.outward.packets));
}

#[test]
fn counts_directions_the_wrong_way_round() {
    Wrong::counts(|all| {
        counters_of(all).for_each(|counters| std::mem::swap(&mut counters.inward, &mut counters.outward));
    });
}

#[test]
fn forgets_a_packet() {
    Wrong::counts(|all| {
        counters_of(all).for_each(|counters| counters.inward.packets = counters.inward.packets.saturating_sub(1));
    });
}

#[test]
fn stamps_packets_with_another_clock() {
    let bend = |all: &mut Vec<Completion>| {
        counters_of(all)
            .for_each(|counters| counters.last_seen = counters.last_seen.map(|Moment(at)| Moment(at + 1_000_000)));
    };
    let failure = Wrong::answers(bend, "last_seen_follows_the_packets");
    assert!(matches!(failure, Failure::LastSeen { .. }), "{failure}");
}

#[test]
fn says_seen_before_the_first_packet() {
    let bend = |all: &mut Vec<Completion>| {
        counters_of(all).for_each(|counters| counters.last_seen = counters.last_seen.or(Some(Moment(0))));
    };
    Wrong::answers(bend, "last_seen_follows_the_packets");
}

#[test]
fn answers_twice() {
    let failure = Wrong::answers(|all| *all = [&all[..], &all[..]].concat(), "hit_is_forwarded_both_ways");
    assert!(matches!(failure, Failure::WrongAnswer { command: None, .. }), "{failure}");
}

#[test]
fn mixes_up_tokens() {
    let bend = |all: &mut Vec<Completion>| {
        for completion in all {
            if let Completion::Read { token, .. } = completion {
                *token = ReadToken(token.0 & 0xFFFF_FFFF);
            }
        }
    };
    let failure = Wrong::answers(bend, "reads_carry_their_tokens");
    assert!(matches!(failure, Failure::WrongAnswer { command: Some(_), .. }), "{failure}");
}

#[test]
fn answers_of_one_slot_out_of_order() {
    let failure = Wrong::answers(|all| all.reverse(), "reads_carry_their_tokens");
    assert!(matches!(failure, Failure::WrongAnswer { command: Some(_), .. }), "{failure}");
}

#[test]
fn is_ready_with_nothing() {
    let failure = Wrong::answers(Vec::clear, "hit_is_forwarded_both_ways");
    assert_eq!(failure, Failure::PollDisagrees { ready: true, appended: 0 });
}

#[test]
fn lets_its_owner_sleep() {
    let failure = Wrong::default().caught(|wrong| wrong.wakes = false, "hit_is_forwarded_both_ways");
    assert_eq!(failure, Failure::NotWoken { unanswered: 1 });
}

#[test]
fn takes_nothing() {
    let failure = Wrong::default().caught(|wrong| wrong.takes = |_| 0, "hit_is_forwarded_both_ways");
    assert_eq!(failure, Failure::TookNothing { offered: 1 });
}

#[test]
fn takes_more_than_there_is() {
    let failure = Wrong::default().caught(|wrong| wrong.takes = |offered| offered + 1, "hit_is_forwarded_both_ways");
    assert_eq!(failure, Failure::TookTooMany { offered: 1, taken: 2 });
}

#[test]
fn ports_count_wrong() {
    let faults: [(BendPort, &str); 6] = [
        (|port| port.received.bytes += 4 * port.received.packets, "firewall_port_goes_to_the_wire"),
        (|port| port.forwarded = port.dropped, "hit_is_forwarded_both_ways"),
        (|port| std::mem::swap(&mut port.dropped, &mut port.forwarded), "drop_discards_and_counts"),
        (
            |port| port.slow_path.swap(SlowPath::Fragment as usize, SlowPath::Ipv4Options as usize),
            "fragments_go_to_the_firewall",
        ),
        (|port| port.copied = port.copies_lost, "mirror_copies_what_came"),
        (|port| std::mem::swap(&mut port.copied, &mut port.copies_lost), "a_copy_that_can_not_be_sent_is_counted"),
    ];
    for (bend_port, case) in faults {
        let failure = Wrong::default().caught(|wrong| wrong.bend_port = bend_port, case);
        assert!(matches!(failure, Failure::PortCounters { .. }), "{failure}");
    }
}

/// What a plane that is bad at removing does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Removal {
    /// It says that sessions are removed and goes on forwarding them, until their keys or slots are wanted again.
    Pretended,
    /// The next session in the slot begins with the counters of the last.
    CountersStayWithSlot,
    /// The next session with the same keys begins with the counters of the last.
    CountersStayWithKeys,
    /// What is removed again has no counters any more.
    AgainFromZero,
    /// What is removed again takes along whoever has its keys.
    AgainTakesOthers,
}

struct Clinging {
    plane: SimPlane,
    removal: Removal,
    keys: HashMap<Slot, [MatchKey; 2]>,
    /// Sessions that should be gone.
    left: HashMap<Slot, [MatchKey; 2]>,
    /// Counters that should be, by slot and by key.
    kept: (HashMap<Slot, Counters>, HashMap<MatchKey, Counters>),
    answers: Vec<Completion>,
}

impl Clinging {
    fn execute(&mut self, now: Moment, command: &Command) -> Completion {
        assert_eq!(self.plane.submit(now, &[*command]), 1);
        let mut answers = Vec::new();
        assert!(self.plane.poll(&mut Context::from_waker(Waker::noop()), &mut answers).is_ready());
        answers[0]
    }

    fn remove(&mut self, now: Moment, slot: Slot, keys: [MatchKey; 2]) -> Completion {
        if self.removal == Removal::Pretended {
            self.left.insert(slot, keys);
            return match self.execute(now, &Command::Read { slot, token: ReadToken(0) }) {
                Completion::Read { counters, .. } => Completion::Removed { slot, result: Ok(counters) },
                other => panic!("{other:?}"),
            };
        }
        let mut answer = self.execute(now, &Command::Remove { slot, keys, note: Note::default() });
        let is_again = self.kept.0.contains_key(&slot);
        if is_again && self.removal == Removal::AgainFromZero {
            answer = Completion::Removed { slot, result: Ok(Counters::default()) };
        }
        if is_again && self.removal == Removal::AgainTakesOthers {
            let other = self.keys.iter().find(|(other, theirs)| **other != slot && **theirs == keys);
            let other = *other.expect("another has them").0;
            self.execute(now, &Command::Remove { slot: other, keys, note: Note::default() });
        }
        if let Completion::Removed { result: Ok(counters), .. } = answer {
            add(self.kept.0.entry(slot).or_default(), &counters);
            add(self.kept.1.entry(keys[0]).or_default(), &counters);
        }
        answer
    }

    fn install(&mut self, now: Moment, slot: Slot, rules: [Rule; 2]) -> Completion {
        let wanted = rules.map(|rule| rule.key);
        self.keys.insert(slot, wanted);
        let in_the_way = |of: &Slot, keys: &[MatchKey; 2]| *of == slot || keys.iter().any(|key| wanted.contains(key));
        let gone: Vec<_> = self.left.extract_if(|of, keys| in_the_way(of, keys)).collect();
        for (slot, keys) in gone {
            self.execute(now, &Command::Remove { slot, keys, note: Note::default() });
        }
        self.execute(now, &Command::Install { slot, rules, note: Note::default() })
    }

    fn read(&mut self, now: Moment, slot: Slot, token: ReadToken) -> Completion {
        let mut answer = self.execute(now, &Command::Read { slot, token });
        let kept = match self.removal {
            Removal::Pretended | Removal::AgainFromZero | Removal::AgainTakesOthers => None,
            Removal::CountersStayWithSlot => self.kept.0.get(&slot),
            Removal::CountersStayWithKeys => self.kept.1.get(&self.keys[&slot][0]),
        };
        if let (Some(kept), Completion::Read { counters, .. }) = (kept, &mut answer) {
            add(counters, kept);
        }
        answer
    }
}

fn add(a: &mut Counters, b: &Counters) {
    a.inward.packets += b.inward.packets;
    a.inward.bytes += b.inward.bytes;
    a.outward.packets += b.outward.packets;
    a.outward.bytes += b.outward.bytes;
    a.last_seen = a.last_seen.max(b.last_seen);
}

impl DataPlane for Clinging {
    fn capabilities(&self) -> Capabilities {
        self.plane.capabilities()
    }

    fn submit(&mut self, now: Moment, commands: &[Command]) -> usize {
        for command in commands {
            let answer = match *command {
                Command::Remove { slot, keys, .. } => self.remove(now, slot, keys),
                Command::Install { slot, rules, .. } => self.install(now, slot, rules),
                Command::Read { slot, token } => self.read(now, slot, token),
                Command::Forget { .. } | Command::Route { .. } => self.execute(now, command),
            };
            self.answers.push(answer);
        }
        commands.len()
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        if self.answers.is_empty() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        completions.append(&mut self.answers);
        Poll::Ready(())
    }

    fn forward_until(&mut self, until: Moment) {
        self.plane.forward_until(until);
    }

    fn describe(&self) -> Description {
        self.plane.describe()
    }
}

fn clinging(removal: Removal, case: &str) -> Failure {
    let (plane, ports) = device();
    let plane = Clinging {
        plane,
        removal,
        keys: HashMap::new(),
        left: HashMap::new(),
        kept: (HashMap::new(), HashMap::new()),
        answers: Vec::new(),
    };
    red(case, &mut SimRig::new(Box::new(plane), ports, honest))
}

#[test]
fn keeps_forwarding_after_remove() {
    for case in ["removed_session_misses", "many_sessions"] {
        let failure = clinging(Removal::Pretended, case);
        assert!(matches!(failure, Failure::FrameMissing { .. }), "{failure}");
    }
}

#[test]
fn keeps_counters_of_the_session_before() {
    for (removal, case) in [
        (Removal::CountersStayWithSlot, "slot_reuse_starts_at_zero"),
        (Removal::CountersStayWithKeys, "slot_reuse_starts_at_zero"),
        (Removal::CountersStayWithKeys, "reinstall_in_one_submit"),
    ] {
        let failure = clinging(removal, case);
        assert!(matches!(failure, Failure::SessionCounters { .. }), "{failure}");
    }
}

#[test]
fn does_something_else_when_it_removes_again() {
    let case = "removed_again_says_the_same_and_leaves_others_alone";
    let failure = clinging(Removal::AgainFromZero, case);
    assert!(matches!(failure, Failure::SessionCounters { .. }), "{failure}");
    let failure = clinging(Removal::AgainTakesOthers, case);
    assert!(matches!(failure, Failure::FrameMissing { .. }), "{failure}");
}

#[test]
fn does_not_end_when_it_was_told() {
    for obeys in [Obeys::Never, Obeys::Once, Obeys::Late] {
        let case = "forwards_until_the_moment_it_was_told";
        let failure = Wrong::default().caught(|wrong| wrong.obeys = obeys, case);
        assert!(matches!(failure, Failure::FrameMissing { .. }), "{obeys:?}: {failure}");
    }
}

#[test]
fn counts_what_it_may_not_forward() {
    let bend = |all: &mut Vec<Completion>| counters_of(all).for_each(|counters| counters.outward.packets += 1);
    for case in ["forwards_until_the_moment_it_was_told", "sessions_come_and_go_when_nothing_is_forwarded"] {
        let failure = Wrong::default().caught(|wrong| wrong.bend_over = bend, case);
        assert!(matches!(failure, Failure::SessionCounters { .. }), "{failure}");
    }
}

#[test]
fn takes_nothing_while_it_may_not_forward() {
    let bend = |all: &mut Vec<Completion>| {
        for answer in all {
            if let Completion::Installed { result, .. } = answer {
                *result = Err(InstallError::Unavailable);
            }
        }
    };
    let case = "sessions_come_and_go_when_nothing_is_forwarded";
    let failure = Wrong::default().caught(|wrong| wrong.bend_over = bend, case);
    assert!(matches!(failure, Failure::NotInstalled { .. }), "{failure}");
}
