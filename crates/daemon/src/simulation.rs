//! The session table in a simulated world: its driver, its closed log and its start as they are in a daemon, but with a time, a plane and
//! a disk that the world makes, and turned by hand. Needs no runtime.
//!
//! What must not be here: the world, and anything that a daemon does otherwise.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use opof_dataplane::DataPlane;
use opof_session::engine::{Engine, EngineConfig};
use opof_session::ha::message::Message;
use opof_session::ha::store::{StoreAnswer, StoreRequest};
use opof_session::ha::{Command, Settings};
use opof_session::request::{ReplyBody, RequestBody};
use opof_session::types::{ClosedRecord, Moment};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
pub use crate::driver::pair::PairState;
use crate::driver::pair::{Arrival, Ends, lines};
use crate::driver::{Answer, Lent, Question, simulated};
use crate::store::{self, Desk, StoreError};
use crate::{adopt, limits};

pub use crate::store::disk::Disk;

/// The time of a simulated world. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct SimulatedTime(Arc<Hands>);

#[derive(Debug, Default)]
struct Hands {
    now: AtomicU64,
    /// The first moment that somebody waits for; `u64::MAX` when nobody does.
    due: AtomicU64,
}

impl SimulatedTime {
    /// Now.
    pub fn now(&self) -> Moment {
        Moment(self.0.now.load(Ordering::Relaxed))
    }

    /// Later by this much.
    pub fn advance(&self, by: Duration) {
        self.0.now.store(self.now().saturating_add(by).0, Ordering::Relaxed);
    }

    fn due(&self) -> Option<Moment> {
        Some(Moment(self.0.due.load(Ordering::Relaxed))).filter(|due| due.0 < u64::MAX)
    }

    pub(crate) async fn sleep_until(&self, due: Moment) {
        std::future::poll_fn(|_| {
            if self.now() >= due {
                return Poll::Ready(());
            }
            self.0.due.fetch_min(due.0, Ordering::Relaxed);
            Poll::Pending
        })
        .await;
    }
}

/// What the closed log did when it had its turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stored {
    /// There was nothing to do.
    Nothing,
    /// These are stored, and these no longer.
    Batch {
        /// By their sequences.
        records: Vec<u64>,
        /// By their sequences.
        ended: Vec<u64>,
    },
    /// The disk has failed: it has all of that or none of it.
    Not {
        /// By their sequences.
        records: Vec<u64>,
        /// By their sequences.
        ended: Vec<u64>,
    },
}

/// An answer, as far as there is one.
#[derive(Debug)]
pub enum Said {
    /// To anything else.
    Reply(ReplyBody),
    /// To [`RequestBody::Collect`].
    Lent(Option<Lent>),
    /// The device is not active.
    NotActive,
    /// There will be none: whoever should give it has gone.
    Nothing,
}

/// Somebody who waits for an answer. Dropped, nobody does.
#[derive(Debug)]
pub struct Asked(oneshot::Receiver<Answer>);

impl Asked {
    /// The answer, when it is there.
    pub fn answer(&mut self) -> Option<Said> {
        match self.0.try_recv() {
            Ok(Answer::Reply(body)) => Some(Said::Reply(body)),
            Ok(Answer::Lent(lent)) => Some(Said::Lent(lent)),
            Ok(Answer::NotActive) => Some(Said::NotActive),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Said::Nothing),
        }
    }
}

/// Sees the engine behind each turn of its driver.
pub type Watcher = Box<dyn FnMut(&Engine) + Send>;

/// What a [`Table`] is made of.
pub struct Parts {
    /// As a daemon's.
    pub config: EngineConfig,
    /// With whatever an earlier one has left there.
    pub plane: Box<dyn DataPlane>,
    /// What it goes by.
    pub time: SimulatedTime,
    /// Where closed records are stored, and the number of the machine's start; `None`: in memory alone.
    pub disk: Option<(Disk, u64)>,
    /// One of two devices.
    pub pair: Option<Settings>,
    /// From the first turn on.
    pub watcher: Watcher,
}

/// Bytes of a closed record in the log.
pub const RECORD: usize = store::RECORD;

/// A closed log with these records, by their sequences, on a disk of its own.
pub fn closed_log_of(records: &[(u64, [u8; RECORD])]) -> Result<Disk, StoreError> {
    let disk = Disk::default();
    store::write_all(&disk, records)?;
    Ok(disk)
}

/// The records of the closed log that is on `disk`, whatever is there, as a daemon finds them, and the last sequence that was ever given.
pub fn closed_log(disk: &Disk) -> Result<(Vec<ClosedRecord>, u64), StoreError> {
    Desk::open(disk, 1).map(|(_, _, restored)| (restored.records, restored.last))
}

/// A session table that turns when it is told to. Dropping it is killing it.
pub struct Table {
    time: SimulatedTime,
    driver: Pin<Box<dyn Future<Output = ()> + Send>>,
    calls: mpsc::Sender<Question>,
    adds: mpsc::Sender<Question>,
    stop: watch::Sender<Option<Duration>>,
    desk: Option<Desk>,
    restored: Vec<ClosedRecord>,
    ends: Option<Ends>,
}

impl Table {
    /// Starts it, as a daemon does.
    pub fn start(parts: Parts) -> Result<Self, StoreError> {
        let Parts { config, mut plane, time, disk, pair, watcher } = parts;
        let opened = disk.map(|(disk, boot)| Desk::open(&disk, boot)).transpose()?;
        let (mut store, mut desk, mut restored) = (None, None, None);
        if let Some((opened, writer, found)) = opened {
            (store, desk, restored) = (Some(opened), Some(writer), Some(found));
        }
        let records = restored.as_ref().map(|restored| restored.records.clone()).unwrap_or_default();
        let engine = adopt::engine(&config, restored, plane.as_mut(), time.now(), pair.is_some());
        let channel = || mpsc::channel(limits::REQUESTS);
        let ((calls, to_answer), (adds, to_add)) = (channel(), channel());
        let (stop, stopping) = watch::channel(None);
        let clock = Clock::simulated(time.clone());
        let (pair, ends) = pair
            .map(|settings| (settings, lines()))
            .map_or((None, None), |(settings, (lines, ends))| (Some((settings, lines)), Some(ends)));
        let driver = simulated(engine, plane, clock, [to_answer, to_add], store, pair, watcher);
        Ok(Self { time, driver: Box::pin(driver.run(stopping)), calls, adds, stop, desk, restored: records, ends })
    }

    /// Closed records that it has found on the disk.
    pub fn restored(&self) -> &[ClosedRecord] {
        &self.restored
    }

    /// Gives the driver its turn. Ready when it has ended; otherwise it waits until `context` is woken, or until
    /// [`due`](Self::due).
    pub fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.time.0.due.store(u64::MAX, Ordering::Relaxed);
        self.driver.as_mut().poll(context)
    }

    /// When it wants its turn at the latest.
    pub fn due(&self) -> Option<Moment> {
        self.time.due()
    }

    /// Asks it something. `None`: it has no room for another question, or has ended.
    pub fn ask(&self, body: RequestBody) -> Option<Asked> {
        let (answer, asked) = oneshot::channel();
        let lane = if matches!(body, RequestBody::Add { .. }) { &self.adds } else { &self.calls };
        lane.try_send(Question::Session { body, answer }).ok()?;
        Some(Asked(asked))
    }

    /// What it says to its peer.
    pub fn said(&mut self) -> Option<Message> {
        self.ends.as_mut()?.messages.try_recv().ok()
    }

    /// The peer says something to it; false when it has no room for that.
    pub fn hear(&self, message: Message) -> bool {
        self.ends
            .as_ref()
            .is_some_and(|ends| ends.handle.arrivals().try_send(Arrival::Message(Box::new(message))).is_ok())
    }

    /// What it asks the store of roles.
    pub fn asked_of_store(&mut self) -> Option<StoreRequest> {
        self.ends.as_mut()?.store.try_recv().ok()
    }

    /// The store of roles answers.
    pub fn hear_store(&self, answer: StoreAnswer) -> bool {
        self.ends.as_ref().is_some_and(|ends| ends.handle.arrivals().try_send(Arrival::Store(answer)).is_ok())
    }

    /// It is told to do something. Nobody waits for what it says to that.
    pub fn tell(&self, command: Command) -> bool {
        let (answer, _) = oneshot::channel();
        self.ends
            .as_ref()
            .is_some_and(|ends| ends.handle.arrivals().try_send(Arrival::Command(command, answer)).is_ok())
    }

    /// How it stands in its pair.
    pub fn state(&self) -> PairState {
        self.ends.as_ref().map(|ends| *ends.handle.state().borrow()).unwrap_or_default()
    }

    /// Gives the closed log its turn.
    pub fn store(&mut self) -> Stored {
        self.desk.as_mut().map_or(Stored::Nothing, Desk::work)
    }

    /// Tells it to end within `grace`. It goes on having turns until it has.
    pub fn stop(&self, grace: Duration) {
        self.stop.send_replace(Some(grace));
    }
}
