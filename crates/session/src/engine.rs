//! The engine's face: what goes in, what comes out, in which order to call.

mod admit;
mod adopt;
#[cfg(any(test, feature = "audit"))]
mod audit;
mod follow;
mod lead;
mod lifecycle;
mod note;
mod query;
mod routing;
mod shares;
mod sweep;
#[cfg(test)]
pub(crate) mod tests;

use core::time::Duration;
use std::collections::VecDeque;

use crate::closed::{Appended, ClosedLog};
use crate::ha::change::Change;
use crate::index::Table;
use crate::l3::VlanFlow;
use crate::limits;
use crate::plane::{Capabilities, Command, Completion, Slot};
use crate::request::{AddError, Reply, ReplyBody, Request, RequestBody, Ticket};
use crate::types::{ClosedRecord, Lif, Moment, SessionId};
use crate::wheel::Wheel;

pub use adopt::Unadoptable;
#[cfg(any(test, feature = "audit"))]
pub use audit::{Contradiction, OnPlane, Standing};
pub use follow::{Applied, Diverged};
pub use lead::Duty;

use admit::{Batches, Policy};
use follow::{Follow, Walk};
use lead::Lead;
use lifecycle::Session;
use query::Queries;
use routing::Routing;
use shares::Shares;
use sweep::Sweeps;

/// How an engine is set up. Durations are whole seconds towards the API, any length here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineConfig {
    /// Sessions at most; the plane's own capacity counts too, the smaller wins.
    pub max_sessions: u32,
    /// Closed records that wait for a reader at most.
    pub max_closed: usize,
    /// Somebody stores closed records: [`Engine::poll_unstored`].
    pub stores_closed: bool,
    /// Next hops at most; no more than the plane has room for.
    pub max_next_hops: usize,
    /// Idle timeout of a TCP session that asks for the default.
    pub tcp_timeout: Duration,
    /// Idle timeout of a UDP session that asks for the default.
    pub udp_timeout: Duration,
    /// Longer timeouts are clamped to this, and the clamp is reported.
    pub max_timeout: Duration,
    /// The interfaces there are.
    pub lifs: Vec<Lif>,
    /// Seeds the hash tables, so that a peer can't choose keys that collide. Random in a daemon, fixed in a test.
    pub hash_seed: u64,
}

/// Everything that can happen to an engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Somebody asks.
    Request(Request),
    /// The plane answers.
    Completion(Completion),
    /// All closed records up to this sequence are stored.
    Stored {
        /// Of the last of them.
        through: u64,
    },
    /// Time has passed: [`Engine::poll_timeout`] is due.
    Tick,
}

/// What the outside should know although nobody asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The closed log was full; its oldest record was thrown out, and this is it.
    RecordLost(ClosedRecord),
    /// A session asked for a longer timeout than there is.
    TimeoutClamped {
        /// The session.
        id: SessionId,
        /// What it asked for, in seconds.
        asked: u32,
    },
    /// A VLAN flow was stored that the plane can't follow.
    VlanFlowIdle(VlanFlow),
    /// A session that the peer has taken in can't be taken in here.
    NotFollowed {
        /// The session.
        id: SessionId,
        /// Why; `None`: the plane has refused it.
        why: Option<AddError>,
    },
}

/// Counts since the start, and how things stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Sessions in the table now.
    pub sessions: u32,
    /// Sessions that fit.
    pub capacity: u32,
    /// Taken over from an engine before this one, or from that of a peer.
    pub adopted: u64,
    /// Sessions of the peer that could not be taken in here.
    pub unfollowed: u64,
    /// Accepted.
    pub added: u64,
    /// Refused.
    pub refused: u64,
    /// Deleted by request.
    pub deleted: u64,
    /// Closed by timeout.
    pub timed_out: u64,
    /// Closed by reset, or with their next hop.
    pub withdrawn: u64,
    /// Superseded by a newer session with the same tuple.
    pub superseded: u64,
    /// Timeouts that were clamped.
    pub clamped: u64,
    /// Closed records that are kept: waiting, lent or not yet stored.
    pub closed_waiting: u64,
    /// Closed records delivered.
    pub closed_delivered: u64,
    /// Closed records thrown out because the log was full.
    pub closed_lost: u64,
}

/// The session table and everything that decides about it.
///
/// - Getters: [`statistics`](Self::statistics), and with the feature `audit` whether it agrees with itself.
/// - Inputs: [`handle`](Self::handle), with the time.
/// - Outputs: [`poll_command`](Self::poll_command) one at a time or [`commands`](Self::commands), [`poll_reply`](Self::poll_reply),
///   [`poll_event`](Self::poll_event), [`poll_timeout`](Self::poll_timeout).
///
/// After each input take all outputs until they are `None`; give commands to the plane in their order, and what it
/// answers back as inputs; come back with [`Input::Tick`] at `poll_timeout`. Time never goes backwards.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
    table: Table<Session>,
    wheel: Wheel,
    closed: ClosedLog,
    batches: Batches,
    queries: Queries,
    routing: Routing,
    sweeps: Sweeps,
    shares: Shares,
    lead: Lead,
    follow: Follow,
    walk: Option<Walk>,
    /// Sessions that are being purged.
    purging: usize,
    /// Sessions whose removal is to be tried again.
    retrying: usize,
    /// Commands that the plane has taken and not answered.
    owed: usize,
    /// Nothing new is begun.
    is_draining: bool,
    /// Reads that aging waits for.
    aging_reads: usize,
    commands: VecDeque<Command>,
    replies: VecDeque<Reply>,
    events: VecDeque<Event>,
    statistics: Statistics,
}

impl Engine {
    /// An empty table over a plane that can do `capabilities`.
    ///
    /// # Panics
    /// When `config` is outside of [`crate::limits`].
    pub fn new(config: &EngineConfig, capabilities: Capabilities) -> Self {
        let policy = Policy::new(config, capabilities);
        let statistics = Statistics { capacity: policy.capacity, ..Statistics::default() };
        Self {
            table: Table::new(policy.capacity, config.hash_seed),
            policy,
            wheel: Wheel::new(),
            closed: ClosedLog::new(config.max_closed, config.stores_closed),
            batches: Batches::default(),
            queries: Queries::default(),
            routing: Routing::new(config.max_next_hops),
            sweeps: Sweeps::default(),
            shares: Shares::default(),
            lead: Lead::default(),
            follow: Follow::default(),
            walk: None,
            purging: 0,
            retrying: 0,
            owed: 0,
            is_draining: false,
            aging_reads: 0,
            commands: VecDeque::new(),
            replies: VecDeque::new(),
            events: VecDeque::new(),
            statistics,
        }
    }

    /// Counts since the start, and how things stand.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            sessions: u32::try_from(self.table.len()).expect("the capacity is a u32"),
            closed_waiting: self.closed.len() as u64,
            ..self.statistics
        }
    }

    /// One thing that happened, at `now`.
    pub fn handle(&mut self, now: Moment, input: Input) {
        match input {
            Input::Request(Request { ticket, body }) => self.handle_request(now, ticket, body),
            Input::Completion(completion) => {
                // Tests answer more than was asked.
                self.owed = self.owed.saturating_sub(1);
                self.handle_completion(now, completion);
            }
            Input::Stored { through } => {
                let slots = self.closed.stored(through);
                self.commands.extend(slots.into_iter().map(|slot| Command::Forget { slot }));
            }
            Input::Tick => self.handle_tick(now),
        }
        self.finish_sweeps();
    }

    /// The next command for the plane.
    pub fn poll_command(&mut self) -> Option<Command> {
        let command = self.commands.pop_front();
        self.owed += usize::from(command.is_some());
        command
    }

    /// All commands for the plane, in their order. What it has taken of them is told by [`commands_taken`](Self::commands_taken).
    pub fn commands(&mut self) -> &[Command] {
        self.commands.make_contiguous()
    }

    /// How many there are.
    pub fn commands_len(&self) -> usize {
        self.commands.len()
    }

    /// The plane has taken the first `count` of [`commands`](Self::commands).
    pub fn commands_taken(&mut self, count: usize) {
        self.commands.drain(..count);
        self.owed += count;
    }

    /// From here on sessions are not found to be due, until that is taken back.
    pub fn set_draining(&mut self, is_draining: bool) {
        self.is_draining = is_draining;
    }

    /// True when nothing is under way.
    pub fn is_settled(&self) -> bool {
        self.commands.is_empty() && self.replies.is_empty() && self.owed == 0 && self.lead.awaits_nothing()
    }

    /// The next answer.
    pub fn poll_reply(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }

    /// The next thing to log.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next closed record to be stored, in the order of their sequences; that it is stored is told by [`Input::Stored`]. Until then it
    /// is lent to nobody, and the plane keeps its session.
    pub fn poll_unstored(&mut self) -> Option<ClosedRecord> {
        self.closed.poll_unstored()
    }

    /// Closed records that can be collected, or are lent.
    pub fn closed_ready(&self) -> usize {
        self.closed.ready()
    }

    /// True while records are lent.
    pub fn has_loans(&self) -> bool {
        self.closed.has_loans()
    }

    /// True while a record is not known to be stored, or one that need not be has not been asked for.
    pub fn has_unstored(&self) -> bool {
        self.closed.has_unstored()
    }

    /// The next sequence of a record that need not be stored any longer: it was delivered, or lost for want of room.
    pub fn poll_ended(&mut self) -> Option<u64> {
        self.closed.poll_ended()
    }

    /// Goes on with closed records that were stored, before anything else; `last` is the last sequence that was ever stored.
    pub fn restore_closed(&mut self, records: impl IntoIterator<Item = ClosedRecord>, last: u64) {
        self.closed.restore(records, last);
    }

    /// When to come back with [`Input::Tick`] at the latest; in the past when more is due already.
    pub fn poll_timeout(&self) -> Option<Moment> {
        if self.sweeps.are_due() || self.can_walk_on() {
            return Some(Moment(0));
        }
        // With all its reads under way, aging goes on when an answer comes.
        let is_aging = self.aging_reads < limits::AGING_READS && !self.is_draining;
        let aging = if is_aging { self.wheel.next_deadline() } else { None };
        [aging, self.routing.poll_timeout()].into_iter().flatten().min()
    }

    fn handle_request(&mut self, now: Moment, ticket: Ticket, body: RequestBody) {
        match body {
            RequestBody::Add { sessions, same_tuple } => self.add(now, ticket, sessions, same_tuple),
            RequestBody::Get(id) => self.get(ticket, id),
            RequestBody::Delete { id, record } => self.delete(now, ticket, id, record),
            RequestBody::Reset => self.reset(now, ticket),
            RequestBody::L3(request) => self.handle_l3(now, ticket, request),
            RequestBody::List { from, skip, rows } => self.list(ticket, from, skip, rows),
            RequestBody::Collect { records } => {
                let (loan, records) = self.closed.lend(records.get() as usize).unzip();
                self.reply(ticket, ReplyBody::Collected { loan, records: records.unwrap_or_default() });
            }
            RequestBody::Reclaim => self.closed.reclaim(),
            RequestBody::Settle { loan, delivered } => {
                let gone = self.closed.settle(loan, delivered as usize);
                self.statistics.closed_delivered += gone.len() as u64;
                for sequence in gone {
                    self.tell(Change::Ended { sequence });
                }
            }
        }
    }

    /// The number that the record has in the log, if it is there, and whether the plane has to keep the session until it is stored.
    fn append_closed(&mut self, record: ClosedRecord, slot: Option<Slot>) -> (Option<u64>, bool) {
        let sequence = self.closed.next_sequence();
        let Appended { lost, holds } = self.closed.append(record, slot);
        let Some(lost) = lost else { return (Some(sequence), holds) };
        self.statistics.closed_lost += 1;
        self.events.push_back(Event::RecordLost(lost));
        if lost.sequence == sequence {
            return (None, holds);
        }
        self.tell(Change::Ended { sequence: lost.sequence });
        (Some(sequence), holds)
    }

    fn reply(&mut self, ticket: Ticket, body: ReplyBody) {
        self.replies.push_back(Reply { ticket, body });
    }
}
