//! Closed sessions, as one call has them. What calls again and again is in `subscribe`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use opof_api::report::ReportError;
use opof_api::{SessionReport, session_report, v1beta1};
use tokio_stream::Stream;
use tonic::{Request, Streaming};

use crate::call::Call;
use crate::error::Error;
use crate::route::Target;

/// Sessions that have closed, oldest first, to the end of those that are waiting.
#[derive(Debug)]
pub struct Closed {
    stream: Option<Streaming<v1beta1::SessionResponse>>,
    call: Call,
    /// Who sends them.
    target: Arc<Target>,
}

impl Closed {
    /// Those that `request` asks for.
    pub(crate) async fn open(
        call: &Call,
        request: impl Fn() -> Request<v1beta1::SessionRequestArgs>,
    ) -> Result<Self, Error> {
        let opened = call.within(|at| {
            let request = request();
            async move { Ok((at.rpc().get_closed_sessions(request).await?.into_inner(), at.target)) }
        });
        let (stream, target) = match opened.await {
            Ok((stream, target)) => (Some(stream), target),
            Err(failure) if failure.is_not_found() => (None, failure.target),
            Err(failure) => return Err(call.error(&failure)),
        };
        Ok(Self { stream, call: call.clone(), target })
    }

    /// Nothing has come for too long.
    pub(crate) fn late(&self) -> Error {
        self.call.error(&self.call.late(&self.target))
    }

    /// The next session; `None` at the end.
    ///
    /// # Errors
    /// When the stream breaks. Sessions that were under way then may be lost to this reader.
    pub async fn next(&mut self) -> Result<Option<SessionReport>, Error> {
        while let Some(stream) = &mut self.stream {
            match self.call.next(&self.target, stream.message()).await {
                Ok(Some(response)) => {
                    if let Some(session) = closed_session(response) {
                        return Ok(Some(session));
                    }
                }
                Ok(None) => self.stream = None,
                // Some devices end even a stream of sessions so.
                Err(failure) if failure.is_not_found() => self.stream = None,
                Err(failure) => {
                    self.stream = None;
                    return Err(self.call.error(&failure));
                }
            }
        }
        Ok(None)
    }

    /// The rest of them.
    ///
    /// # Errors
    /// When the stream breaks; what had come before is lost with it, so use [`next`](Self::next) where that matters.
    pub async fn collect(mut self) -> Result<Vec<SessionReport>, Error> {
        let mut sessions = Vec::new();
        while let Some(session) = self.next().await? {
            sessions.push(session);
        }
        Ok(sessions)
    }

    /// What has come, without a deadline; `Ready(None)` at the end.
    pub(crate) fn poll_session(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<SessionReport>, Error>> {
        while let Some(stream) = &mut self.stream {
            match std::task::ready!(Pin::new(stream).poll_next(context)) {
                Some(Ok(response)) => {
                    if let Some(session) = closed_session(response) {
                        return Poll::Ready(Ok(Some(session)));
                    }
                }
                None => self.stream = None,
                Some(Err(status)) => {
                    self.stream = None;
                    let failure = self.call.broken(&self.target, status);
                    // Some devices end even a stream of sessions so.
                    if failure.is_not_found() {
                        break;
                    }
                    return Poll::Ready(Err(self.call.error(&failure)));
                }
            }
        }
        Poll::Ready(Ok(None))
    }
}

/// The session of a record. A message without one is how some devices say that nothing has closed; any other status is of no
/// consequence here: the device has forgotten the record, so its counters are only in this message.
fn closed_session(response: v1beta1::SessionResponse) -> Option<SessionReport> {
    match session_report(&response) {
        Ok(session) => Some(session),
        Err(ReportError::Nonexistent(_) | ReportError::NoClosedSessions) => None,
        Err(ReportError::Refused { .. }) => {
            session_report(&v1beta1::SessionResponse { request_status: 0, ..response }).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_record_whatever_its_status() {
        let with = |request_status| v1beta1::SessionResponse {
            session_id: 7,
            in_packets: 3,
            request_status,
            ..Default::default()
        };
        for status in [0, 1, 6, 77] {
            let session = closed_session(with(status)).expect("its counters are nowhere else");
            assert_eq!((session.id.0, session.inward.packets), (7, 3), "{status}");
        }
        assert_eq!([2, 5].map(|status| closed_session(with(status))), [None, None]);
    }
}
