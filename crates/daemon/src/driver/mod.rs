//! The driver: it alone owns the engine and the data plane. And the handle by which others talk to it.
//!
//! Invariant: engine and plane have one owner and no locks; everybody else sends requests over bounded channels.

mod loan;
pub(crate) mod pair;
mod run;
#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use opof_dataplane::{DataPlane, Description};
use opof_session::engine::{Engine, Statistics};
use opof_session::ha::Settings;
use opof_session::ha::term::Role;
use opof_session::l3::{L3Error, VlanFlow};
use opof_session::request::{L3Request, Refused, ReplyBody, RequestBody, SameTuple, SessionView};
use opof_session::types::{SessionId, SessionSpec};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use self::loan::Lent;
pub use self::pair::{PairHandle, PairState};
pub(crate) use self::run::Driver;
use crate::clock::Clock;
use crate::limits;
use crate::store::ClosedStore;
use crate::watchdog::Pulse;

/// Why the driver did not answer.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum DriverError {
    /// It has had no room for another request for a while; later it may.
    #[error("the session table is busy")]
    Busy,
    /// The daemon is stopping.
    #[error("the session table has stopped")]
    Stopped,
    /// The other device of the pair is active, or is about to be; or this one is, and is not ready.
    #[error("{}", not_active(.active.as_deref()))]
    NotActive {
        /// Where the other one's API is, of a device that is standby.
        active: Option<Arc<str>>,
    },
}

fn not_active(active: Option<&str>) -> String {
    match active {
        Some(active) => format!("this device is standby; the active one is {active}"),
        None => "this device is about to become active, or not to be any more".to_owned(),
    }
}

/// A driver that nobody runs yet, and what sees its engine behind each turn.
#[cfg(any(test, feature = "simulation"))]
pub(crate) fn simulated(
    engine: Engine,
    plane: Box<dyn DataPlane>,
    clock: Clock,
    questions: [mpsc::Receiver<Question>; 2],
    store: Option<ClosedStore>,
    pair: Option<(Settings, pair::Lines)>,
    watcher: crate::simulation::Watcher,
) -> Driver {
    let (closings, _) = watch::channel(0);
    let mut driver = Driver::new(engine, plane, clock, questions, closings, store, Pulse::default());
    driver.join_pair(pair);
    driver.watcher = Some(watcher);
    driver
}

/// What the driver can be asked.
pub(crate) enum Question {
    Session { body: RequestBody, answer: oneshot::Sender<Answer> },
    Statistics(oneshot::Sender<Statistics>),
    Describe(oneshot::Sender<Description>),
}

/// What it answers to [`Question::Session`].
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(ReplyBody),
    Lent(Option<Lent>),
    /// The device is not active.
    NotActive,
}

/// Sessions from some id on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// In ascending id.
    pub sessions: Vec<SessionView>,
    /// First id that was not reached; `None` when the end was.
    pub next: Option<SessionId>,
}

/// Talks to the driver. A caller may give up at any time: a get or a delete that has not begun by then is dropped, everything
/// else still happens, and records lent to it go back.
#[derive(Clone, Debug)]
pub struct DriverHandle {
    calls: mpsc::Sender<Question>,
    adds: mpsc::Sender<Question>,
    /// For sessions that were read and are not answered yet, of all streams together.
    room: Arc<Semaphore>,
    closings: watch::Receiver<u64>,
    /// Of one of a pair: how it stands, and where the other one's API is.
    other: Option<(watch::Receiver<PairState>, Arc<str>)>,
}

impl DriverHandle {
    /// The same of one of a pair, which names the other one when it is standby.
    #[must_use]
    pub fn in_pair(self, pair: &PairHandle, peer_api: &str) -> Self {
        Self { other: Some((pair.state(), peer_api.into())), ..self }
    }

    /// What an active device answers.
    fn of_active(&self, answer: Answer) -> Result<Answer, DriverError> {
        let Answer::NotActive = answer else { return Ok(answer) };
        let other = self.other.as_ref().filter(|(state, _)| state.borrow().role == Role::Standby);
        Err(DriverError::NotActive { active: other.map(|(_, api)| Arc::clone(api)) })
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, DriverError> {
        Self::ask_in(&self.calls, question).await
    }

    async fn ask_in<T>(
        lane: &mpsc::Sender<Question>,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, DriverError> {
        let (sender, receiver) = oneshot::channel();
        match tokio::time::timeout(limits::ADMISSION, lane.send(question(sender))).await {
            Err(_) => return Err(DriverError::Busy),
            Ok(Err(_)) => return Err(DriverError::Stopped),
            Ok(Ok(())) => {}
        }
        receiver.await.map_err(|_| DriverError::Stopped)
    }

    async fn session(&self, body: RequestBody) -> Result<Answer, DriverError> {
        let answer = self.ask(|answer| Question::Session { body, answer }).await?;
        self.of_active(answer)
    }

    /// Room for sessions that wait to be offloaded, one permit each; whoever reads them from somewhere takes it first, and gives it back
    /// when they are answered. So there are never more than [`limits::INTAKE`] of them.
    pub fn room(&self) -> &Arc<Semaphore> {
        &self.room
    }

    /// Offloads at most [`opof_session::limits::ADD_BATCH`] sessions; those that were refused, by position.
    pub async fn add(&self, sessions: Vec<SessionSpec>, same_tuple: SameTuple) -> Result<Vec<Refused>, DriverError> {
        let body = RequestBody::Add { sessions, same_tuple };
        let answer = Self::ask_in(&self.adds, |answer| Question::Session { body, answer }).await?;
        match self.of_active(answer)? {
            Answer::Reply(ReplyBody::Added { refused }) => Ok(refused),
            other => unreachable!("the engine answers an add with its outcome, not {other:?}"),
        }
    }

    /// One session with its live counters.
    pub async fn get(&self, id: SessionId) -> Result<Option<SessionView>, DriverError> {
        match self.session(RequestBody::Get(id)).await? {
            Answer::Reply(ReplyBody::Got(session)) => Ok(session),
            other => unreachable!("the engine answers a get with a session, not {other:?}"),
        }
    }

    /// Takes a session off the fast path; its final counters. With `record` it is also reported as closed.
    pub async fn delete(&self, id: SessionId, record: bool) -> Result<Option<SessionView>, DriverError> {
        match self.session(RequestBody::Delete { id, record }).await? {
            Answer::Reply(ReplyBody::Deleted(session)) => Ok(session),
            other => unreachable!("the engine answers a delete with a session, not {other:?}"),
        }
    }

    /// At most [`opof_session::limits::LIST_ROWS`] sessions with an id of at least `from`, after passing over
    /// `skip` of them, at most [`opof_session::limits::LIST_SKIP`].
    pub async fn list(&self, from: SessionId, skip: u32, rows: NonZeroU32) -> Result<Listed, DriverError> {
        match self.session(RequestBody::List { from, skip, rows }).await? {
            Answer::Reply(ReplyBody::Listed { sessions, next }) => Ok(Listed { sessions, next }),
            other => unreachable!("the engine answers a list with sessions, not {other:?}"),
        }
    }

    /// Borrows the oldest closed records; `None` when none is waiting.
    pub async fn collect(&self, records: NonZeroU32) -> Result<Option<Lent>, DriverError> {
        match self.session(RequestBody::Collect { records }).await? {
            Answer::Lent(lent) => Ok(lent),
            other => unreachable!("the engine answers a collect with records, not {other:?}"),
        }
    }

    /// Closes every session; how many there were.
    pub async fn reset(&self) -> Result<Result<u64, L3Error>, DriverError> {
        self.swept(RequestBody::Reset).await
    }

    /// Something about next hops or VLAN flows, other than [`vlan_flows`](Self::vlan_flows).
    pub async fn l3(&self, request: L3Request) -> Result<Result<(), L3Error>, DriverError> {
        Ok(self.swept(RequestBody::L3(request)).await?.map(|_| ()))
    }

    async fn swept(&self, body: RequestBody) -> Result<Result<u64, L3Error>, DriverError> {
        match self.session(body).await? {
            Answer::Reply(ReplyBody::Swept { closed }) => Ok(Ok(closed)),
            Answer::Reply(ReplyBody::Done(outcome)) => Ok(outcome.map(|()| 0)),
            other => unreachable!("the engine says that it is done, not {other:?}"),
        }
    }

    /// All VLAN flows.
    pub async fn vlan_flows(&self) -> Result<Vec<VlanFlow>, DriverError> {
        match self.session(RequestBody::L3(L3Request::ListVlanFlows)).await? {
            Answer::Reply(ReplyBody::VlanFlows(flows)) => Ok(flows),
            other => unreachable!("the engine answers with VLAN flows, not {other:?}"),
        }
    }

    /// The engine's counts.
    pub async fn statistics(&self) -> Result<Statistics, DriverError> {
        self.ask(Question::Statistics).await
    }

    /// The plane's ports and their counters.
    pub async fn describe(&self) -> Result<Description, DriverError> {
        self.ask(Question::Describe).await
    }

    /// Changes when there may be closed records to collect that were not there before.
    pub fn closings(&self) -> watch::Receiver<u64> {
        self.closings.clone()
    }
}

/// Where the driver works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seat {
    /// On a thread of its own: nobody keeps it waiting, but each call goes from thread to thread, twice.
    Thread,
    /// On the runtime of the caller, between the calls.
    Task,
}

/// A driver that works.
#[derive(Debug)]
pub struct RunningDriver {
    pulse: Pulse,
    stop: watch::Sender<Option<Duration>>,
    finished: watch::Receiver<bool>,
    worker: Worker,
}

#[derive(Debug)]
enum Worker {
    Thread(thread::JoinHandle<()>),
    Task(JoinHandle<()>),
}

impl RunningDriver {
    /// Starts it. It has the engine and the plane until it stops; then the plane is dropped.
    ///
    /// # Panics
    /// With [`Seat::Task`] outside of a runtime.
    pub(crate) fn start(
        engine: Engine,
        plane: Box<dyn DataPlane>,
        clock: Clock,
        seat: Seat,
        store: Option<ClosedStore>,
        pair: Option<(Settings, pair::Lines)>,
    ) -> io::Result<(Self, DriverHandle)> {
        let ((calls, to_answer), (adds, to_add)) = (mpsc::channel(limits::REQUESTS), mpsc::channel(limits::REQUESTS));
        let (closings_sender, closings) = watch::channel(0);
        let (stop, stopping) = watch::channel(None);
        let (alive, finished) = watch::channel(false);
        let pulse = Pulse::default();
        let beats = pulse.clone();
        let work = async move {
            // Dropped when it ends, in order or not: that closes the channel.
            let _alive = alive;
            let mut driver = Driver::new(engine, plane, clock, [to_answer, to_add], closings_sender, store, beats);
            driver.join_pair(pair);
            driver.run(stopping).await;
        };
        let worker = match seat {
            Seat::Task => Worker::Task(tokio::spawn(work)),
            Seat::Thread => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
                let builder = thread::Builder::new().name("opof-driver".to_owned());
                Worker::Thread(builder.spawn(move || runtime.block_on(work))?)
            }
        };
        Ok((
            Self { pulse, stop, finished, worker },
            DriverHandle { calls, adds, room: Arc::new(Semaphore::new(limits::INTAKE)), closings, other: None },
        ))
    }

    /// Each turn of it.
    pub const fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Resolves when it has ended, be it by a panic.
    pub fn finished(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut finished = self.finished.clone();
        async move { while finished.changed().await.is_ok() {} }
    }

    /// Ends it: requests under way are answered, within `grace`; then the plane is dropped. False when it had panicked.
    pub async fn stop(self, grace: Duration) -> bool {
        self.stop.send_replace(Some(grace));
        self.finished().await;
        // It has ended but for its last instructions.
        match self.worker {
            Worker::Thread(thread) => thread.join().is_ok(),
            Worker::Task(task) => task.await.is_ok(),
        }
    }
}
