//! The calls.

use std::time::Duration;

use opof_api::profile::{AddErrors, Profile};
use opof_api::report::ReportError;
use opof_api::status::Refusal;
use opof_api::v1::session_table_client::SessionTableClient;
use opof_api::{Dialect, SessionReport, device, session_report, session_request, v1};
use opof_session::types::SessionId;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::config::ClientConfig;
use crate::device::Device;
use crate::error::Error;
use crate::limits;
use crate::paging::{Closed, Pages};
use crate::session::Session;

/// How this client reads and writes messages.
const PROFILE: Profile = Profile::SPEC;

/// A connection to a device. It is cheap to clone, clones share the connection, and it comes back by itself after the
/// device has been away.
#[derive(Clone, Debug)]
pub struct Client {
    sessions: SessionTableClient<Channel>,
    device: device::device_client::DeviceClient<Channel>,
    call: Call,
}

/// What became of sessions that were to be added.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddOutcome {
    /// Sessions that the fast path has from now on.
    pub accepted: u64,
    /// Sessions that it does not have, in the order in which they were given.
    pub refused: Vec<Refused>,
}

/// A session that was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Refused {
    /// Its id.
    pub id: SessionId,
    /// Why, as far as the device tells; its log has more.
    pub reason: Refusal,
}

impl Client {
    /// Connects to a device.
    ///
    /// # Errors
    /// [`Error::Uri`], [`Error::Connect`], [`Error::Tls`].
    pub async fn connect(config: ClientConfig) -> Result<Self, Error> {
        let channel = config.endpoint()?.connect().await.map_err(|error| Error::connect(config.uri(), &error))?;
        let sessions = SessionTableClient::new(channel.clone()).max_decoding_message_size(limits::MESSAGE_BYTES);
        Ok(Self {
            sessions,
            device: device::device_client::DeviceClient::new(channel),
            call: Call { uri: config.uri().to_owned(), deadline: config.call_deadline() },
        })
    }

    /// Offloads sessions. When this returns, the next packet of every session that is not among the refused takes the
    /// fast path.
    ///
    /// # Errors
    /// When a call as a whole fails. Sessions may have been accepted by then; to add them again does no harm
    /// ([`Refusal::AlreadyExists`]).
    pub async fn add(&mut self, sessions: impl IntoIterator<Item = Session>) -> Result<AddOutcome, Error> {
        let mut requests = sessions.into_iter().map(|session| session_request(session.spec(), Dialect::V1, &PROFILE));
        let mut outcome = AddOutcome::default();
        loop {
            let batch = requests.by_ref().take(limits::ADD_BATCH).collect::<Result<Vec<_>, _>>()?;
            if batch.is_empty() {
                return Ok(outcome);
            }
            self.add_batch(batch, &mut outcome).await?;
        }
    }

    async fn add_batch(&mut self, batch: Vec<v1::SessionRequest>, outcome: &mut AddOutcome) -> Result<(), Error> {
        let sent = batch.len() as u64;
        let request = self.call.request(tokio_stream::iter(batch));
        let response = self.call.answer(self.sessions.add_session(request)).await?;
        let refused = response.response_error.len() as u64;
        if refused > sent || (refused == 0 && response.request_status != 0) {
            let reason = format!("of {sent} sessions it refused {refused}, with status {}", response.request_status);
            return Err(self.call.nonsense(reason));
        }
        outcome.accepted += sent - refused;
        outcome.refused.extend(response.response_error.iter().map(|error| Refused {
            id: SessionId(error.session_id),
            reason: Refusal::from_code(error.error_status, AddErrors::AddSessionStatus),
        }));
        Ok(())
    }

    /// One session with its live counters; `None` when there is none with this id.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn get(&mut self, id: u64) -> Result<Option<SessionReport>, Error> {
        let request = self.call.request(v1::SessionId { session_id: id });
        self.call.report(self.sessions.get_session(request)).await
    }

    /// Takes a session off the fast path; the answer has its final counters. `None` when there is none with this id.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn delete(&mut self, id: u64) -> Result<Option<SessionReport>, Error> {
        let request = self.call.request(v1::SessionId { session_id: id });
        self.call.report(self.sessions.delete_session(request)).await
    }

    /// Sessions with live counters in ascending id, a page at a time.
    pub fn list(&self) -> Pages {
        Pages::new(self.sessions.clone(), self.call.clone())
    }

    /// Sessions that have closed and that nobody has collected, oldest first: at most `limit`, or all with 0. Each is told
    /// once: what is taken from the stream won't come again. The stream ends when no more are waiting.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn closed(&mut self, limit: u32) -> Result<Closed, Error> {
        let args = v1::SessionRequestArgs { page_size: limit, ..v1::SessionRequestArgs::default() };
        // No deadline for the device: it would end a long stream in the middle. Each session has one by itself.
        match self.call.within(self.sessions.get_closed_sessions(args)).await {
            Ok(response) => Ok(Closed::new(response.into_inner(), self.call.clone())),
            Err(Failure::Status(status)) if status.code() == Code::NotFound => Ok(Closed::empty(self.call.clone())),
            Err(failure) => Err(self.call.error(&failure)),
        }
    }

    /// The device itself: version, ports, figures.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn device(&mut self) -> Result<Device, Error> {
        let request = self.call.request(device::GetDeviceRequest {});
        Ok(Device::from_message(self.call.answer(self.device.get_device(request)).await?))
    }
}

/// How a call is made: what all of them have in common.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    uri: String,
    deadline: Duration,
}

/// Why there is no answer.
pub(crate) enum Failure {
    Deadline,
    Status(Status),
}

impl Call {
    /// A request that tells the device when nobody waits for the answer any more.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline.saturating_add(limits::DEADLINE_GRACE));
        request
    }

    pub(crate) async fn within<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.deadline, call).await {
            Ok(answer) => answer.map_err(Failure::Status),
            Err(_) => Err(Failure::Deadline),
        }
    }

    pub(crate) async fn answer<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Error> {
        self.within(call).await.map(Response::into_inner).map_err(|failure| self.error(&failure))
    }

    async fn report(
        &self,
        call: impl Future<Output = Result<Response<v1::SessionResponse>, Status>>,
    ) -> Result<Option<SessionReport>, Error> {
        match self.within(call).await {
            Ok(response) => self.one(&response.into_inner()),
            Err(Failure::Status(status)) if status.code() == Code::NotFound => Ok(None),
            Err(failure) => Err(self.error(&failure)),
        }
    }

    /// The session in an answer, if it has one.
    pub(crate) fn one(&self, response: &v1::SessionResponse) -> Result<Option<SessionReport>, Error> {
        match session_report(response) {
            Ok(report) => Ok(Some(report)),
            Err(ReportError::Nonexistent(_) | ReportError::NoClosedSessions) => Ok(None),
            Err(refused @ ReportError::Refused { .. }) => Err(self.nonsense(refused.to_string())),
        }
    }

    pub(crate) fn error(&self, failure: &Failure) -> Error {
        match failure {
            Failure::Deadline => Error::Deadline { uri: self.uri.clone(), after: self.deadline },
            Failure::Status(status) => Error::call(&self.uri, self.deadline, status),
        }
    }

    pub(crate) fn nonsense(&self, reason: String) -> Error {
        Error::Answer { uri: self.uri.clone(), reason }
    }
}
