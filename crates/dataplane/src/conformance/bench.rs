//! What a case works with: it drives the plane, sends frames, and checks everything that holds in every case.
//!
//! That is: each command is answered once and in the order of its subject, wakers are woken, frames come out where they
//! must and nowhere else, and the ports' counters grow by exactly what was sent. What must not be here: single cases.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use opof_session::l3::NextHopId;
use opof_session::plane::{Capabilities, Command, Completion, Note, ReadToken, Route, RouteToken, Rule, Slot, Subject};
use opof_session::types::{Counters, DirectionCounters, Lif, MatchKey, Moment};
use opof_wire::SlowPath;

use super::copies;
use super::failure::Failure;
use super::frames::is_marked;
use super::{Collectors, Rig};
use crate::limits::{CONFORMANCE_BURST, CONFORMANCE_WAKE_ROUND, CONFORMANCE_WAKE_ROUNDS};
use crate::pipeline::Port;
use crate::{PortCounters, PortRole, Tally};

/// A rig with the suite's bookkeeping around it.
pub struct Bench<'a> {
    rig: &'a mut dyn Rig,
    bell: Arc<Bell>,
    waker: Waker,
    installed: BTreeMap<Slot, [MatchKey; 2]>,
    /// That were ever set.
    next_hops: BTreeSet<NextHopId>,
    /// VLAN flows were set.
    has_flows: bool,
    /// Frames that were left out because the rig can't carry them.
    pub(super) not_carried: usize,
}

/// Rings when the plane wakes its owner.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    owner: Thread,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.owner.unpark();
    }
}

/// What has to become of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// To the firewall port of this interface, untouched.
    SlowPath(SlowPath, Lif),
    /// Out of the wire port of this interface, as it is there.
    Forwarded(Lif, Vec<u8>),
    /// Nowhere.
    Dropped,
    /// Came from a firewall port: out of the wire port, untouched.
    FromFirewall,
    /// Does not fit through the tunnel to the firewall: back out of the port it came in on comes this.
    Answered(Vec<u8>),
    /// Does not fit, and its sender is not told: nowhere.
    TooBig,
}

/// A frame to be sent, and what has to become of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    pub(super) what: String,
    pub(super) ingress: Port,
    pub(super) frame: Vec<u8>,
    pub(super) fate: Fate,
    /// What has to become of its copy; `None`: there is none.
    pub(super) copy: Option<CopyFate>,
}

/// What has to become of the copy of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum CopyFate {
    /// It arrives at the collector as this, UDP source port left aside.
    Sent(Vec<u8>),
    /// It does not, and is counted.
    Lost,
}

impl Step {
    /// From the wire to the firewall.
    pub(super) fn slow(what: impl Into<String>, lif: Lif, frame: Vec<u8>, reason: SlowPath) -> Self {
        Self { what: what.into(), ingress: Port::wire(lif), frame, fate: Fate::SlowPath(reason, lif), copy: None }
    }

    /// From the wire to the firewall port of another interface.
    pub(super) fn steered(what: impl Into<String>, lif: Lif, frame: Vec<u8>, reason: SlowPath, to: Lif) -> Self {
        Self { what: what.into(), ingress: Port::wire(lif), frame, fate: Fate::SlowPath(reason, to), copy: None }
    }

    /// From wire to wire, untouched.
    pub(super) fn hit(what: impl Into<String>, from: Lif, to: Lif, frame: Vec<u8>) -> Self {
        let fate = Fate::Forwarded(to, frame.clone());
        Self { what: what.into(), ingress: Port::wire(from), frame, fate, copy: None }
    }

    /// From wire to wire, leaving as `rewritten`.
    pub(super) fn rewritten(what: impl Into<String>, from: Lif, to: Lif, frame: Vec<u8>, rewritten: Vec<u8>) -> Self {
        Self { what: what.into(), ingress: Port::wire(from), frame, fate: Fate::Forwarded(to, rewritten), copy: None }
    }

    /// From the wire to nowhere.
    pub(super) fn dropped(what: impl Into<String>, lif: Lif, frame: Vec<u8>) -> Self {
        Self { what: what.into(), ingress: Port::wire(lif), frame, fate: Fate::Dropped, copy: None }
    }

    /// From the firewall to the wire.
    pub(super) fn from_firewall(what: impl Into<String>, lif: Lif, frame: Vec<u8>) -> Self {
        Self { what: what.into(), ingress: Port::firewall(lif), frame, fate: Fate::FromFirewall, copy: None }
    }

    /// From the wire to a firewall that it does not reach, with what is answered.
    pub(super) fn too_big(what: impl Into<String>, lif: Lif, frame: Vec<u8>, answer: Option<Vec<u8>>) -> Self {
        let fate = answer.map_or(Fate::TooBig, Fate::Answered);
        Self { what: what.into(), ingress: Port::wire(lif), frame, fate, copy: None }
    }

    /// The same with a copy.
    pub(super) fn copied(mut self, copy: CopyFate) -> Self {
        self.copy = Some(copy);
        self
    }

    fn expected_copy(&self) -> Option<&[u8]> {
        match &self.copy {
            Some(CopyFate::Sent(frame)) => Some(frame),
            Some(CopyFate::Lost) | None => None,
        }
    }

    fn expected(&self) -> Option<(Port, &[u8])> {
        match &self.fate {
            Fate::SlowPath(_, lif) => Some((Port::firewall(*lif), &self.frame)),
            Fate::Forwarded(to, frame) => Some((Port::wire(*to), frame)),
            Fate::Answered(answer) => Some((self.ingress, answer)),
            Fate::Dropped | Fate::TooBig => None,
            Fate::FromFirewall => Some((Port::wire(self.ingress.lif), &self.frame)),
        }
    }
}

impl<'a> Bench<'a> {
    pub(super) fn new(rig: &'a mut dyn Rig) -> Self {
        let bell = Arc::new(Bell { rung: AtomicBool::new(false), owner: thread::current() });
        let waker = Waker::from(Arc::clone(&bell));
        Self {
            rig,
            bell,
            waker,
            installed: BTreeMap::new(),
            next_hops: BTreeSet::new(),
            has_flows: false,
            not_carried: 0,
        }
    }

    /// The two interfaces of the rig.
    pub(super) fn lifs(&self) -> [Lif; 2] {
        self.rig.lifs()
    }

    /// The rig's clock.
    pub(super) fn now(&self) -> RangeInclusive<Moment> {
        self.rig.now()
    }

    /// The collectors of the rig.
    pub(super) fn collectors(&mut self) -> Option<Collectors> {
        self.rig.collectors()
    }

    /// The largest frames that reach the firewalls, where those are behind tunnels.
    pub(super) fn tunnels(&self) -> Option<[usize; 2]> {
        self.rig.tunnels()
    }

    /// Installs a session that copies, and waits for the way there.
    pub(super) fn install_copying(&mut self, slot: Slot, rules: [Rule; 2], collector: IpAddr) -> Result<(), Failure> {
        self.install(slot, rules)?;
        self.rig.await_way(collector);
        Ok(())
    }

    /// What the plane claims to do.
    pub(super) fn can(&mut self) -> Capabilities {
        self.rig.plane().capabilities()
    }

    /// Fails when the plane has less room than the suite needs.
    pub(super) fn needs_sessions(&mut self, needed: u32) -> Result<(), Failure> {
        let sessions = self.rig.plane().capabilities().sessions;
        if sessions < needed { Err(Failure::TooSmall { sessions, needed }) } else { Ok(()) }
    }

    /// Gives the plane all of `commands`; returns when each is answered, with the answers as they came.
    pub(super) fn command(&mut self, commands: &[Command]) -> Result<Vec<Completion>, Failure> {
        let mut unanswered = Unanswered::default();
        let mut answers = Vec::with_capacity(commands.len());
        let mut rest = commands;
        self.poll(&mut unanswered, &mut answers)?;
        while !rest.is_empty() || unanswered.count > 0 {
            let now = *self.rig.now().end();
            let taken = if rest.is_empty() { 0 } else { self.rig.plane().submit(now, rest) };
            if taken > rest.len() {
                return Err(Failure::TookTooMany { offered: rest.len(), taken });
            }
            if taken == 0 && unanswered.count == 0 {
                return Err(Failure::TookNothing { offered: rest.len() });
            }
            rest[..taken].iter().for_each(|command| unanswered.push(command));
            rest = &rest[taken..];
            self.wait(unanswered.count)?;
            self.poll(&mut unanswered, &mut answers)?;
        }
        for answer in &answers {
            self.note(answer, commands);
        }
        Ok(answers)
    }

    /// Polls until pending: after this the plane owes a wake for whatever it completes.
    fn poll(&mut self, unanswered: &mut Unanswered, answers: &mut Vec<Completion>) -> Result<(), Failure> {
        loop {
            let before = answers.len();
            self.bell.rung.store(false, Ordering::Release);
            let ready = self.rig.plane().poll(&mut Context::from_waker(&self.waker), answers) == Poll::Ready(());
            let appended = answers.len() - before;
            if ready != (appended > 0) {
                return Err(Failure::PollDisagrees { ready, appended });
            }
            for answer in &answers[before..] {
                unanswered.settle(answer)?;
            }
            if !ready {
                return Ok(());
            }
        }
    }

    fn wait(&self, unanswered: usize) -> Result<(), Failure> {
        for _ in 0..CONFORMANCE_WAKE_ROUNDS {
            if self.bell.rung.swap(false, Ordering::AcqRel) {
                return Ok(());
            }
            thread::park_timeout(CONFORMANCE_WAKE_ROUND);
        }
        Err(Failure::NotWoken { unanswered })
    }

    /// Remembers what is installed, for the clearing up after the case.
    fn note(&mut self, answer: &Completion, commands: &[Command]) {
        match answer {
            Completion::Installed { slot, result: Ok(()) } => {
                let keys = commands.iter().rev().find_map(|command| match command {
                    Command::Install { slot: of, rules, .. } if of == slot => Some(rules.map(|rule| rule.key)),
                    _ => None,
                });
                self.installed.insert(*slot, keys.expect("an answer that fits has its command"));
            }
            Completion::Removed { slot, result: Ok(_) } => {
                self.installed.remove(slot);
            }
            _ => {}
        }
    }

    pub(super) fn install(&mut self, slot: Slot, rules: [Rule; 2]) -> Result<(), Failure> {
        for answer in self.command(&[Command::Install { slot, rules, note: Note::default() }])? {
            check_installed(&answer)?;
        }
        Ok(())
    }

    /// Changes what packets are sent by.
    pub(super) fn route(&mut self, route: Route) -> Result<(), Failure> {
        match self.command(&[Command::Route { route, token: RouteToken(u64::MAX) }])?[0] {
            Completion::Routed { result: Ok(()), .. } => {}
            Completion::Routed { result: Err(error), .. } => return Err(Failure::NotRouted { route, error }),
            answer => return Err(Failure::WrongAnswer { answer: Box::new(answer), command: None }),
        }
        match route {
            Route::SetNextHop(hop) => drop(self.next_hops.insert(hop.id)),
            Route::SetVlanFlow(_) => self.has_flows = true,
            Route::RemoveNextHop(_) | Route::RemoveVlanFlow(_) | Route::ClearVlanFlows => {}
        }
        Ok(())
    }

    /// The final counters.
    pub(super) fn remove(&mut self, slot: Slot) -> Result<Counters, Failure> {
        let keys = *self.installed.get(&slot).expect("a case removes what it installed");
        match self.command(&[Command::Remove { slot, keys, note: Note::default() }])?[0] {
            Completion::Removed { result: Ok(counters), .. } => Ok(counters),
            Completion::Removed { slot, result: Err(error) } => Err(Failure::NotRemoved { slot, error }),
            answer => Err(Failure::WrongAnswer { answer: Box::new(answer), command: None }),
        }
    }

    pub(super) fn read(&mut self, slot: Slot) -> Result<Counters, Failure> {
        match self.command(&[Command::Read { slot, token: ReadToken(u64::MAX) }])?[0] {
            Completion::Read { counters, .. } => Ok(counters),
            answer => Err(Failure::WrongAnswer { answer: Box::new(answer), command: None }),
        }
    }

    /// Reads a session's counters and compares them with what `packets` of each direction make.
    pub(super) fn check_counters(&mut self, what: &str, slot: Slot, packets: [&[Vec<u8>]; 2]) -> Result<(), Failure> {
        let found = self.read(slot)?;
        compare_counters(what, found, packets)
    }

    /// Sends the frames and checks what becomes of each, and that the ports count them.
    pub(super) fn exchange(&mut self, steps: Vec<Step>) -> Result<(), Failure> {
        let all = steps.len();
        let steps: Vec<Step> = steps.into_iter().filter(|step| self.rig.carries(&step.frame)).collect();
        self.not_carried += all - steps.len();
        steps.chunks(CONFORMANCE_BURST).try_for_each(|burst| self.burst(burst))
    }

    fn burst(&mut self, steps: &[Step]) -> Result<(), Failure> {
        let before = self.port_counters()?;
        for step in steps {
            self.rig.send(step.ingress, &step.frame);
        }
        let expected = steps.iter().filter(|step| step.expected().is_some()).count();
        let mut received = self.rig.received(expected);
        received.retain(|(_, frame)| is_marked(frame));
        compare_frames(steps, received)?;
        let copies = steps.iter().filter(|step| step.expected_copy().is_some()).count();
        compare_copies(steps, self.rig.copies(copies))?;
        let after = self.port_counters()?;
        self.compare_ports(steps, &before, &after)
    }

    fn port_counters(&mut self) -> Result<Vec<(Port, PortCounters)>, Failure> {
        let found = self.rig.plane().describe().ports;
        let order = self.lifs().into_iter().flat_map(|lif| [Port::wire(lif), Port::firewall(lif)]);
        // The uplink belongs to no LIF.
        let of_lifs = found.iter().filter_map(|port| Some((Port { lif: port.lif?, role: port.role }, port.counters)));
        let ports: Vec<_> = of_lifs.collect();
        if !ports.iter().map(|(port, _)| *port).eq(order) {
            return Err(Failure::Ports { found });
        }
        Ok(ports)
    }

    fn compare_ports(
        &self,
        steps: &[Step],
        before: &[(Port, PortCounters)],
        after: &[(Port, PortCounters)],
    ) -> Result<(), Failure> {
        for ((port, before), (_, after)) in before.iter().zip(after) {
            let found = growth(before, after);
            let expected = expected_growth(*port, steps);
            let fits = if self.rig.has_strays() { covers(*port, &found, &expected) } else { found == expected };
            if !fits {
                let (found, expected) = (Box::new(found), Box::new(expected));
                return Err(Failure::PortCounters { what: words(steps), port: *port, found, expected });
            }
        }
        Ok(())
    }

    /// Has the plane forward until this moment.
    pub(super) fn forward_until(&mut self, until: Moment) {
        self.rig.plane().forward_until(until);
    }

    /// Returns when it is that moment, by the latest of what the rig's clock may be.
    pub(super) fn await_moment(&self, moment: Moment) {
        while *self.now().start() < moment {
            thread::yield_now();
        }
    }

    /// Takes everything out again, lets the plane forward without end and swallows frames that are still on their way.
    pub(super) fn clear(&mut self) -> Result<(), Failure> {
        let slots: Vec<Slot> = self.installed.keys().copied().collect();
        for slot in slots {
            self.remove(slot)?;
        }
        for id in std::mem::take(&mut self.next_hops) {
            self.route(Route::RemoveNextHop(id))?;
        }
        if std::mem::take(&mut self.has_flows) {
            self.route(Route::ClearVlanFlows)?;
        }
        self.forward_until(Moment(u64::MAX));
        self.rig.received(0);
        Ok(())
    }
}

/// Commands that were taken and not answered, by subject, in their order.
#[derive(Debug, Default)]
struct Unanswered {
    by_subject: HashMap<Subject, VecDeque<Command>>,
    count: usize,
}

impl Unanswered {
    fn push(&mut self, command: &Command) {
        self.by_subject.entry(command.subject()).or_default().push_back(*command);
        self.count += 1;
    }

    fn settle(&mut self, answer: &Completion) -> Result<(), Failure> {
        let command = self.by_subject.get_mut(&answer.subject()).and_then(VecDeque::pop_front);
        let fits = match (command, answer) {
            (Some(Command::Install { .. }), Completion::Installed { .. })
            | (Some(Command::Remove { .. }), Completion::Removed { .. })
            | (Some(Command::Forget { .. }), Completion::Forgotten { .. })
            | (Some(Command::Route { .. }), Completion::Routed { .. }) => true,
            (Some(Command::Read { token: asked, .. }), Completion::Read { token, .. }) => asked == *token,
            _ => false,
        };
        if !fits {
            return Err(Failure::WrongAnswer { answer: Box::new(*answer), command: command.map(Box::new) });
        }
        self.count -= 1;
        Ok(())
    }
}

pub(super) fn check_installed(answer: &Completion) -> Result<(), Failure> {
    match *answer {
        Completion::Installed { slot, result: Err(error) } => Err(Failure::NotInstalled { slot, error }),
        _ => Ok(()),
    }
}

/// Compares counters with what `packets` of each direction make. Last-seen is left aside.
pub(super) fn compare_counters(what: &str, found: Counters, packets: [&[Vec<u8>]; 2]) -> Result<(), Failure> {
    let [inward, outward] = packets.map(|frames| {
        let tally = tally(frames.iter().map(Vec::as_slice));
        DirectionCounters { packets: tally.packets, bytes: tally.bytes }
    });
    let expected = Counters { inward, outward, last_seen: found.last_seen };
    let seen = !packets.iter().all(|frames| frames.is_empty());
    if found == expected && found.last_seen.is_some() == seen {
        return Ok(());
    }
    Err(Failure::SessionCounters { what: what.to_owned(), found, expected })
}

fn tally<'f>(frames: impl Iterator<Item = &'f [u8]>) -> Tally {
    frames.fold(Tally::default(), |tally, frame| Tally {
        packets: tally.packets + 1,
        bytes: tally.bytes + u64::try_from(frame.len()).expect("a frame's length fits 64 bits"),
    })
}

fn compare_frames(steps: &[Step], mut received: Vec<(Port, Vec<u8>)>) -> Result<(), Failure> {
    let mut missing = None;
    for step in steps {
        let Some((egress, frame)) = step.expected() else { continue };
        match received.iter().position(|(port, came)| *port == egress && came == frame) {
            Some(index) => drop(received.swap_remove(index)),
            None => missing = missing.or(Some((step, egress, frame))),
        }
    }
    let first = received.first();
    if let Some((step, egress, frame)) = missing {
        let instead = first.map_or_else(
            || "nothing came".to_owned(),
            |(port, came)| format!("there was a frame out of {port}: {}", hexadecimal(came)),
        );
        let (what, frame) = (step.what.clone(), hexadecimal(frame));
        return Err(Failure::FrameMissing { what, ingress: step.ingress, egress, frame, instead });
    }
    match first {
        Some((egress, frame)) => {
            Err(Failure::FrameUnexpected { what: words(steps), egress: *egress, frame: hexadecimal(frame) })
        }
        None => Ok(()),
    }
}

fn compare_copies(steps: &[Step], mut copies: Vec<Vec<u8>>) -> Result<(), Failure> {
    let mut wrong_port = copies.iter().filter(|copy| !copies::has_dynamic_port(copy));
    if let Some(copy) = wrong_port.next() {
        return Err(Failure::CopyUnexpected { what: words(steps), frame: hexadecimal(copy) });
    }
    for copy in &mut copies {
        copies::clear_source_port(copy);
    }
    for step in steps {
        let Some(expected) = step.expected_copy() else { continue };
        let Some(index) = copies.iter().position(|copy| copy == expected) else {
            let found = copies.first().map_or_else(|| "nothing came".to_owned(), |copy| hexadecimal(copy));
            return Err(Failure::CopyMissing { what: step.what.clone(), frame: hexadecimal(expected), found });
        };
        copies.swap_remove(index);
    }
    match copies.first() {
        Some(copy) => Err(Failure::CopyUnexpected { what: words(steps), frame: hexadecimal(copy) }),
        None => Ok(()),
    }
}

fn growth(before: &PortCounters, after: &PortCounters) -> PortCounters {
    let less = |after: Tally, before: Tally| Tally {
        packets: after.packets.wrapping_sub(before.packets),
        bytes: after.bytes.wrapping_sub(before.bytes),
    };
    PortCounters {
        received: less(after.received, before.received),
        forwarded: less(after.forwarded, before.forwarded),
        dropped: less(after.dropped, before.dropped),
        slow_path: std::array::from_fn(|reason| less(after.slow_path[reason], before.slow_path[reason])),
        copied: less(after.copied, before.copied),
        copies_lost: less(after.copies_lost, before.copies_lost),
        too_big_answered: less(after.too_big_answered, before.too_big_answered),
        too_big_dropped: less(after.too_big_dropped, before.too_big_dropped),
        unreachable: less(after.unreachable, before.unreachable),
        refused: std::array::from_fn(|number| less(after.refused[number], before.refused[number])),
    }
}

fn expected_growth(port: Port, steps: &[Step]) -> PortCounters {
    let sum_of = |wanted: &dyn Fn(&Step) -> bool| {
        let steps = steps.iter().filter(|step| step.ingress == port && wanted(step));
        tally(steps.map(|step| step.frame.as_slice()))
    };
    let sum = |wanted: &dyn Fn(&Fate) -> bool| sum_of(&|step| wanted(&step.fate));
    PortCounters {
        received: sum(&|_| true),
        forwarded: sum(&|fate| matches!(fate, Fate::Forwarded(..))),
        dropped: sum(&|fate| *fate == Fate::Dropped),
        copied: sum_of(&|step| matches!(step.copy, Some(CopyFate::Sent(_)))),
        copies_lost: sum_of(&|step| step.copy == Some(CopyFate::Lost)),
        slow_path: SlowPath::ALL.map(|reason| sum(&|fate| matches!(fate, Fate::SlowPath(of, _) if *of == reason))),
        too_big_answered: sum(&|fate| matches!(fate, Fate::Answered(_))),
        too_big_dropped: sum(&|fate| *fate == Fate::TooBig),
        ..PortCounters::default()
    }
}

/// Where frames of others may come in: hits are exact, the rest is at least what was sent and adds up.
fn covers(port: Port, found: &PortCounters, expected: &PortCounters) -> bool {
    let at_least = |a: Tally, b: Tally| a.packets >= b.packets && a.bytes >= b.bytes;
    let sum = found.fates().sum();
    found.forwarded == expected.forwarded
        && found.dropped == expected.dropped
        && (found.copied, found.copies_lost) == (expected.copied, expected.copies_lost)
        && found.too_big_answered == expected.too_big_answered
        && at_least(found.too_big_dropped, expected.too_big_dropped)
        && at_least(found.received, expected.received)
        && found.slow_path.iter().zip(&expected.slow_path).all(|(a, b)| at_least(*a, *b))
        && (found.received == sum || port.role == PortRole::Firewall)
}

fn words(steps: &[Step]) -> String {
    match steps {
        [] => "nothing".to_owned(),
        [one] => one.what.clone(),
        [first, .., last] => format!("{} frames from {} to {}", steps.len(), first.what, last.what),
    }
}

fn hexadecimal(frame: &[u8]) -> String {
    frame.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
