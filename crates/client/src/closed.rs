//! Closed sessions, as one call has them. What calls again and again is in `subscribe`.

use std::pin::Pin;
use std::task::{Context, Poll};

use opof_api::{SessionReport, v1beta1};
use tokio_stream::Stream;
use tonic::Streaming;

use crate::call::Call;
use crate::error::Error;

/// Sessions that have closed, oldest first, to the end of those that are waiting.
#[derive(Debug)]
pub struct Closed {
    stream: Option<Streaming<v1beta1::SessionResponse>>,
    call: Call,
}

impl Closed {
    pub(crate) fn new(stream: Option<Streaming<v1beta1::SessionResponse>>, call: Call) -> Self {
        Self { stream, call }
    }

    /// The next session; `None` at the end.
    ///
    /// # Errors
    /// When the stream breaks. Sessions that were under way then may be lost to this reader.
    pub async fn next(&mut self) -> Result<Option<SessionReport>, Error> {
        while let Some(stream) = &mut self.stream {
            match self.call.within(stream.message()).await {
                Ok(Some(response)) => {
                    // A message without a session is how some devices say that nothing has closed.
                    if let Some(session) = self.call.one(&response)? {
                        return Ok(Some(session));
                    }
                }
                Ok(None) => self.stream = None,
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
                    if let Some(session) = self.call.one(&response)? {
                        return Poll::Ready(Ok(Some(session)));
                    }
                }
                None => self.stream = None,
                Some(Err(status)) => {
                    self.stream = None;
                    let failure = crate::call::Failure::Status(status);
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
