//! Closing many sessions by one request: reset, and next hops that are taken away.
//!
//! A sweep goes through its sessions in steps, with so many removals under way at once; it is answered when the last of
//! its sessions is off the fast path. Sessions that come while it goes on are left alone.

use core::ops::Bound;
use std::collections::VecDeque;

use super::Engine;
use super::lifecycle::{Ending, Outcome, Session};
use crate::l3::{L3Error, NextHopId};
use crate::limits;
use crate::plane::Slot;
use crate::request::{ReplyBody, Ticket};
use crate::state::{self, State};
use crate::types::{CloseReason, Moment, SessionId};

/// Names a sweep. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SweepId(u64);

/// Which sessions, and how far it has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope {
    /// All of them, in ascending id.
    All { from: Bound<SessionId> },
    /// Those that refer to a next hop up to `last`.
    NextHops { after: (NextHopId, Option<Slot>), last: NextHopId },
}

#[derive(Debug)]
struct Sweep {
    id: SweepId,
    ticket: Ticket,
    reason: CloseReason,
    since: Moment,
    /// `None` when there are no more to come.
    scope: Option<Scope>,
    under_way: usize,
    closed: u64,
}

/// Sweeps under way, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    open: VecDeque<Sweep>,
    next: u64,
}

impl Sweeps {
    /// True when a sweep can go on without an answer of the plane.
    pub(super) fn are_due(&self) -> bool {
        self.open.iter().any(|sweep| sweep.scope.is_some() && sweep.under_way < limits::SWEEP_REMOVALS)
    }

    /// Nobody waits for them any more.
    pub(super) fn end_all(&mut self) {
        self.open.clear();
    }

    pub(super) fn are_full(&self) -> bool {
        self.open.len() >= limits::SWEEPS
    }
}

impl Engine {
    pub(super) fn reset(&mut self, now: Moment, ticket: Ticket) {
        if self.sweeps.are_full() {
            return self.reply(ticket, ReplyBody::Done(Err(L3Error::Busy)));
        }
        self.sweep(now, ticket, CloseReason::Reset, Scope::All { from: Bound::Unbounded });
    }

    pub(super) fn sweep(&mut self, now: Moment, ticket: Ticket, reason: CloseReason, scope: Scope) {
        let id = SweepId(self.sweeps.next);
        self.sweeps.next += 1;
        let sweep = Sweep { id, ticket, reason, since: now, scope: Some(scope), under_way: 0, closed: 0 };
        self.sweeps.open.push_back(sweep);
        self.advance_sweeps(now);
    }

    /// As far as each may go at once.
    pub(super) fn advance_sweeps(&mut self, now: Moment) {
        let mut left = limits::SWEEP_STEP;
        for index in 0..self.sweeps.open.len() {
            while left > 0
                && let Some(slot) = self.next_swept(index)
            {
                self.close_one(now, index, slot);
                left -= 1;
            }
        }
    }

    /// The next session of a sweep that has room for another removal.
    fn next_swept(&mut self, index: usize) -> Option<Slot> {
        let sweep = &mut self.sweeps.open[index];
        if sweep.under_way >= limits::SWEEP_REMOVALS {
            return None;
        }
        let found = match sweep.scope? {
            Scope::All { from } => {
                self.table.first_id(from).map(|(id, slot)| (Scope::All { from: Bound::Excluded(id) }, slot))
            }
            Scope::NextHops { after, last } => self
                .routing
                .next_user(after, last)
                .map(|(id, slot)| (Scope::NextHops { after: (id, Some(slot)), last }, slot)),
        };
        sweep.scope = found.map(|(scope, _)| scope);
        found.map(|(_, slot)| slot)
    }

    fn close_one(&mut self, now: Moment, index: usize, slot: Slot) {
        let Some(session) = self.table.get_mut(slot) else { return };
        let sweep = &mut self.sweeps.open[index];
        if session.ending().sweep.is_some() || session.started.is_after(sweep.since) {
            return;
        }
        session.ending_mut().sweep = Some(sweep.id);
        sweep.under_way += 1;
        // What is closing already is told by the name under which it does, but waited for.
        if !session.state.is_ending() {
            session.ending_mut().outcome = Outcome::Closed(sweep.reason);
        }
        self.close_if_swept(now, slot);
    }

    /// Closes a session that a sweep has come by, if it can be closed yet: one that is being installed can't.
    pub(super) fn close_if_swept(&mut self, now: Moment, slot: Slot) {
        let Some(session) = self.table.get(slot) else { return };
        let Some(&Ending { sweep, is_doomed, is_unplaced, .. }) = session.ending.as_deref() else { return };
        if is_doomed && is_unplaced && session.state == State::Installing {
            self.unplace(now, slot);
        }
        let Some(session) = self.table.get(slot) else { return };
        if (sweep.is_some() || is_doomed) && session.state.is_visible() {
            self.apply(now, slot, state::Event::Delete);
        }
    }

    /// A session is gone: its sweep waits for one fewer.
    pub(super) fn settle_sweep(&mut self, gone: &Session) {
        let Ending { outcome, sweep: Some(id), .. } = gone.ending() else { return };
        if let Some(sweep) = self.sweeps.open.iter_mut().find(|sweep| sweep.id == id) {
            sweep.under_way -= 1;
            sweep.closed += u64::from(outcome == Outcome::Closed(sweep.reason));
        }
    }

    /// Answers those that have nothing left to wait for, in their order: a session is counted by the first sweep that comes by
    /// it, and the later ones must wait for it too.
    pub(super) fn finish_sweeps(&mut self) {
        while self.sweeps.open.front().is_some_and(|sweep| sweep.scope.is_none() && sweep.under_way == 0)
            && let Some(Sweep { ticket, closed, .. }) = self.sweeps.open.pop_front()
        {
            self.reply(ticket, ReplyBody::Swept { closed });
        }
    }
}
