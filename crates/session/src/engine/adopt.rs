//! Going on with what a plane has kept from an engine before this one.
//!
//! A session that was forwarded is forwarded still, and goes on; one that was on its way out is taken out as it would have been, and is
//! reported as it would have been. One whose adding was not finished was never promised to anybody: it goes. What must not be here:
//! how a plane keeps anything.

use super::Engine;
use super::admit::rules;
use super::lifecycle::{Outcome, Session};
use super::note::{self, Fate};
use crate::l3::{NextHop, VlanFlow};
use crate::plane::{Command, Found, Note, Slot};
use crate::state::State;
use crate::types::{Action, CloseReason, ClosedRecord, Counters, Moment, SessionId};

/// Why the engine can't go on with a session. The plane is to take it out, and nobody hears of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Unadoptable {
    /// Another version wrote the note, or the two are not of one session.
    #[error("note and rules are not those of a session")]
    NoSession,
    /// The table is smaller than it was.
    #[error("its slot is beyond the table")]
    NoRoom,
    /// Two have one number.
    #[error("another session has the number {0}")]
    IdExists(SessionId),
    /// Two have one key.
    #[error("session {0} has one of its keys")]
    KeyExists(SessionId),
}

impl Engine {
    /// Goes on with next hops and VLAN flows that a plane has, before anything else is done with this engine. What there is no room
    /// for is taken off the plane.
    pub fn adopt_routes(
        &mut self,
        next_hops: impl IntoIterator<Item = NextHop>,
        vlan_flows: impl IntoIterator<Item = VlanFlow>,
    ) {
        self.routing.adopt(next_hops, vlan_flows);
    }

    /// Goes on with a session that a plane has found, behind [`adopt_routes`](Self::adopt_routes) and before anything else. One with
    /// which it can't is to be taken out by the plane before that is given a command. Behind the last one comes
    /// [`end_adoption`](Self::end_adoption).
    pub fn adopt(&mut self, now: Moment, found: &Found) -> Result<(), Unadoptable> {
        let Found { slot, counters, .. } = *found;
        if slot.0 >= self.policy.capacity {
            return Err(Unadoptable::NoRoom);
        }
        let (mut spec, started, fate) = note::read(&found.note, &found.rules).ok_or(Unadoptable::NoSession)?;
        let keys = self.table.keys_of(&spec);
        if keys[0] == keys[1] || rules(&spec, &keys) != found.rules || self.table.get(slot).is_some() {
            return Err(Unadoptable::NoSession);
        }
        let fate = match fate {
            Fate::Lives if found.forwarded != [true; 2] => Fate::Goes,
            // An interface has gone, or something that the plane could do.
            Fate::Lives if self.policy.check(&spec, &keys, &self.routing).is_err() => Fate::Closes(CloseReason::Reset),
            // Whoever reported it could not have it forgotten any more.
            Fate::Closes(_) | Fate::Waits if self.closed.was_restored(spec.id, started) => Fate::Goes,
            fate => fate,
        };
        if found.forwarded == [false; 2] {
            match fate {
                Fate::Goes | Fate::Closes(_) => {
                    self.finish(now, slot, spec.id, started, counters, fate);
                    return Ok(());
                }
                Fate::Lives | Fate::Waits => {}
            }
        }
        if self.table.by_id(spec.id).is_some() {
            return Err(Unadoptable::IdExists(spec.id));
        }
        let owner = keys.iter().find_map(|key| self.table.owner(key));
        if let Some(owner) = owner.filter(|_| fate == Fate::Lives) {
            let owner = self.table.get(owner).expect("the index names entries");
            return Err(Unadoptable::KeyExists(owner.packed.id()));
        }
        spec.timeout_seconds = self.policy.clamp(spec.timeout_seconds);
        // A note of the future would keep its session for as long as that is away.
        let started = if started.is_after(now) { now } else { started };
        let (state, outcome) = match fate {
            Fate::Lives => (State::Established, Outcome::Silent),
            Fate::Waits => (State::Detaching, Outcome::Silent),
            Fate::Goes => (State::Closing, Outcome::Silent),
            Fate::Closes(reason) => (State::Closing, Outcome::Closed(reason)),
        };
        let links = if let Action::Route(links) = &spec.action { Some(**links) } else { None };
        let session = Session::adopted(spec, started, state, outcome);
        let deadline = session.deadline(&counters);
        self.table.insert_at(slot, session, (fate == Fate::Lives).then_some(&keys));
        if let Some(links) = links {
            self.routing.refer(slot, &links);
        }
        if fate == Fate::Lives {
            self.statistics.adopted += 1;
            self.wheel.arm(slot, deadline);
        } else {
            self.remove_from_plane(slot);
        }
        Ok(())
    }

    /// One that is removed already has no number any more: that may be another one's. Only what is left to be done is done.
    fn finish(&mut self, now: Moment, slot: Slot, id: SessionId, started: Moment, counters: Counters, fate: Fate) {
        let record = |reason| ClosedRecord { sequence: 0, id, counters, started, ended: now, reason };
        let is_held = matches!(fate, Fate::Closes(reason) if self.close(record(reason), Some(slot)).1);
        if is_held {
            self.table.hold_at(slot);
        } else {
            self.commands.push_back(Command::Forget { slot });
        }
    }

    /// Reports a session that a plane has found and nobody can go on with, for it is forwarded no more: as closed, with its last counters.
    /// False when the note is none, or the session was never promised to anybody.
    pub fn report_departed(&mut self, now: Moment, note: &Note, counters: Counters) -> bool {
        let Some((id, started, fate)) = note::summary(note) else { return false };
        let reason = match fate {
            Fate::Lives | Fate::Waits => CloseReason::Reset,
            Fate::Closes(reason) => reason,
            Fate::Goes => return false,
        };
        if !self.closed.was_restored(id, started) {
            self.close(ClosedRecord { sequence: 0, id, counters, started, ended: now, reason }, None);
        }
        true
    }

    /// From here on this engine is like any other.
    pub fn end_adoption(&mut self) {
        self.table.find_free();
        self.closed.end_restoring();
    }
}
