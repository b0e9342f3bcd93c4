//! What all calls have in common: the deadline, the profile, and what a failure means.

use std::time::Duration;

use opof_api::profile::Profile;
use opof_api::report::ReportError;
use opof_api::{SessionReport, metadata, session_report, v1beta1};
use tonic::{Code, Request, Response, Status};

use crate::error::Error;
use crate::limits;
use crate::status::call_error;

/// How a call is made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) uri: String,
    pub(crate) deadline: Duration,
    pub(crate) profile: Profile,
}

/// Why there is no answer.
pub(crate) enum Failure {
    Deadline,
    Status(Status),
}

impl Failure {
    /// The device says that there is nothing of what was asked for.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Status(status) if status.code() == Code::NotFound)
    }
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

    /// The same, with what the device says beside it of a refusal: the part behind what was asked for.
    pub(crate) async fn explained<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<(T, Option<String>), Error> {
        let response = self.within(call).await.map_err(|failure| self.error(&failure))?;
        let told = response.metadata().get(metadata::REFUSED).and_then(|told| told.to_str().ok());
        let told = told.and_then(|told| told.split_once(": ")).map(|(_, told)| told.to_owned());
        Ok((response.into_inner(), told))
    }

    /// The same, `None` where the device says that there is nothing.
    pub(crate) async fn found<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Option<T>, Error> {
        match self.within(call).await {
            Ok(response) => Ok(Some(response.into_inner())),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(self.error(&failure)),
        }
    }

    pub(crate) async fn report(
        &self,
        call: impl Future<Output = Result<Response<v1beta1::SessionResponse>, Status>>,
    ) -> Result<Option<SessionReport>, Error> {
        match self.found(call).await? {
            Some(response) => self.one(&response),
            None => Ok(None),
        }
    }

    /// The session in an answer, if it has one.
    pub(crate) fn one(&self, response: &v1beta1::SessionResponse) -> Result<Option<SessionReport>, Error> {
        match session_report(response) {
            Ok(report) => Ok(Some(report)),
            Err(ReportError::Nonexistent(_) | ReportError::NoClosedSessions) => Ok(None),
            Err(ReportError::Refused { id, status }) => {
                Err(self.rejected(format!("the request about session {id}"), status.to_owned(), None))
            }
        }
    }

    pub(crate) fn error(&self, failure: &Failure) -> Error {
        match failure {
            Failure::Deadline => Error::Deadline { uri: self.uri.clone(), after: self.deadline },
            Failure::Status(status) => call_error(&self.uri, self.deadline, status),
        }
    }

    pub(crate) fn nonsense(&self, reason: String) -> Error {
        Error::Answer { uri: self.uri.clone(), reason }
    }

    pub(crate) fn rejected(&self, what: String, status: String, message: Option<String>) -> Error {
        Error::Rejected { uri: self.uri.clone(), what, status, message }
    }
}
