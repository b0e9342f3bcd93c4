//! addSession: a stream of any length, read into bounded batches.
//!
//! One batch is with the driver at a time; meanwhile the next one fills. So a slow client's sessions are offloaded as they
//! come, and a fast client's in large batches. The reply comes when the client half-closes and all are done. When the
//! stream breaks off, what was handed to the driver stays.

use std::pin::Pin;

use opof_api::{AddReport, FieldError, Refusal, session_spec, v1};
use opof_session::request::{AddError, Refused};
use opof_session::types::{SessionId, SessionSpec};
use tonic::{Request, Status, Streaming};

use super::SessionTableService;
use crate::driver::DriverError;
use crate::limits;

type Outcome = Pin<Box<dyn Future<Output = (Vec<Numbered>, Result<Vec<Refused>, DriverError>)> + Send>>;

/// A session's place in its stream, and its id.
#[derive(Clone, Copy)]
struct Numbered {
    position: u64,
    id: SessionId,
}

pub(super) async fn run(
    service: &SessionTableService,
    request: Request<Streaming<v1::SessionRequest>>,
) -> Result<v1::AddSessionResponse, Status> {
    let mut intake = Intake::new(service, request.remote_addr().map(|peer| peer.to_string()));
    let mut stream = request.into_inner();
    let mut is_open = true;
    let mut under_way: Option<Outcome> = None;
    while is_open || under_way.is_some() || !intake.batch.is_empty() {
        tokio::select! {
            biased;
            (numbered, outcome) = wait_for(&mut under_way) => {
                under_way = None;
                intake.settle(&numbered, outcome)?;
            }
            message = stream.message(), if is_open && intake.batch.len() < limits::ADD_BATCH => match message? {
                Some(message) => intake.judge(&message),
                None => is_open = false,
            },
            // Nothing more is there just now: off with what has come.
            () = std::future::ready(()), if under_way.is_none() && !intake.batch.is_empty() => {
                under_way = Some(intake.hand_over());
            }
        }
    }
    intake.finish()
}

async fn wait_for(under_way: &mut Option<Outcome>) -> (Vec<Numbered>, Result<Vec<Refused>, DriverError>) {
    match under_way {
        Some(outcome) => outcome.await,
        None => std::future::pending().await,
    }
}

struct Intake<'a> {
    service: &'a SessionTableService,
    peer: String,
    position: u64,
    batch: Vec<SessionSpec>,
    /// Of each session in `batch`.
    numbered: Vec<Numbered>,
    report: AddReport,
}

impl<'a> Intake<'a> {
    fn new(service: &'a SessionTableService, peer: Option<String>) -> Self {
        Self {
            service,
            peer: peer.unwrap_or_default(),
            position: 0,
            batch: Vec::new(),
            numbered: Vec::new(),
            report: AddReport::new(limits::ADD_ERRORS),
        }
    }

    fn judge(&mut self, message: &v1::SessionRequest) {
        let numbered = Numbered { position: self.position, id: SessionId(message.session_id) };
        self.position += 1;
        match session_spec(message, opof_api::Dialect::V1, &self.service.profile) {
            Ok(spec) => {
                self.batch.push(spec);
                self.numbered.push(numbered);
            }
            Err(error) => {
                self.log_field(numbered.id, &error);
                self.report.refuse(numbered.position, numbered.id, Refusal::from(&error));
            }
        }
    }

    fn hand_over(&mut self) -> Outcome {
        let sessions = std::mem::take(&mut self.batch);
        let numbered = std::mem::take(&mut self.numbered);
        let (driver, same_tuple) = (self.service.driver.clone(), self.service.same_tuple);
        Box::pin(async move { (numbered, driver.add(sessions, same_tuple).await) })
    }

    fn settle(&mut self, numbered: &[Numbered], outcome: Result<Vec<Refused>, DriverError>) -> Result<(), Status> {
        match outcome {
            Ok(refused) => {
                for refused in refused {
                    let Numbered { position, id } = numbered[refused.index as usize];
                    self.log_refused(id, &refused.error);
                    self.report.refuse(position, id, Refusal::from(&refused.error));
                }
                Ok(())
            }
            // The driver never saw them: each of them may be sent again.
            Err(DriverError::Busy) => {
                for Numbered { position, id } in numbered {
                    self.report.refuse(*position, *id, Refusal::Unavailable);
                }
                tracing::warn!(sessions = numbered.len(), "sessions refused: the session table is busy");
                Ok(())
            }
            Err(DriverError::Stopped) => Err(DriverError::Stopped.into()),
        }
    }

    fn finish(self) -> Result<v1::AddSessionResponse, Status> {
        if self.report.unnamed() > 0 {
            let (refused, room) = (self.report.refused(), limits::ADD_ERRORS);
            return Err(Status::resource_exhausted(format!(
                "{refused} sessions were refused, a reply names {room} at most; getAllSessions tells which were accepted"
            )));
        }
        let clock = &self.service.clock;
        Ok(self.report.response(clock.wall().timestamp(clock.now()), &self.service.profile))
    }

    fn log_field(&self, id: SessionId, error: &FieldError) {
        if let Some(suppressed) = self.service.may_log_refusal() {
            tracing::warn!(
                peer = self.peer,
                session = id.0,
                field = error.field,
                suppressed,
                "session rejected: {error}"
            );
        }
    }

    fn log_refused(&self, id: SessionId, error: &AddError) {
        // A firewall that sends a session twice is nothing to be told about.
        if Refusal::from(error) == Refusal::AlreadyExists {
            tracing::debug!(peer = self.peer, session = id.0, "session refused: {error}");
        } else if let Some(suppressed) = self.service.may_log_refusal() {
            tracing::warn!(peer = self.peer, session = id.0, suppressed, "session refused: {error}");
        }
    }
}
