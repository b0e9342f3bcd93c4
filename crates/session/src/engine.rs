//! The engine's face: what goes in, what comes out, in which order to call.

use core::time::Duration;

use crate::plane::{Capabilities, Command, Completion};
use crate::request::{Reply, Request};
use crate::types::{ClosedRecord, Lif, Moment, SessionId};

/// How an engine is set up. Durations are whole seconds towards the API, any length here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineConfig {
    /// Sessions at most; the plane's own capacity counts too, the smaller wins.
    pub max_sessions: u32,
    /// Closed records that wait for a reader at most.
    pub max_closed: usize,
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
}

/// Counts since the start, and how things stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Sessions in the table now.
    pub sessions: u32,
    /// Sessions that fit.
    pub capacity: u32,
    /// Accepted.
    pub added: u64,
    /// Refused.
    pub refused: u64,
    /// Deleted by request.
    pub deleted: u64,
    /// Closed by timeout.
    pub timed_out: u64,
    /// Superseded by a newer session with the same tuple.
    pub superseded: u64,
    /// Timeouts that were clamped.
    pub clamped: u64,
    /// Closed records waiting or lent.
    pub closed_waiting: u64,
    /// Closed records delivered.
    pub closed_delivered: u64,
    /// Closed records thrown out because the log was full.
    pub closed_lost: u64,
}

/// The session table and everything that decides about it.
///
/// - Getters: [`statistics`](Self::statistics).
/// - Inputs: [`handle`](Self::handle), with the time.
/// - Outputs: [`poll_command`](Self::poll_command), [`poll_reply`](Self::poll_reply),
///   [`poll_event`](Self::poll_event), [`poll_timeout`](Self::poll_timeout).
///
/// After each input take all outputs until they are `None`; give commands to the plane in their order, and what it
/// answers back as inputs; come back with [`Input::Tick`] at `poll_timeout`. Time never goes backwards.
#[derive(Debug)]
pub struct Engine {
    statistics: Statistics,
}

impl Engine {
    /// An empty table over a plane that can do `capabilities`.
    pub fn new(config: &EngineConfig, capabilities: Capabilities) -> Self {
        let capacity = config.max_sessions.min(capabilities.sessions);
        Self { statistics: Statistics { capacity, ..Statistics::default() } }
    }

    /// Counts since the start, and how things stand.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// One thing that happened, at `now`.
    pub fn handle(&mut self, now: Moment, input: Input) {
        let _ = (now, input);
    }

    /// The next command for the plane.
    pub fn poll_command(&mut self) -> Option<Command> {
        None
    }

    /// The next answer.
    pub fn poll_reply(&mut self) -> Option<Reply> {
        None
    }

    /// The next thing to log.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// When to come back with [`Input::Tick`] at the latest; in the past when more is due already.
    pub fn poll_timeout(&self) -> Option<Moment> {
        None
    }
}
