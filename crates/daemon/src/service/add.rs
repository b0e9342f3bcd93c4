//! addSession: a stream of any length, read into bounded batches.
//!
//! One batch is with the driver at a time; meanwhile the next one fills. So a slow client's sessions are offloaded as they
//! come, and a fast client's in large batches. The reply comes when the client half-closes and all are done. When the
//! stream breaks off, what came before stays. A client that is faster than its rate is not read for a while, and no client is while all
//! streams together have as many sessions waiting as there is room for: HTTP/2 makes them wait.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use opof_api::{AddReport, FieldError, Refusal, session_spec, v1beta1};
use opof_session::request::{AddError, Refused};
use opof_session::types::{SessionId, SessionSpec};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream as _;
use tonic::{Request, Response, Status, Streaming};

use super::sessions::{self, SessionTableService};
use super::status;
use crate::account::Failures;
use crate::driver::DriverError;
use crate::limits;
use crate::listen::Peer;

type Outcome = Pin<Box<dyn Future<Output = (Vec<Numbered>, Result<Vec<Refused>, DriverError>)> + Send>>;

/// A session's place in its stream, and its id.
#[derive(Clone, Copy)]
struct Numbered {
    position: u64,
    id: SessionId,
}

pub(super) async fn run(
    service: &SessionTableService,
    request: Request<Streaming<v1beta1::SessionRequest>>,
) -> Result<Response<v1beta1::AddSessionResponse>, Status> {
    let mut intake = Intake::new(service, &request);
    let mut allowance = Allowance::new(service, request.extensions().get::<Peer>().cloned());
    let mut stream = request.into_inner();
    let mut is_open = true;
    let mut under_way: Option<Outcome> = None;
    let mut ready = Vec::new();
    while is_open || under_way.is_some() || !intake.batch.is_empty() {
        let has_room = intake.room.is_enough_for(intake.batch.len());
        let may_read = is_open && has_room && intake.batch.len() < limits::ADD_BATCH && allowance.is_there();
        let room = limits::READ_AT_ONCE.min(limits::ADD_BATCH - intake.batch.len()).min(allowance.left());
        tokio::select! {
            biased;
            (numbered, outcome) = wait_for(&mut under_way) => {
                under_way = None;
                intake.settle(&numbered, outcome)?;
            }
            end = take_ready(&mut stream, &mut ready, room), if may_read => {
                let is_full = ready.len() == limits::READ_AT_ONCE;
                for message in ready.drain(..) {
                    // One that ended the call; what is behind it counts as not read.
                    if !is_open {
                        break;
                    }
                    allowance.spend();
                    is_open = intake.judge(&message);
                }
                match end {
                    None => {}
                    Some(Ok(())) => is_open = false,
                    // What has come before is not to suffer for it.
                    Some(Err(status)) => {
                        intake.failure.get_or_insert(status);
                        is_open = false;
                    }
                }
                intake.room.ask_for(intake.batch.len());
                // More may be there, but others have their turn first.
                if is_full {
                    yield_now().await;
                }
            }
            () = intake.room.granted(), if !has_room => {}
            // Nothing more is there just now: off with what has come.
            // Or all that there is room for: who waits for more while keeping what he has would wait for others that do the same.
            () = std::future::ready(()), if under_way.is_none() && intake.room.len() > 0 => {
                under_way = Some(intake.hand_over());
            }
            () = allowance.pause(), if is_open && !may_read => {}
        }
    }
    intake.finish()
}

/// Waits for a message, and takes as many as are there already, at most `room`; to come back for each would cost as much as a message
/// itself. `Some`: the stream has ended, or broken off. It waits only while nothing was taken, so that nothing is lost with it.
async fn take_ready(
    stream: &mut Streaming<v1beta1::SessionRequest>,
    ready: &mut Vec<v1beta1::SessionRequest>,
    room: usize,
) -> Option<Result<(), Status>> {
    poll_fn(|context| {
        while ready.len() < room {
            match Pin::new(&mut *stream).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => ready.push(message),
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Some(Err(status))),
                Poll::Ready(None) => return Poll::Ready(Some(Ok(()))),
                Poll::Pending if ready.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(None)
    })
    .await
}

async fn wait_for(under_way: &mut Option<Outcome>) -> (Vec<Numbered>, Result<Vec<Refused>, DriverError>) {
    match under_way {
        Some(outcome) => outcome.await,
        None => std::future::pending().await,
    }
}

/// How many sessions may be read before the client's rate is asked again.
struct Allowance<'a> {
    service: &'a SessionTableService,
    /// `None` where calls come from within.
    peer: Option<Peer>,
    left: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<'a> Allowance<'a> {
    const fn new(service: &'a SessionTableService, peer: Option<Peer>) -> Self {
        Self { service, peer, left: 0, pause: None }
    }

    fn is_there(&mut self) -> bool {
        if self.pause.is_some() {
            return false;
        }
        let Some(peer) = &self.peer else { return true };
        let rate = &peer.account().rate;
        if self.left == 0 {
            match rate.take(self.service.table.clock.now(), rate.step()) {
                Ok(()) => self.left = rate.step(),
                Err(wait) => self.pause = Some(Box::pin(sleep(wait))),
            }
        }
        self.left > 0
    }

    /// Sessions that may be read now.
    const fn left(&self) -> usize {
        if self.peer.is_some() { self.left as usize } else { usize::MAX }
    }

    const fn spend(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Until the rate may be asked again.
    async fn pause(&mut self) {
        match &mut self.pause {
            Some(pause) => {
                pause.as_mut().await;
                self.pause = None;
            }
            None => std::future::pending().await,
        }
    }
}

impl Drop for Allowance<'_> {
    /// A short stream must not cost as much as a long one.
    fn drop(&mut self) {
        if let Some(peer) = &self.peer {
            peer.account().rate.give_back(self.left);
        }
    }
}

type Asked = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// Room with the driver for a batch that fills: never more than it has sessions.
struct Room {
    all: Arc<Semaphore>,
    /// What the batch has of it.
    taken: Option<OwnedSemaphorePermit>,
    /// What it waits for.
    asked: Option<Asked>,
}

impl Room {
    const fn new(all: Arc<Semaphore>) -> Self {
        Self { all, taken: None, asked: None }
    }

    fn len(&self) -> usize {
        self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn is_enough_for(&self, sessions: usize) -> bool {
        self.len() >= sessions
    }

    /// Takes what is missing, or gets into the queue for it.
    fn ask_for(&mut self, sessions: usize) {
        let missing = u32::try_from(sessions.saturating_sub(self.len())).expect("a batch is not that large");
        if missing == 0 || self.asked.is_some() {
            return;
        }
        match Arc::clone(&self.all).try_acquire_many_owned(missing) {
            Ok(permit) => self.add(permit),
            Err(_) => self.asked = Some(Box::pin(Arc::clone(&self.all).acquire_many_owned(missing))),
        }
    }

    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
    }

    /// Waits until what was asked for is there.
    async fn granted(&mut self) {
        if let Some(asked) = &mut self.asked {
            let permit = asked.as_mut().await;
            self.asked = None;
            self.add(permit.expect("nobody closes it"));
        } else {
            std::future::pending::<()>().await;
        }
    }
}

struct Intake<'a> {
    service: &'a SessionTableService,
    peer: String,
    position: u64,
    batch: Vec<SessionSpec>,
    room: Room,
    /// Of each session in `batch`.
    numbered: Vec<Numbered>,
    report: AddReport,
    /// Why the first few were refused.
    told: Vec<String>,
    /// What it keeps of its client's account; `None` where calls come from within.
    failures: Option<Failures>,
    /// What the call fails with, once everything that came before is done.
    failure: Option<Status>,
}

impl<'a> Intake<'a> {
    fn new<T>(service: &'a SessionTableService, request: &Request<T>) -> Self {
        let cap = service.table.profile.page_cap.map_or(usize::MAX, |cap| cap as usize);
        Self {
            service,
            peer: sessions::caller(request),
            position: 0,
            batch: Vec::new(),
            room: Room::new(Arc::clone(service.table.driver.room())),
            numbered: Vec::new(),
            report: AddReport::new(limits::ADD_ERRORS.min(cap)),
            told: Vec::new(),
            failures: request.extensions().get::<Failures>().cloned(),
            failure: None,
        }
    }

    /// False when no further message can be taken.
    fn judge(&mut self, message: &v1beta1::SessionRequest) -> bool {
        let most = self.service.table.stream_sessions;
        if self.position == u64::from(most) {
            let text = format!(
                "one addSession stream has {most} sessions at most (limits.stream_sessions); those that came before stay"
            );
            self.failure = Some(status::too_many("addSession", text));
            return false;
        }
        let numbered = Numbered { position: self.position, id: SessionId(message.session_id) };
        self.position += 1;
        match session_spec(message, self.service.dialect, &self.service.table.profile) {
            _ if !self.service.table.lifecycle.takes_sessions() => {
                self.refuse(numbered, Refusal::Unavailable, &"the device takes no new sessions: it is shutting down");
            }
            Ok(spec) => {
                self.batch.push(spec);
                self.numbered.push(numbered);
            }
            Err(error) => {
                self.log_field(numbered.id, &error);
                self.refuse(numbered, Refusal::from(&error), &error);
            }
        }
        self.failure.is_none()
    }

    fn refuse(&mut self, Numbered { position, id }: Numbered, refusal: Refusal, why: &dyn std::fmt::Display) {
        self.report.refuse(position, id, refusal);
        if self.failures.as_ref().is_some_and(|failures| !failures.add()) {
            let text = "too many refused sessions in this client's calls; those that were accepted stay".to_owned();
            self.failure.get_or_insert_with(|| status::too_many("addSession", text));
        }
        if self.told.len() < limits::REFUSALS_TOLD {
            self.told.push(format!("session {id}: {why}"));
        }
    }

    fn hand_over(&mut self) -> Outcome {
        let rest = self.batch.split_off(self.room.len());
        let sessions = std::mem::replace(&mut self.batch, rest);
        let rest = self.numbered.split_off(self.room.len());
        let numbered = std::mem::replace(&mut self.numbered, rest);
        let (driver, same_tuple) = (self.service.table.driver.clone(), self.service.table.same_tuple);
        let room = self.room.taken.take();
        Box::pin(async move {
            let outcome = driver.add(sessions, same_tuple).await;
            drop(room);
            (numbered, outcome)
        })
    }

    fn settle(&mut self, numbered: &[Numbered], outcome: Result<Vec<Refused>, DriverError>) -> Result<(), Status> {
        match outcome {
            Ok(refused) => {
                for refused in refused {
                    let numbered = numbered[refused.index as usize];
                    self.log_refused(numbered.id, &refused.error);
                    self.refuse(numbered, Refusal::from(&refused.error), &refused.error);
                }
                Ok(())
            }
            // The driver never saw them: each of them may be sent again.
            Err(error @ DriverError::Busy) => {
                for numbered in numbered {
                    self.refuse(*numbered, Refusal::Unavailable, &error);
                }
                tracing::warn!(sessions = numbered.len(), "sessions refused: the session table is busy");
                Ok(())
            }
            Err(error @ (DriverError::Stopped | DriverError::NotActive { .. })) => Err(error.into()),
        }
    }

    fn finish(self) -> Result<Response<v1beta1::AddSessionResponse>, Status> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if self.report.unnamed() > 0 {
            let refused = self.report.refused();
            let named = refused - self.report.unnamed();
            return Err(status::too_many(
                "addSession",
                format!(
                    "{refused} sessions were refused, a reply names {named} at most; getAllSessions tells which were accepted"
                ),
            ));
        }
        let clock = &self.service.table.clock;
        let started = clock.wall().timestamp(clock.now());
        let mut response = Response::new(self.report.response(started, &self.service.table.profile));
        sessions::tell(&mut response, self.told);
        Ok(response)
    }

    fn log_field(&self, id: SessionId, error: &FieldError) {
        if let Some(suppressed) = self.service.table.may_log_refusal() {
            tracing::warn!(
                peer = self.peer,
                session = id.0,
                field = &*error.dialect.field(error.field),
                suppressed,
                "session rejected: {error}"
            );
        }
    }

    fn log_refused(&self, id: SessionId, error: &AddError) {
        // A firewall that sends a session twice is nothing to be told about.
        if Refusal::from(error) == Refusal::AlreadyExists {
            tracing::debug!(peer = self.peer, session = id.0, "session refused: {error}");
        } else if let Some(suppressed) = self.service.table.may_log_refusal() {
            tracing::warn!(peer = self.peer, session = id.0, suppressed, "session refused: {error}");
        }
    }
}
