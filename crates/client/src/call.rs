//! What all calls have in common: the deadline, the profile, and what a failure means.

use std::sync::Arc;
use std::time::Duration;

use opof_api::profile::Profile;
use opof_api::report::ReportError;
use opof_api::{Dialect, Rpc, SessionReport, metadata, session_report, v1beta1};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::config::ClientConfig;
use crate::error::Error;
use crate::limits;
use crate::route::{Route, Search, Target};
use crate::status::{call_error, is_from_device};

/// How a call is made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) deadline: Duration,
    pub(crate) dialect: Dialect,
    pub(crate) profile: Profile,
    pub(crate) route: Route,
}

/// A device, as a call asks it.
pub(crate) struct At {
    pub(crate) target: Arc<Target>,
    left: Duration,
}

impl At {
    /// The session table there.
    pub(crate) fn rpc(&self) -> Rpc {
        self.target.rpc.clone()
    }

    /// The connection to it.
    pub(crate) fn channel(&self) -> Channel {
        self.target.channel.clone()
    }

    /// A request that tells the device when nobody waits for the answer any more.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.left.saturating_add(limits::DEADLINE_GRACE));
        request
    }
}

/// Why there is no answer.
pub(crate) enum Why {
    Deadline,
    Status(Status),
}

/// Why there is no answer, and whose it would have been.
pub(crate) struct Failure {
    pub(crate) target: Arc<Target>,
    why: Why,
}

impl Failure {
    /// The device says that there is nothing of what was asked for.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(&self.why, Why::Status(status) if status.code() == Code::NotFound)
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

/// A call under way. Whoever gives it up after a while has waited in vain: next time another device is asked.
struct Waiting<'a> {
    route: &'a Route,
    /// `None`: it is over.
    target: Option<&'a Arc<Target>>,
    since: Instant,
}

impl Waiting<'_> {
    fn end(mut self) {
        self.target = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(target) = self.target
            && self.since.elapsed() >= limits::SILENCE
        {
            self.route.doubt(target);
        }
    }
}

impl Call {
    pub(crate) fn new(config: &ClientConfig, route: Route) -> Self {
        let (dialect, profile) = config.spoken();
        Self { deadline: config.call_deadline(), dialect, profile, route }
    }

    /// Asks until there is an answer, here or there, within the deadline.
    pub(crate) async fn within<T, F>(&self, mut call: impl FnMut(At) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let end = Instant::now() + self.deadline;
        let mut search = Search::default();
        loop {
            let target = self.route.current();
            let at = At { target: Arc::clone(&target), left: end.saturating_duration_since(Instant::now()) };
            let waiting = Waiting { route: &self.route, target: Some(&target), since: Instant::now() };
            let said = timeout_at(end, call(at)).await;
            waiting.end();
            let why = match said {
                Ok(Ok(answer)) => {
                    target.hear();
                    return Ok(answer);
                }
                Ok(Err(status)) => {
                    if is_from_device(&status) {
                        target.hear();
                    }
                    if let Some(pause) = search.next(&self.route, &target, &status)
                        && Instant::now() + pause < end
                    {
                        sleep(pause).await;
                        continue;
                    }
                    Why::Status(status)
                }
                Err(_) => {
                    self.route.doubt(&target);
                    Why::Deadline
                }
            };
            return Err(Failure { target, why });
        }
    }

    /// The next thing that a device sends on a stream.
    pub(crate) async fn next<T>(
        &self,
        target: &Arc<Target>,
        next: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.deadline, next).await {
            Ok(Ok(next)) => Ok(next),
            Ok(Err(status)) => Err(self.broken(target, status)),
            Err(_) => Err(self.late(target)),
        }
    }

    /// What a stream ended with.
    pub(crate) fn broken(&self, target: &Arc<Target>, status: Status) -> Failure {
        self.route.heed(target, &status);
        Failure { target: Arc::clone(target), why: Why::Status(status) }
    }

    /// A stream was silent for too long.
    pub(crate) fn late(&self, target: &Arc<Target>) -> Failure {
        self.route.doubt(target);
        Failure { target: Arc::clone(target), why: Why::Deadline }
    }

    pub(crate) async fn answer<T, F>(&self, call: impl FnMut(At) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.within(call).await.map(Response::into_inner).map_err(|failure| self.error(&failure))
    }

    /// The same, with the device's own words about it.
    pub(crate) async fn explained<T, F>(&self, call: impl FnMut(At) -> F) -> Result<(T, Option<String>), Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.within(call).await.map(explained).map_err(|failure| self.error(&failure))
    }

    /// The same without them, `None` where the device says that there is nothing.
    pub(crate) async fn found<T, F>(&self, call: impl FnMut(At) -> F) -> Result<Option<T>, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        match self.within(call).await {
            Ok(response) => Ok(Some(response.into_inner())),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(self.error(&failure)),
        }
    }

    pub(crate) async fn report<F>(&self, call: impl FnMut(At) -> F) -> Result<Option<SessionReport>, Error>
    where
        F: Future<Output = Result<Response<v1beta1::SessionResponse>, Status>>,
    {
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

    pub(crate) fn error(&self, Failure { target, why }: &Failure) -> Error {
        match why {
            Why::Deadline => Error::Deadline { uri: target.uri.clone(), after: self.deadline },
            Why::Status(status) => {
                let mut error = call_error(&target.uri, self.deadline, status);
                if let Error::Unavailable { uri, reason } = &mut error
                    && uri.starts_with("http://")
                    && !is_from_device(status)
                    && !target.was_heard()
                {
                    reason.push_str("; if the device speaks TLS, use https://");
                }
                error
            }
        }
    }

    /// Of the device that is asked.
    pub(crate) fn uri(&self) -> String {
        self.route.current().uri.clone()
    }

    pub(crate) fn nonsense(&self, reason: String) -> Error {
        Error::Answer { uri: self.uri(), reason }
    }

    pub(crate) fn rejected(&self, what: String, status: String, message: Option<String>) -> Error {
        Error::Rejected { uri: self.uri(), what, status, message }
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
