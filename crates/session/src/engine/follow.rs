//! A session table that follows another device's: it has its sessions, on a plane of its own, and never ages, decides or reports. And how it
//! comes to lead.
//!
//! Changes come in the order in which they happened. What does not fit what is there means that something was missed: then the table
//! is emptied and told everything anew. What must not be here: who leads (`ha`).

use std::collections::VecDeque;

use super::admit::{BatchPlace, rules};
use super::lead::Duty;
use super::lifecycle::{Outcome, Session};
use super::note;
use super::{Engine, Event};
use crate::ha::change::{Change, Fate, Name, Part};
use crate::limits;
use crate::plane::{Command, Slot};
use crate::request::AddError;
use crate::state::{self, State};
use crate::types::{Action, CloseReason, ClosedRecord, Counters, Moment, SessionSpec};

/// A change that does not fit what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Diverged {
    /// A number is in use.
    #[error("session {0:?} is told, and another one has its number")]
    IdExists(Name),
    /// A key is in use.
    #[error("session {0:?} is told, and {1:?} has one of its keys")]
    KeyExists(Name, Name),
    /// Something is told of a session, and here is another one with its number.
    #[error("session {0:?} is told of, and {1:?} has its number")]
    OtherVersion(Name, Name),
    /// A session was reported that had not been told to end.
    #[error("session {0:?} is gone, and was to go on")]
    StillLives(Name),
}

/// What became of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Applied {
    /// It is in force, or will be when the plane has answered for this slot.
    Yes(Option<Slot>),
    /// There is no room for it yet: here it is again.
    NotYet(Box<Change>),
}

/// A table that comes to lead, or that is told everything anew, goes through its sessions: so many at a time that nobody waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    next: Slot,
    errand: Errand,
}

/// What becomes of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Errand {
    /// They go on.
    GoOn,
    /// They end, and are reported.
    Close,
    /// They end without a word.
    Drop,
}

impl Engine {
    /// From here on it follows another table. Nobody who has asked it something is answered any more.
    pub fn follow(&mut self) {
        self.set_duty(Duty::Follows);
        self.take_awaiting();
        for slot in (0..self.table.slots()).map(Slot) {
            let Some(session) = self.table.get_mut(slot).filter(|session| session.state.is_ending()) else { continue };
            let ending = session.ending_mut();
            ending.awaits_peer = false;
            // Nobody gets the answer any more.
            if let Outcome::Deleted { .. } = ending.outcome {
                ending.outcome = Outcome::Closed(CloseReason::Deleted);
            }
            self.let_go(slot);
        }
        self.batches.end_all();
        self.queries = super::query::Queries::after(&self.queries);
        self.sweeps.end_all();
        self.walk = None;
        self.replies.clear();
        self.closed.reclaim();
    }

    /// From here on it leads. Its sessions go on, with what both devices have counted; or, when it does not know whether the other one
    /// had closed some of them, each is closed and reported. `confirms` is as in [`set_confirms`](Self::set_confirms).
    pub fn lead(&mut self, now: Moment, keeps: bool, confirms: bool) {
        self.set_duty(Duty::Leads);
        self.set_confirms(now, confirms);
        for record in std::mem::take(&mut self.follow.put_off) {
            if let (Some(sequence), _) = self.append_closed(record, None) {
                self.tell(Change::Record(ClosedRecord { sequence, ..record }));
            }
        }
        self.set_out(now, if keeps { Errand::GoOn } else { Errand::Close });
    }

    /// Takes everything out, and reports nothing: what another table has takes its place, when that [is done](Self::is_walking).
    pub fn empty(&mut self, now: Moment) {
        self.follow.put_off.clear();
        self.closed.end_all();
        self.clear_routes(now);
        self.set_out(now, Errand::Drop);
    }

    fn set_out(&mut self, now: Moment, errand: Errand) {
        self.walk = Some(Walk { next: Slot(0), errand });
        self.walk_on(now);
    }

    /// True while it goes through its sessions.
    pub const fn is_walking(&self) -> bool {
        self.walk.is_some()
    }

    /// True when it can go on without an answer of the plane.
    pub(super) fn can_walk_on(&self) -> bool {
        self.walk.is_some() && self.commands.len() < limits::PEER_COMMANDS
    }

    /// The sessions of some slots.
    pub(super) fn walk_on(&mut self, now: Moment) {
        let Some(Walk { next, errand }) = self.walk.filter(|_| self.can_walk_on()) else { return };
        let end = next.0.saturating_add(limits::WALK_STEP).min(self.table.slots());
        self.walk = (end < self.table.slots()).then_some(Walk { next: Slot(end), errand });
        for slot in (next.0..end).map(Slot) {
            match errand {
                Errand::GoOn => self.go_on_with(now, slot),
                Errand::Close => self.close_unknown(now, slot),
                Errand::Drop => self.drop_silently(now, slot),
            }
        }
    }

    /// What was left to the other table is decided here from now on.
    fn go_on_with(&mut self, now: Moment, slot: Slot) {
        let Some(session) = self.table.get(slot) else { return };
        if matches!(session.state, State::Established | State::Detached) {
            let deadline = session.deadline(&self.shares.sum(slot, session.ending().kept));
            self.wheel.arm(slot, deadline);
        } else if session.state.is_ending() {
            self.report_for_other(now, slot);
        }
    }

    /// The other table may have closed it since.
    fn close_unknown(&mut self, now: Moment, slot: Slot) {
        let Some(session) = self.table.get(slot) else { return };
        let (is_ending, is_silent) = (session.state.is_ending(), session.ending().outcome == Outcome::Silent);
        self.purge(slot);
        if is_ending {
            self.report_for_other(now, slot);
        } else if is_silent {
            self.doom(now, slot, Outcome::Closed(CloseReason::Reset));
        }
    }

    /// One that the other table was to report: it may not have let it go.
    fn report_for_other(&mut self, now: Moment, slot: Slot) {
        self.tell_fate(slot);
        let Some(session) = self.table.get(slot) else { return };
        if session.state == State::Parked && !session.ending().awaits_peer {
            self.apply(now, slot, state::Event::PeerDone);
        }
    }

    fn drop_silently(&mut self, now: Moment, slot: Slot) {
        self.purge(slot);
        let Some(session) = self.table.get_mut(slot) else { return };
        match session.state {
            State::Parked => self.apply(now, slot, state::Event::Reported),
            State::Doomed | State::Closing => session.ending_mut().outcome = Outcome::Silent,
            _ => self.doom(now, slot, Outcome::Silent),
        }
    }

    pub(super) fn put_off(&mut self, record: ClosedRecord) {
        self.follow.put_off.push(record);
    }

    /// It is, or may be, on this device's plane, and should not.
    fn purge(&mut self, slot: Slot) {
        let Some(session) = self.table.get_mut(slot).filter(|session| session.state != State::Parked) else { return };
        let ending = session.ending_mut();
        if !ending.is_purged {
            ending.is_purged = true;
            self.purging += 1;
        }
    }

    /// It is off this device's plane.
    pub(super) fn end_purge(&mut self, slot: Slot) {
        if self.purging > 0
            && let Some(session) = self.table.get_mut(slot)
        {
            self.purging -= usize::from(std::mem::take(&mut session.ending_mut().is_purged));
        }
    }

    /// True while there are sessions on the plane, or may be, that the active before this one may have closed.
    pub fn is_purging(&self) -> bool {
        self.purging > 0 || self.walk.is_some_and(|walk| walk.errand != Errand::GoOn)
    }

    /// The plane need not be asked again to take it in.
    pub(super) fn unplace(&mut self, now: Moment, slot: Slot) {
        self.table.release_keys(slot);
        self.apply(now, slot, state::Event::Unplaced);
    }

    /// The plane is asked once more to take in what it has put off.
    pub(super) fn install_again(&mut self, slot: Slot) {
        let Some(session) = self.table.get_mut(slot) else { return };
        session.ending_mut().is_unplaced = false;
        let (spec, started) = (session.packed.spec(session.timeout_seconds), session.started);
        let rules = rules(&spec, &self.table.keys_of(&spec));
        let note = note::write(&spec, started, note::Fate::Lives);
        self.commands.push_back(Command::Install { slot, rules, note });
    }

    /// Ends it as soon as that is possible: one that is being installed can't.
    fn doom(&mut self, now: Moment, slot: Slot, outcome: Outcome) {
        let Some(session) = self.table.get_mut(slot) else { return };
        let ending = session.ending_mut();
        ending.outcome = outcome;
        ending.is_doomed = true;
        self.close_if_swept(now, slot);
    }

    /// One change of the table that it follows, by this device's clock.
    pub fn apply_change(&mut self, now: Moment, change: Change) -> Result<Applied, Diverged> {
        match change {
            Change::Session { spec, started, fate } => return self.apply_session(now, spec, started, fate),
            Change::Fate { name, fate } => {
                self.check_version(name)?;
                return Ok(Applied::Yes(self.apply_fate(now, name, fate)));
            }
            Change::Gone { name, record } => self.apply_gone(now, name, record)?,
            Change::Record(record) => self.take_record(record),
            Change::Ended { sequence } => self.closed.end_elsewhere(sequence),
            Change::NextHop(hop) => self.follow_next_hop(hop),
            Change::NextHopGone(id) => self.follow_next_hop_gone(now, id),
            Change::NextHopsGone => self.follow_next_hops_gone(now),
            Change::VlanFlow(flow) => self.follow_vlan_flow(flow),
            Change::VlanFlowGone(vlan) => self.follow_vlan_flow_gone(vlan),
            Change::VlanFlowsGone => self.follow_vlan_flows_gone(),
        }
        Ok(Applied::Yes(None))
    }

    fn apply_session(
        &mut self,
        now: Moment,
        spec: SessionSpec,
        started: Moment,
        fate: Fate,
    ) -> Result<Applied, Diverged> {
        let name = Name { id: spec.id, version: started };
        if let Some(slot) = self.table.by_id(spec.id) {
            let session = self.table.get(slot).expect("the index names entries");
            if session.started == started {
                return Ok(Applied::Yes(self.apply_fate(now, name, fate)));
            }
            // One that goes silently is none of the other table's, and in nobody's way for long.
            if session.state.is_ending() && session.ending().outcome == Outcome::Silent || session.ending().is_doomed {
                return Ok(not_yet(spec, started, fate));
            }
            return Err(Diverged::IdExists(name));
        }
        if self.table.taken() >= self.policy.capacity as usize {
            // What the other table has no more may still be on its way out here.
            if self.purging > 0 || self.owed > 0 || self.retrying > 0 || !self.commands.is_empty() {
                return Ok(not_yet(spec, started, fate));
            }
            if let Fate::Closes(_) = fate {
                self.follow.let_go.push_back(Part { name, counters: Counters::default() });
            }
            self.statistics.unfollowed += 1;
            self.events.push_back(Event::NotFollowed { id: spec.id, why: Some(AddError::TableFull) });
            return Ok(Applied::Yes(None));
        }
        let keys = self.table.keys_of(&spec);
        if fate != Fate::Lives {
            let state = if fate == Fate::Waits { State::Detached } else { State::Parked };
            let outcome = if let Fate::Closes(reason) = fate { Outcome::Closed(reason) } else { Outcome::Silent };
            let mut session = Session::adopted(spec, started, state, outcome);
            session.ending_mut().is_unplaced = true;
            let slot = self.table.insert_without_keys(session);
            self.let_go(slot);
            return Ok(Applied::Yes(None));
        }
        // A next hop may be missing there as well: the plane of either could not set it.
        if let Err(error) = self.policy.check(&spec, &keys, &self.routing)
            && !matches!(error, AddError::NoNextHop { .. })
        {
            self.statistics.unfollowed += 1;
            self.events.push_back(Event::NotFollowed { id: spec.id, why: Some(error) });
            return Ok(Applied::Yes(None));
        }
        if let Some(owner) = keys.iter().find_map(|key| self.table.owner(key)) {
            let owner = self.table.get(owner).expect("the index names entries");
            if owner.ending().is_doomed {
                return Ok(not_yet(spec, started, fate));
            }
            return Err(Diverged::KeyExists(name, owner.name()));
        }
        let rules = rules(&spec, &keys);
        let note = note::write(&spec, started, note::Fate::Lives);
        let links = if let Action::Route(links) = &spec.action { Some(**links) } else { None };
        let slot = self.table.insert(Session::installing(started, spec, BatchPlace::NONE), &keys);
        if let Some(links) = links {
            self.routing.refer(slot, &links);
        }
        self.commands.push_back(Command::Install { slot, rules, note });
        Ok(Applied::Yes(Some(slot)))
    }

    /// A session that is told of is the one with its number, or not here at all.
    fn check_version(&self, name: Name) -> Result<(), Diverged> {
        let Some(session) = self.table.by_id(name.id).and_then(|slot| self.table.get(slot)) else { return Ok(()) };
        let is_other = session.started != name.version && !session.ending().is_doomed;
        if is_other { Err(Diverged::OtherVersion(name, session.name())) } else { Ok(()) }
    }

    /// Fates go one way. The slot, where its plane has something to do.
    fn apply_fate(&mut self, now: Moment, name: Name, fate: Fate) -> Option<Slot> {
        let Some(slot) = self.named(name) else {
            // One that this device could not take in, or has let go before it was asked again.
            if matches!(fate, Fate::Closes(_)) {
                self.follow.let_go.push_back(Part { name, counters: Counters::default() });
            }
            return None;
        };
        let session = self.table.get_mut(slot)?;
        match fate {
            Fate::Lives => {}
            Fate::Waits if matches!(session.state, State::Installing | State::Established) => self.supersede(now, slot),
            Fate::Waits => return None,
            Fate::Closes(reason) => match session.state {
                State::Doomed | State::Closing => {}
                State::Parked => {
                    self.let_go(slot);
                    return None;
                }
                _ => self.doom(now, slot, Outcome::Closed(reason)),
            },
        }
        Some(slot)
    }

    fn apply_gone(&mut self, now: Moment, name: Name, record: Option<ClosedRecord>) -> Result<(), Diverged> {
        if let Some(record) = record {
            self.take_record(record);
        }
        self.check_version(name)?;
        let Some(slot) = self.named(name) else { return Ok(()) };
        let session = self.table.get_mut(slot).expect("the index names entries");
        match session.state {
            State::Parked => self.apply(now, slot, state::Event::Reported),
            _ if session.ending().outcome == Outcome::Silent => return Err(Diverged::StillLives(name)),
            _ => session.ending_mut().outcome = Outcome::Silent,
        }
        Ok(())
    }

    fn take_record(&mut self, record: ClosedRecord) {
        if let Some(lost) = self.closed.append_as_it_is(record, None).lost {
            self.statistics.closed_lost += 1;
            self.events.push_back(Event::RecordLost(lost));
        }
    }

    /// The plane has let a session go that the other table has to report.
    pub(super) fn let_go(&mut self, slot: Slot) {
        if self.lead.duty != Duty::Follows {
            return;
        }
        let Some(session) = self.table.get(slot).filter(|session| session.state == State::Parked) else { return };
        let part = Part { name: session.name(), counters: self.shares.part(slot, session.ending().kept) };
        self.follow.let_go.push_back(part);
    }

    /// What was told of sessions that were let go may not have come: it is told again.
    pub fn tell_let_go_again(&mut self) {
        self.follow.let_go.clear();
        (0..self.table.slots()).map(Slot).for_each(|slot| self.let_go(slot));
    }

    /// The next session that this device's plane has let go, and what it has counted of it.
    pub fn poll_let_go(&mut self) -> Option<Part> {
        self.follow.let_go.pop_front()
    }

    /// True while the plane has not answered for this slot.
    pub fn is_under_way(&self, slot: Slot) -> bool {
        self.table.get(slot).is_some_and(|session| {
            matches!(
                session.state,
                State::Installing | State::Overtaken | State::Detaching | State::Doomed | State::Closing
            )
        })
    }
}

/// To be applied again.
fn not_yet(spec: SessionSpec, started: Moment, fate: Fate) -> Applied {
    Applied::NotYet(Box::new(Change::Session { spec, started, fate }))
}

/// What a table that follows has to tell.
#[derive(Debug, Default)]
pub(super) struct Follow {
    let_go: VecDeque<Part>,
    /// What a process before this one has left to be reported: it is, if this table comes to lead before it is told what there is.
    put_off: Vec<ClosedRecord>,
}
