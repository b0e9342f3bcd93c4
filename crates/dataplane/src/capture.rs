//! A plane that notes what is said to it and what it answers.
//!
//! What must not be here: frames (see [`crate::pcap`]), judgement of what was said.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use opof_session::l3::{NextHop, VlanFlow};
use opof_session::plane::{Capabilities, Command, Completion, Found, Note, Slot};
use opof_session::types::{Counters, Moment};

use crate::{DataPlane, Description};

/// One thing that was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// When: of a command, the time it was submitted; of a completion, the time of the latest submit before it, for a
    /// poll is not told the time.
    pub at: Moment,
    /// What.
    pub what: Said,
}

/// What was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "a ring of them is made once, and copied from nowhere")]
pub enum Said {
    /// To the plane, and the plane took it.
    Command(Command),
    /// By the plane.
    Completion(Completion),
}

/// Decorates a plane with a [`Tape`].
#[derive(Debug)]
pub struct Captured<D> {
    plane: D,
    now: Moment,
    tape: Tape,
}

/// The latest things that were said, oldest first. Clones are the same tape.
#[derive(Clone, Debug)]
pub struct Tape {
    shared: Arc<Mutex<Ring>>,
}

#[derive(Debug)]
struct Ring {
    records: VecDeque<Record>,
    room: NonZeroUsize,
    overwritten: u64,
}

impl<D: DataPlane> Captured<D> {
    /// Notes the latest `room` things that are said to and by `plane`.
    pub fn new(plane: D, room: NonZeroUsize) -> (Self, Tape) {
        let ring = Ring { records: VecDeque::new(), room, overwritten: 0 };
        let tape = Tape { shared: Arc::new(Mutex::new(ring)) };
        (Self { plane, now: Moment::default(), tape: tape.clone() }, tape)
    }
}

impl Tape {
    /// Everything that is on it.
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.iter().copied().collect()
    }

    /// How many records had to make room for later ones.
    pub fn overwritten(&self) -> u64 {
        self.lock().overwritten
    }

    fn extend(&self, at: Moment, said: impl Iterator<Item = Said>) {
        let mut ring = self.lock();
        for what in said {
            if ring.records.len() == ring.room.get() {
                ring.records.pop_front();
                ring.overwritten += 1;
            }
            ring.records.push_back(Record { at, what });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.shared.lock().expect("nothing that holds the tape panics")
    }
}

impl<D: DataPlane> DataPlane for Captured<D> {
    fn capabilities(&self) -> Capabilities {
        self.plane.capabilities()
    }

    fn submit(&mut self, now: Moment, commands: &[Command]) -> usize {
        self.now = now;
        let taken = self.plane.submit(now, commands);
        self.tape.extend(now, commands[..taken].iter().map(|command| Said::Command(*command)));
        taken
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        let before = completions.len();
        let poll = self.plane.poll(context, completions);
        self.tape.extend(self.now, completions[before..].iter().map(|completion| Said::Completion(*completion)));
        poll
    }

    fn found(&mut self, each: &mut dyn FnMut(&Found)) {
        self.plane.found(each);
    }

    fn found_routes(&mut self) -> (Vec<NextHop>, Vec<VlanFlow>) {
        self.plane.found_routes()
    }

    fn purge(&mut self, slots: &[Slot]) {
        self.plane.purge(slots);
    }

    fn departed(&mut self, each: &mut dyn FnMut(&Note, Counters)) {
        self.plane.departed(each);
    }

    fn stay(&mut self) {
        self.plane.stay();
    }

    fn forward_until(&mut self, until: Moment) {
        self.plane.forward_until(until);
    }

    fn describe(&self) -> Description {
        self.plane.describe()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use opof_session::plane::{FastAction, ReadToken, Rule};
    use opof_session::types::{Lif, MatchKey};
    use opof_wire::Transport;

    use super::*;
    use crate::SimPlane;
    use crate::conformance::frames::{Family, flow};

    const LIF: Lif = Lif::new(1).unwrap();
    const READ: Command = Command::Read { slot: Slot(0), token: ReadToken(5) };

    fn install() -> Command {
        let flow = flow(Family::V4, Transport::Tcp, 0, 1);
        let rule = |flow| Rule { key: MatchKey { lif: LIF, flow }, action: FastAction::Drop };
        Command::Install { slot: Slot(0), rules: [rule(flow), rule(flow.reversed())], note: Note::default() }
    }

    fn poll(plane: &mut impl DataPlane) {
        let _ = plane.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new());
    }

    #[test]
    fn what_was_said_is_on_the_tape_with_its_time() {
        let (plane, _) = SimPlane::new(&[LIF], 1);
        let (mut plane, tape) = Captured::new(plane, NonZeroUsize::new(10).unwrap());
        plane.submit(Moment(3), &[install()]);
        plane.submit(Moment(4), &[]);
        poll(&mut plane);
        poll(&mut plane);
        let installed = Completion::Installed { slot: Slot(0), result: Ok(()) };
        let expected = [
            Record { at: Moment(3), what: Said::Command(install()) },
            Record { at: Moment(4), what: Said::Completion(installed) },
        ];
        assert_eq!(tape.records(), expected);
        assert_eq!(tape.overwritten(), 0);
    }

    #[test]
    fn the_oldest_makes_room() {
        let (plane, _) = SimPlane::new(&[LIF], 1);
        let (mut plane, tape) = Captured::new(plane, NonZeroUsize::new(2).unwrap());
        plane.submit(Moment(1), &[install(), READ, READ]);
        assert_eq!(tape.records(), [Record { at: Moment(1), what: Said::Command(READ) }; 2]);
        assert_eq!(tape.overwritten(), 1);
    }

    #[test]
    fn what_was_not_taken_was_not_said() {
        let (plane, _) = SimPlane::new(&[LIF], 1);
        let (mut plane, tape) = Captured::new(plane, NonZeroUsize::MAX);
        plane.submit(Moment(1), &[install()]);
        let taken = plane.submit(Moment(1), &vec![READ; 5000]);
        assert!(taken < 5000, "the simulated plane has a bound");
        assert_eq!(tape.records().len(), 1 + taken);
    }
}
