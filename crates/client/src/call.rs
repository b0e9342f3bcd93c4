//! What all calls have in common: the deadline, the profile, and what a failure means.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Something has been heard of the device that only an OpenOffload server, or another gRPC one, says. Clones share it.
    heard: Arc<AtomicBool>,
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

/// An answer, and what the device says of it in its own words, if it does: of the one thing that was asked for, whose
/// name before the words is left out.
pub(crate) fn explained<T>(response: Response<T>) -> (T, Option<String>) {
    let (metadata, answer, _) = response.into_parts();
    let said = metadata.get(metadata::REFUSED).map(|said| message(&String::from_utf8_lossy(said.as_encoded_bytes())));
    (answer, said)
}

/// `next hop 8: nextHopId: no next hop 8`, `VLAN 100: vlanId: ...`.
fn message(said: &str) -> String {
    let message = ["next hop ", "VLAN "].iter().find_map(|what| {
        let (number, message) = said.strip_prefix(what)?.split_once(": ")?;
        number.parse::<u32>().ok().map(|_| message)
    });
    message.unwrap_or(said).to_owned()
}

impl Call {
    pub(crate) fn new(uri: &str, deadline: Duration, profile: Profile) -> Self {
        Self { uri: uri.to_owned(), deadline, profile, heard: Arc::default() }
    }

    /// A request that tells the device when nobody waits for the answer any more.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline.saturating_add(limits::DEADLINE_GRACE));
        request
    }

    pub(crate) async fn within<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.deadline, call).await {
            Ok(answer) => {
                // A status without a source came from the device.
                if answer.as_ref().err().is_none_or(|status| status.source().is_none()) {
                    self.heard.store(true, Ordering::Relaxed);
                }
                answer.map_err(Failure::Status)
            }
            Err(_) => Err(Failure::Deadline),
        }
    }

    pub(crate) async fn answer<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Error> {
        self.within(call).await.map(Response::into_inner).map_err(|failure| self.error(&failure))
    }

    /// The same, with the device's own words about it.
    pub(crate) async fn explained<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<(T, Option<String>), Error> {
        self.within(call).await.map(explained).map_err(|failure| self.error(&failure))
    }

    /// The same without them, `None` where the device says that there is nothing.
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
            Failure::Status(status) => {
                let mut error = call_error(&self.uri, self.deadline, status);
                if let Error::Unavailable { uri, reason } = &mut error
                    && uri.starts_with("http://")
                    && status.source().is_some()
                    && !self.heard.load(Ordering::Relaxed)
                {
                    reason.push_str("; if the device speaks TLS, use https://");
                }
                error
            }
        }
    }

    pub(crate) fn nonsense(&self, reason: String) -> Error {
        Error::Answer { uri: self.uri.clone(), reason }
    }

    pub(crate) fn rejected(&self, what: String, status: String, message: Option<String>) -> Error {
        Error::Rejected { uri: self.uri.clone(), what, status, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_is_about_is_said_once() {
        assert_eq!(message("next hop 8: nextHopId: no next hop 8"), "nextHopId: no next hop 8");
        assert_eq!(message("VLAN 100: vlanId: taken"), "vlanId: taken");
        for whole in ["next hops: none", "next hop eight: none", "no", ""] {
            assert_eq!(message(whole), whole);
        }
    }
}
