//! A session table whose changes another device follows: what it has to be told, and what this one waits for.
//!
//! The standby has a plane of its own, and may be forwarding. So a session that ends is reported when both planes have let it go, and with what
//! both have counted. What must not be here: how changes get to the standby, and whether it is still one (`ha`).

use std::collections::{BTreeSet, VecDeque};

use super::lifecycle::{Ending, Outcome, Session};
use super::{Engine, note};
use crate::ha::change::{Change, Fate, Name, Part};
use crate::ha::rest::Rest;
use crate::plane::{Command, ReadToken, Slot};
use crate::planted::{self, Bug};
use crate::state::{self, State};
use crate::types::{ClosedRecord, Counters, Moment};

/// What this table is to another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Duty {
    /// There is no other.
    #[default]
    Alone,
    /// The other one follows it.
    Leads,
    /// It follows the other one: it never ages, decides or reports.
    Follows,
}

/// What there is to tell a standby, and what of it is waited for.
#[derive(Debug, Default)]
pub(super) struct Lead {
    pub(super) duty: Duty,
    /// The standby is heard before a session is reported.
    confirms: bool,
    /// Sessions that wait for it.
    awaiting: BTreeSet<Slot>,
    changes: VecDeque<Change>,
    /// What was read for the peer.
    parts: Vec<Part>,
    /// Reads of that kind under way.
    reads: usize,
}

/// Set in the tokens of reads for the peer, beside the moment since which a session must have seen a packet to be told of.
const COUNTING: u64 = 1 << 62;

/// The moment behind a token of such a read.
pub(super) const fn asked_for_peer(token: ReadToken) -> Option<Moment> {
    if token.0 >> 62 == 1 { Some(Moment(token.0 & !COUNTING)) } else { None }
}

impl Lead {
    pub(super) fn awaits_nothing(&self) -> bool {
        self.awaiting.is_empty() && self.changes.is_empty()
    }
}

impl Session {
    pub(super) fn name(&self) -> Name {
        Name { id: self.packed.id(), version: self.started }
    }
}

/// What a standby has to know of it; nothing of one that was promised to nobody.
const fn told(fate: note::Fate) -> Option<Fate> {
    match fate {
        note::Fate::Lives => Some(Fate::Lives),
        note::Fate::Waits => Some(Fate::Waits),
        note::Fate::Closes(reason) => Some(Fate::Closes(reason)),
        note::Fate::Goes => None,
    }
}

impl Engine {
    /// What this table is to another one.
    pub const fn duty(&self) -> Duty {
        self.lead.duty
    }

    /// The next change that the standby has to be told of.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.lead.changes.pop_front()
    }

    /// Whether the standby has to be heard before a session is reported. When not any more, those that waited for it are.
    pub fn set_confirms(&mut self, now: Moment, confirms: bool) {
        self.lead.confirms = confirms;
        if !confirms {
            for slot in std::mem::take(&mut self.lead.awaiting) {
                self.peer_done(now, slot);
            }
        }
    }

    /// Sessions that wait for the standby.
    pub fn awaiting(&self) -> usize {
        self.lead.awaiting.len()
    }

    /// The standby's plane has let a session go, and has counted so much of it.
    pub fn let_go_by_peer(&mut self, now: Moment, part: Part) {
        self.counted_by_peer(part);
        if let Some(slot) = self.named(part.name)
            && self.lead.awaiting.remove(&slot)
        {
            self.peer_done(now, slot);
        }
    }

    /// What the peer's plane has counted of a session.
    pub fn counted_by_peer(&mut self, part: Part) {
        if let Some(slot) = self.named(part.name) {
            self.shares.tell(slot, part.counters);
        }
    }

    fn peer_done(&mut self, now: Moment, slot: Slot) {
        let Some(session) = self.table.get_mut(slot) else { return };
        session.ending_mut().awaits_peer = false;
        if session.state == State::Parked {
            self.apply(now, slot, state::Event::PeerDone);
        }
    }

    pub(super) fn named(&self, name: Name) -> Option<Slot> {
        let slot = self.table.by_id(name.id)?;
        self.table.get(slot).is_some_and(|session| session.started == name.version).then_some(slot)
    }

    pub(super) fn tell(&mut self, change: Change) {
        if self.lead.duty == Duty::Leads {
            self.lead.changes.push_back(change);
        }
    }

    /// A session was taken in.
    pub(super) fn tell_session(&mut self, slot: Slot) {
        if self.lead.duty == Duty::Leads
            && let Some(change) = self.session_change(slot)
        {
            self.lead.changes.push_back(change);
        }
    }

    /// Something else is to become of it, and its plane is being told.
    pub(super) fn tell_fate(&mut self, slot: Slot) {
        if self.lead.duty != Duty::Leads {
            return;
        }
        let Some(session) = self.table.get_mut(slot) else { return };
        let (name, fate) = (session.name(), told(session.fate()));
        // Nobody has been told of one that is being installed.
        let Some(fate) = fate.filter(|_| session.state != State::Overtaken) else { return };
        if matches!(fate, Fate::Closes(_)) && self.lead.confirms && !planted::is(Bug::Pair) {
            session.ending_mut().awaits_peer = true;
            self.lead.awaiting.insert(slot);
        }
        self.lead.changes.push_back(Change::Fate { name, fate });
    }

    fn session_change(&self, slot: Slot) -> Option<Change> {
        let session = self.table.get(slot)?;
        let fate = told(session.fate())?;
        let spec = session.packed.spec(session.timeout_seconds);
        Some(Change::Session { spec, started: session.started, fate })
    }

    /// Sessions as they are, from a slot on, so many slots of them; where to go on. What happens to them is told as
    /// for others, so this is for a standby that has been told everything so far. Each of them it begins anew.
    pub fn sessions_from(&mut self, from: Slot, slots: u32) -> (Vec<Change>, Option<Slot>) {
        let end = from.0.saturating_add(slots).min(self.table.slots());
        let mut found = Vec::new();
        for slot in (from.0..end).map(Slot) {
            let is_known = self
                .table
                .get(slot)
                .is_some_and(|session| !matches!(session.state, State::Installing | State::Overtaken));
            if is_known {
                self.shares.fold(slot);
                found.extend(self.session_change(slot));
            }
        }
        (found, (end < self.table.slots()).then_some(Slot(end)))
    }

    /// What sessions refer to, and all closed records.
    pub fn rest(&self) -> Rest {
        let records = self.closed.records().into_iter().map(|record| (record.sequence, record)).collect();
        self.routing.rest(records)
    }

    /// Has the counters of sessions read for the peer, from a slot on, so many slots of them: of those that have seen a packet
    /// since then. Where to go on.
    pub fn count_from(&mut self, from: Slot, slots: u32, since: Moment) -> Option<Slot> {
        let end = from.0.saturating_add(slots).min(self.table.slots());
        for slot in (from.0..end).map(Slot) {
            if self.table.get(slot).is_some_and(|session| session.state == State::Established) {
                self.lead.reads += 1;
                self.commands.push_back(Command::Read { slot, token: ReadToken(COUNTING | since.0) });
            }
        }
        (end < self.table.slots()).then_some(Slot(end))
    }

    /// Such reads that the plane has not answered.
    pub const fn counts_under_way(&self) -> usize {
        self.lead.reads
    }

    /// What was read, for the peer.
    pub fn take_parts(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.lead.parts)
    }

    pub(super) fn counted_for_peer(&mut self, since: Moment, slot: Slot, own: Counters) {
        self.lead.reads -= 1;
        let Some(session) = self.table.get(slot) else { return };
        let part = self.shares.part(slot, own);
        if part.last_seen.is_some_and(|seen| !since.is_after(seen)) && session.state == State::Established {
            self.lead.parts.push(Part { name: session.name(), counters: part });
        }
    }

    /// True when a session that its plane has let go can't be reported yet, or not by this table.
    pub(super) fn is_to_be_parked(&self, session: &Session) -> bool {
        let is_waiting = |ending: &Ending| ending.awaits_peer || self.lead.duty == Duty::Follows;
        session.state == State::Closing
            && session.ending.as_deref().is_some_and(|ending| ending.outcome != Outcome::Silent && is_waiting(ending))
    }

    /// A session has ended, and whoever was to know does; by the record with this sequence, if by one.
    pub(super) fn tell_gone(&mut self, name: Name, record: Option<ClosedRecord>, sequence: Option<u64>) {
        if self.lead.duty == Duty::Leads {
            let record = record.zip(sequence).map(|(record, sequence)| ClosedRecord { sequence, ..record });
            self.lead.changes.push_back(Change::Gone { name, record });
        }
    }

    /// The number of the next closed record is at least this.
    pub fn begin_records_at(&mut self, sequence: u64) {
        self.closed.begin_at(sequence);
    }

    pub(super) fn set_duty(&mut self, duty: Duty) {
        self.lead.duty = duty;
        self.lead.changes.clear();
        self.lead.confirms = false;
    }

    pub(super) fn take_awaiting(&mut self) -> BTreeSet<Slot> {
        std::mem::take(&mut self.lead.awaiting)
    }
}
