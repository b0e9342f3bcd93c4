//! A driver's part in a pair of devices: what the node says goes to the peer and to the store of roles, and what they say to it.
//!
//! What must not be here: who is active, and why (`opof_session::ha`); sockets (`ha`).

use std::collections::VecDeque;

use opof_dataplane::DataPlane;
use opof_session::engine::Engine;
use opof_session::ha::message::Message;
use opof_session::ha::store::{StoreAnswer, StoreRequest};
use opof_session::ha::term::{Role, Term};
use opof_session::ha::{self, Answers, Command, CommandError, Event, Node, Settings, Status, Why};
use opof_session::request::{Reply, ReplyBody};
use opof_session::types::Moment;
use tokio::sync::{mpsc, oneshot, watch};

use super::DriverError;
use crate::limits;

/// What comes from outside.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// From the peer.
    Message(Box<Message>),
    /// From the store of roles.
    Store(StoreAnswer),
    /// From an operator.
    Command(Command, oneshot::Sender<Result<(), CommandError>>),
    /// The same.
    Status(oneshot::Sender<Status>),
}

/// The ways in and out.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    /// To the peer. What there is no room for is not said yet.
    pub(crate) messages: mpsc::Sender<Message>,
    /// To the store of roles, one at a time.
    pub(crate) store: mpsc::Sender<StoreRequest>,
    /// What everybody may know.
    pub(crate) state: watch::Sender<PairState>,
}

/// What everybody may know of a device of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PairState {
    /// Its role.
    pub role: Role,
    /// An active's own, or the highest that a standby knows of.
    pub term: Term,
    /// Whether firewalls are answered.
    pub takes_calls: bool,
    /// Why it has its role.
    pub why: Why,
}

impl Default for PairState {
    fn default() -> Self {
        Self { role: Role::Standby, term: Term(0), takes_calls: false, why: Why::Start }
    }
}

/// Talks to a device of a pair.
#[derive(Clone, Debug)]
pub struct PairHandle {
    arrivals: mpsc::Sender<Arrival>,
    state: watch::Receiver<PairState>,
}

impl PairHandle {
    /// What everybody may know, and when that changes.
    pub fn state(&self) -> watch::Receiver<PairState> {
        self.state.clone()
    }

    /// How the device stands.
    pub async fn status(&self) -> Result<Status, DriverError> {
        let (answer, status) = oneshot::channel();
        self.arrivals.send(Arrival::Status(answer)).await.map_err(|_| DriverError::Stopped)?;
        status.await.map_err(|_| DriverError::Stopped)
    }

    /// Tells it what to do; why it does not.
    pub async fn command(&self, command: Command) -> Result<Result<(), CommandError>, DriverError> {
        let (answer, done) = oneshot::channel();
        self.arrivals.send(Arrival::Command(command, answer)).await.map_err(|_| DriverError::Stopped)?;
        done.await.map_err(|_| DriverError::Stopped)
    }

    /// What comes from outside goes in here.
    pub(crate) const fn arrivals(&self) -> &mpsc::Sender<Arrival> {
        &self.arrivals
    }
}

/// The other ends of [`Lines`].
pub(crate) struct Ends {
    pub(crate) handle: PairHandle,
    pub(crate) messages: mpsc::Receiver<Message>,
    pub(crate) store: mpsc::Receiver<StoreRequest>,
}

/// The ways in and out of a device, and their other ends.
pub(crate) fn lines() -> (Lines, Ends) {
    let (to_arrive, arrivals) = mpsc::channel(limits::PEER_MESSAGES);
    let (messages, said) = mpsc::channel(limits::PEER_MESSAGES);
    let (store, asked) = mpsc::channel(1);
    let (shown, state) = watch::channel(PairState::default());
    let handle = PairHandle { arrivals: to_arrive, state };
    (Lines { arrivals, messages, store, state: shown }, Ends { handle, messages: said, store: asked })
}

/// One device of a pair.
pub(super) struct Pair {
    node: Node,
    lines: Lines,
    /// The peer's line is full: there is something to be said when it is not any more.
    is_blocked: bool,
    /// Answers that wait for the standby, with the change behind which they may go.
    held: VecDeque<(u64, Answers, Reply)>,
    /// What the plane was told last.
    forward_until: Moment,
}

impl Pair {
    pub(super) fn new(now: Moment, settings: Settings, lines: Lines, engine: &mut Engine) -> Self {
        let node = Node::new(now, settings, engine);
        Self { node, lines, is_blocked: false, held: VecDeque::new(), forward_until: Moment(u64::MAX) }
    }

    /// Whether the engine may be asked anything.
    pub(super) fn takes_calls(&self, engine: &Engine) -> bool {
        self.node.takes_calls(engine)
    }

    pub(super) fn poll_timeout(&self, engine: &Engine) -> Option<Moment> {
        self.node.poll_timeout(engine)
    }

    /// Waits until something has come; `None`: the peer's line has room again, and before that nothing comes.
    pub(super) async fn arrival(&mut self) -> Option<Arrival> {
        let has_room = async {
            let closed = if self.is_blocked { self.lines.messages.reserve().await.is_err() } else { true };
            if closed {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            Some(arrival) = self.lines.arrivals.recv() => Some(arrival),
            () = has_room => {
                self.is_blocked = false;
                None
            }
            else => std::future::pending().await,
        }
    }

    /// Everything that has come, after `first`.
    pub(super) fn take(&mut self, now: Moment, engine: &mut Engine, first: Option<Arrival>) {
        let more = std::iter::from_fn(|| self.lines.arrivals.try_recv().ok());
        let arrivals: Vec<Arrival> = first.into_iter().chain(more).take(limits::PEER_ARRIVALS).collect();
        for arrival in arrivals {
            let input = match arrival {
                Arrival::Message(message) => ha::Input::Message(message),
                Arrival::Store(answer) => ha::Input::Store(answer),
                Arrival::Command(command, answer) => {
                    let done = self.node.handle(now, engine, ha::Input::Command(command));
                    // Whoever has told it may be gone.
                    let _ = answer.send(done);
                    continue;
                }
                Arrival::Status(answer) => {
                    let _ = answer.send(self.node.status(engine));
                    continue;
                }
            };
            // Only commands are refused.
            let _ = self.node.handle(now, engine, input);
        }
    }

    /// Whatever the node has to do; `is_quiet`: nobody waits for an answer.
    pub(super) fn work(&mut self, now: Moment, engine: &mut Engine, is_quiet: bool) {
        self.node.set_quiet(is_quiet && self.held.is_empty() && !engine.has_loans());
        self.node.work(now, engine);
    }

    /// Has the plane forward for as long as the device may, and says what there is to say.
    pub(super) fn speak(&mut self, now: Moment, engine: &Engine, plane: &mut dyn DataPlane) {
        let until = self.node.forward_until(now, engine);
        if until != self.forward_until {
            self.forward_until = until;
            plane.forward_until(until);
        }
        loop {
            let Ok(permit) = self.lines.messages.try_reserve() else {
                self.is_blocked = true;
                break;
            };
            let Some(message) = self.node.poll_message(now, engine) else { break };
            permit.send(message);
        }
        while let Some(request) = self.node.poll_store() {
            // There is room: one is asked at a time.
            let _ = self.lines.store.try_send(request);
        }
        self.show(engine);
    }

    fn show(&self, engine: &Engine) {
        let (role, term, takes_calls) = (self.node.role(), self.node.term(), self.node.takes_calls(engine));
        let state = PairState { role, term, takes_calls, why: self.node.why() };
        self.lines.state.send_if_modified(|shown| std::mem::replace(shown, state) != state);
    }

    /// What the engine has changed until now gets its numbers.
    pub(super) fn note_changes(&mut self, engine: &mut Engine) {
        self.node.note_changes(engine);
    }

    /// Holds an answer back, or gives it back where it need not wait.
    pub(super) fn hold(&mut self, reply: Reply) -> Option<Reply> {
        let answers = match &reply.body {
            ReplyBody::Added { .. } | ReplyBody::Done(_) | ReplyBody::Swept { .. } => Answers::Taken,
            ReplyBody::Collected { loan: Some(_), .. } => Answers::Records,
            _ => return Some(reply),
        };
        let change = self.node.last_change();
        if self.node.is_answerable(change, answers) {
            return Some(reply);
        }
        self.held.push_back((change, answers, reply));
        None
    }

    /// An answer that need not wait any longer.
    pub(super) fn release(&mut self) -> Option<Reply> {
        let at = self.held.iter().position(|(change, answers, _)| self.node.is_answerable(*change, *answers))?;
        self.held.remove(at).map(|(_, _, reply)| reply)
    }

    /// What has become of the device. True when it stopped being active: nobody gets an answer any more.
    pub(super) fn tell(&mut self, engine: &Engine) -> bool {
        let mut has_left = false;
        while let Some(event) = self.node.poll_event() {
            has_left |= matches!(event, Event::Role { role: Role::Standby, .. });
            log(&event);
        }
        if has_left {
            self.held.clear();
        }
        self.show(engine);
        has_left
    }
}

fn log(event: &Event) {
    match event {
        Event::Role { role: Role::Active, term, why, keeps } => {
            tracing::info!(term = term.0, ?why, keeps, "this device is active");
        }
        Event::Role { role: Role::Standby, term, why, .. } => {
            tracing::info!(term = term.0, ?why, "this device is standby");
        }
        Event::SplitBrain { mine, theirs } => {
            tracing::error!(
                mine = mine.0,
                theirs = theirs.0,
                "both devices are active; the one with the lower term steps down"
            );
        }
        Event::Diverged(diverged) => {
            tracing::error!(%diverged, "this standby has missed something, and is told everything anew");
        }
        Event::Standing(standing) => tracing::info!(?standing, "the standby"),
        Event::HandoverFailed => tracing::error!("the handover was given up; this device goes on"),
        Event::StoreFailed(why) => tracing::warn!(why, "the store of roles did not answer"),
    }
}
