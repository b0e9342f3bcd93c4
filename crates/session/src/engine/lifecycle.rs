//! What happens to a session once it is in the table: the plane's answers, timeouts, deletes. Every change of state goes
//! through [`Engine::apply`] and the table in `state`.

use core::time::Duration;

use super::admit::BatchPlace;
use super::lead::{Duty, asked_for_peer};
use super::note::Fate;
use super::{Engine, Event};
use crate::index::Keyed;
use crate::limits;
use crate::packed::Packed;
use crate::plane::{Command, Completion, InstallError, Slot};
use crate::planted::{self, Bug};
use crate::request::{AddError, ReplyBody, SessionView, Ticket};
use crate::state::{self, State, Step, transition};
use crate::types::{CloseReason, ClosedRecord, Counters, Direction, MatchKey, Moment, SessionId, SessionSpec};

use super::query::{aging_token, asked_by_aging};
use super::sweep::SweepId;

/// One session of the table.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) packed: Packed,
    /// The timeout in force.
    pub(super) timeout_seconds: u32,
    pub(super) state: State,
    pub(super) place: BatchPlace,
    pub(super) started: Moment,
    /// Made when it first has something in it: of millions of sessions few are ending.
    pub(super) ending: Option<Box<Ending>>,
}

/// What there is to know about the end of a session.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own, and all of them meet")]
pub(super) struct Ending {
    /// Final; set when the plane has let the session go.
    pub(super) kept: Counters,
    pub(super) outcome: Outcome,
    /// Closes it as soon as that is possible, and waits until it is gone.
    pub(super) sweep: Option<SweepId>,
    install_error: Option<InstallError>,
    /// Its record has to be stored before the plane may forget it.
    is_held: bool,
    /// Closes it as soon as that is possible.
    pub(super) is_doomed: bool,
    /// Whoever has said that it lives may have closed it since: nothing is forwarded before it is off the plane.
    pub(super) is_purged: bool,
    /// The plane never had it.
    pub(super) is_unplaced: bool,
    /// The peer's plane has not let it go yet.
    pub(super) awaits_peer: bool,
}

/// Who is to know when a session is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Outcome {
    /// Nobody: it was never accepted.
    #[default]
    Silent,
    /// The closed log.
    Closed(CloseReason),
    /// The caller of delete, and with `record` the closed log.
    Deleted { ticket: Ticket, record: bool },
}

impl Keyed for Session {
    fn id(&self) -> SessionId {
        self.packed.id()
    }

    fn match_key(&self, direction: Direction) -> MatchKey {
        self.packed.match_key(direction)
    }
}

impl Session {
    pub(super) fn installing(now: Moment, spec: SessionSpec, place: BatchPlace) -> Self {
        Self {
            timeout_seconds: spec.timeout_seconds,
            packed: Packed::new(spec),
            state: State::Installing,
            place,
            // Until the plane has it, since when it was asked to.
            started: now,
            ending: None,
        }
    }

    /// One that an engine before this one has taken in.
    pub(super) fn adopted(spec: SessionSpec, started: Moment, state: State, outcome: Outcome) -> Self {
        let ending = (outcome != Outcome::Silent).then(|| Box::new(Ending { outcome, ..Ending::default() }));
        Self { state, started, ending, ..Self::installing(started, spec, BatchPlace::NONE) }
    }

    /// Nothing, as long as it does not end.
    pub(super) fn ending(&self) -> Ending {
        self.ending.as_deref().copied().unwrap_or_default()
    }

    pub(super) fn ending_mut(&mut self) -> &mut Ending {
        self.ending.get_or_insert_default()
    }

    /// What is to become of it, should this engine end before it does.
    pub(super) fn fate(&self) -> Fate {
        match (self.state, self.ending().outcome) {
            (State::Installing | State::Established, _) => Fate::Lives,
            (State::Overtaken | State::Detaching | State::Detached, _) => Fate::Waits,
            (State::Doomed | State::Closing | State::Parked, Outcome::Silent) => Fate::Goes,
            (State::Doomed | State::Closing | State::Parked, Outcome::Closed(reason)) => Fate::Closes(reason),
            // Whoever deletes it may not get the answer any more.
            (State::Doomed | State::Closing | State::Parked, Outcome::Deleted { .. }) => {
                Fate::Closes(CloseReason::Deleted)
            }
        }
    }

    /// When it closes if no packet comes after those that `counters` know of.
    pub(super) fn deadline(&self, counters: &Counters) -> Moment {
        let last = counters.last_seen.filter(|seen| seen.is_after(self.started)).unwrap_or(self.started);
        last.idle_until(Duration::from_secs(u64::from(self.timeout_seconds)))
    }

    pub(super) fn view(&self, counters: Counters, ended: Option<Moment>) -> SessionView {
        let superseded = self.state.is_superseded();
        SessionView { spec: self.packed.spec(self.timeout_seconds), counters, started: self.started, ended, superseded }
    }
}

impl Engine {
    pub(super) fn handle_completion(&mut self, now: Moment, completion: Completion) {
        match completion {
            Completion::Installed { slot, result } => {
                let Some(session) = self.table.get_mut(slot) else { return };
                match result {
                    Ok(()) => {
                        // One that is superseded already is being removed, with a note that says when it was asked for.
                        // One that a peer has taken in is as old as it is there.
                        if session.state == State::Installing && !session.place.is_none() {
                            session.started = now;
                        }
                        self.apply(now, slot, state::Event::Installed);
                        self.close_if_swept(now, slot);
                    }
                    // What another table has taken in is not this one's to refuse.
                    Err(InstallError::Unavailable) if session.place.is_none() => {
                        session.ending_mut().is_unplaced = true;
                        self.apply(now, slot, state::Event::InstallPutOff);
                        self.close_if_swept(now, slot);
                    }
                    Err(error) => {
                        let ending = session.ending_mut();
                        ending.install_error = Some(error);
                        // Nobody is told of the end of a session that never was, whatever was to end it.
                        ending.outcome = Outcome::Silent;
                        self.apply(now, slot, state::Event::InstallFailed);
                    }
                }
            }
            Completion::Removed { slot, result: Ok(counters) } => {
                let Some(session) = self.table.get_mut(slot) else { return };
                session.ending_mut().kept = counters;
                self.removed(now, slot);
                self.answer_parked(slot, self.shares.sum(slot, counters));
            }
            Completion::Removed { slot, result: Err(_) } => self.apply(now, slot, state::Event::RemoveFailed),
            Completion::Forgotten { slot } => {
                if self.closed.forgotten(slot) {
                    self.table.free(slot);
                }
            }
            Completion::Read { slot, token, counters } => match asked_by_aging(token) {
                Some(asked) => self.age(now, asked, slot, &self.shares.sum(slot, counters)),
                None => match asked_for_peer(token) {
                    Some(since) => self.counted_for_peer(since, slot, counters),
                    None => self.answer_read(token, self.shares.sum(slot, counters)),
                },
            },
            Completion::Routed { token, result } => self.handle_routed(now, token, result),
        }
    }

    /// The plane has let it go.
    fn removed(&mut self, now: Moment, slot: Slot) {
        let Some(session) = self.table.get(slot) else { return };
        let (is_off, is_parked) = (session.state == State::Closing, self.is_to_be_parked(session));
        if is_off {
            self.end_purge(slot);
        }
        if is_parked {
            self.apply(now, slot, state::Event::RemovedHere);
            self.let_go(slot);
        } else {
            self.apply(now, slot, state::Event::Removed);
        }
    }

    /// Works off deadlines: as many as aging may read at once, the rest after the answers.
    pub(super) fn handle_tick(&mut self, now: Moment) {
        self.advance_removals(now);
        self.advance_sweeps(now);
        self.walk_on(now);
        let follows = self.duty() == Duty::Follows;
        while self.aging_reads < limits::AGING_READS
            && !self.is_draining
            && let Some(slot) = self.wheel.pop_due(now)
        {
            match self.table.get(slot).map(|session| session.state) {
                // That is for the other one to see.
                Some(State::Established | State::Detached) if follows => {}
                Some(State::Established) => {
                    self.aging_reads += 1;
                    self.commands.push_back(Command::Read { slot, token: aging_token(now) });
                }
                Some(State::Detached) => self.expire(now, slot),
                Some(State::Detaching | State::Doomed | State::Closing) => {
                    self.retrying -= 1;
                    self.remove_from_plane(slot);
                }
                Some(State::Installing) => self.install_again(slot),
                Some(State::Overtaken | State::Parked) | None => {
                    debug_assert!(false, "a session that is not established has no timer");
                }
            }
        }
    }

    /// The counters of a session whose deadline has come: it closes, or gets a new deadline from its last packet. That it was idle is judged
    /// by the moment at which they were asked for: they know nothing of packets that came since.
    fn age(&mut self, now: Moment, asked: Moment, slot: Slot, counters: &Counters) {
        self.aging_reads -= 1;
        let Some(session) = self.table.get(slot) else { return };
        if session.state != State::Established || self.duty() == Duty::Follows {
            return;
        }
        let mut deadline = session.deadline(counters);
        if planted::is(Bug::Aging) && counters.outward.packets > 1 {
            deadline = session.deadline(&Counters::default());
        }
        if deadline <= asked { self.expire(now, slot) } else { self.wheel.arm(slot, deadline) }
    }

    fn expire(&mut self, now: Moment, slot: Slot) {
        if let Some(session) = self.table.get_mut(slot) {
            session.ending_mut().outcome = Outcome::Closed(CloseReason::Timeout);
        }
        self.apply(now, slot, state::Event::Expire);
    }

    pub(super) fn delete(&mut self, now: Moment, ticket: Ticket, id: SessionId, record: bool) {
        match self.visible(id) {
            Some(slot) => {
                let session = self.table.get_mut(slot).expect("a visible session is in the table");
                session.ending_mut().outcome = Outcome::Deleted { ticket, record };
                self.apply(now, slot, state::Event::Delete);
            }
            None => self.reply(ticket, ReplyBody::Deleted(None)),
        }
    }

    /// A newer one takes its tuple.
    pub(super) fn supersede(&mut self, now: Moment, slot: Slot) {
        let session = self.table.get(slot);
        if session.is_some_and(|session| session.state == State::Installing && session.ending().is_unplaced) {
            self.unplace(now, slot);
        } else {
            self.apply(now, slot, state::Event::Supersede);
        }
    }

    /// The slot of a session that get, list and delete may see.
    pub(super) fn visible(&self, id: SessionId) -> Option<Slot> {
        self.table.by_id(id).filter(|slot| self.table.get(*slot).is_some_and(|session| session.state.is_visible()))
    }

    /// One event for one session: the only place where a state changes.
    pub(super) fn apply(&mut self, now: Moment, slot: Slot, event: state::Event) {
        let Some(session) = self.table.get_mut(slot) else { return };
        let Some((next, steps)) = transition(session.state, event) else {
            debug_assert!(false, "{event:?} in {:?}", session.state);
            return;
        };
        session.state = next;
        for step in steps {
            self.take(now, slot, *step);
        }
    }

    fn take(&mut self, now: Moment, slot: Slot, step: Step) {
        let Some(session) = self.table.get(slot) else { return };
        match step {
            Step::Accept => {
                self.accept(session.place);
                self.tell_session(slot);
            }
            Step::Refuse => {
                if session.place.is_none() {
                    self.statistics.unfollowed += 1;
                    self.events.push_back(Event::NotFollowed { id: session.packed.id(), why: None });
                    return;
                }
                let error = match session.ending().install_error {
                    Some(InstallError::Full) => AddError::TableFull,
                    Some(InstallError::Unavailable) | None => AddError::Unavailable,
                };
                self.refuse(session.place, session.packed.id(), error);
            }
            Step::Remove => {
                let is_unplaced = session.ending.as_deref().is_some_and(|ending| ending.is_unplaced);
                self.tell_fate(slot);
                if is_unplaced {
                    self.removed(now, slot);
                } else {
                    self.remove_from_plane(slot);
                }
            }
            Step::TellPeer => self.tell_fate(slot),
            Step::RetryInstall | Step::RetryRemove => {
                self.retrying += usize::from(step == Step::RetryRemove);
                self.wheel.arm(slot, now.saturating_add(limits::REMOVE_RETRY));
            }
            Step::Arm if self.duty() == Duty::Follows => {}
            Step::Arm => {
                let deadline = session.deadline(&self.shares.sum(slot, session.ending().kept));
                self.wheel.arm(slot, deadline);
            }
            Step::Disarm => self.wheel.cancel(slot),
            Step::Report => self.report(now, slot),
            Step::Forget => {
                self.end_purge(slot);
                self.wheel.cancel(slot);
                let Some(session) = self.table.get(slot) else { return };
                let ending = session.ending.as_deref();
                let is_held = ending.is_some_and(|ending| ending.is_held);
                // Of one that was not installed nothing is kept.
                let is_kept = ending.is_none_or(|ending| ending.install_error.is_none() && !ending.is_unplaced);
                let gone = if is_held { self.table.remove_and_hold(slot) } else { self.table.remove(slot) };
                if let Some(gone) = gone {
                    if is_kept && !is_held {
                        self.commands.push_back(Command::Forget { slot });
                    }
                    self.shares.forget(slot);
                    self.forget_links(slot, gone.packed.links());
                    self.settle_sweep(&gone);
                }
            }
        }
    }

    /// The session is gone: its final counters go to whoever is to know.
    fn report(&mut self, now: Moment, slot: Slot) {
        let Some(session) = self.table.get(slot) else { return };
        let (ending, name) = (session.ending(), session.name());
        let counters = self.shares.sum(slot, ending.kept);
        let placed = (!ending.is_unplaced).then_some(slot);
        let record = |reason| ClosedRecord {
            sequence: 0,
            id: session.packed.id(),
            counters,
            started: session.started,
            ended: now,
            reason,
        };
        match ending.outcome {
            Outcome::Silent => {}
            Outcome::Deleted { ticket, record: is_recorded } => {
                let view = session.view(counters, Some(now));
                let record = is_recorded.then(|| record(CloseReason::Deleted));
                self.statistics.deleted += 1;
                let appended = record.map(|record| self.append_closed(record, placed));
                let (sequence, is_held) = appended.unwrap_or_default();
                self.hold(slot, is_held);
                self.tell_gone(name, record, sequence);
                self.reply(ticket, ReplyBody::Deleted(Some(view)));
            }
            Outcome::Closed(reason) => {
                let record = record(reason);
                let (sequence, is_held) = self.close(record, placed);
                self.hold(slot, is_held);
                self.tell_gone(name, Some(record), sequence);
            }
        }
    }

    fn hold(&mut self, slot: Slot, is_held: bool) {
        if is_held && let Some(session) = self.table.get_mut(slot) {
            session.ending_mut().is_held = true;
        }
    }

    /// Counts a session that is gone, and reports it: [`append_closed`](Self::append_closed).
    pub(super) fn close(&mut self, record: ClosedRecord, slot: Option<Slot>) -> (Option<u64>, bool) {
        match record.reason {
            CloseReason::Timeout => self.statistics.timed_out += 1,
            CloseReason::Deleted => self.statistics.deleted += 1,
            CloseReason::Reset | CloseReason::NextHopGone => self.statistics.withdrawn += 1,
        }
        if self.duty() == Duty::Follows {
            self.put_off(record);
            return (None, false);
        }
        self.append_closed(record, slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are millions of them.
    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Option<Session>>() <= 72, "{} bytes", size_of::<Option<Session>>());
    }
}
